//! Detection of JSON that cannot be stored unchanged: duplicate keys, numbers with too many digits, and NUL, which
//! PostgreSQL rejects.
//!
//! `serde_json` accepts all of these: the last of two equal keys wins, and a long number becomes the nearest `f64`.
//! Therefore this module reads the text again after `serde_json` has parsed it.

use std::{borrow::Cow, collections::HashSet};

use domain::Fault;

/// Returns the faults of a valid JSON text, by dotted path.
pub(super) fn faults(json: &[u8]) -> Vec<Fault> {
    let mut reader = Reader { rest: json, open: Vec::new(), faults: Vec::new() };
    while reader.next().is_some() {}
    reader.faults
}

/// Object or list that has begun and not ended.
enum Open<'j> {
    Object { seen: HashSet<Cow<'j, str>>, key: Option<Cow<'j, str>> },
    List { index: usize },
}

struct Reader<'j> {
    rest: &'j [u8],
    open: Vec<Open<'j>>,
    faults: Vec<Fault>,
}

impl<'j> Reader<'j> {
    /// Reads one token; `None` at the end.
    fn next(&mut self) -> Option<()> {
        let (first, after) = self.rest.split_first()?;
        match first {
            b'{' => self.open.push(Open::Object { seen: HashSet::new(), key: None }),
            b'[' => self.open.push(Open::List { index: 0 }),
            b'}' | b']' => drop(self.open.pop()),
            b',' => match self.open.last_mut() {
                Some(Open::Object { key, .. }) => *key = None,
                Some(Open::List { index }) => *index += 1,
                None => {}
            },
            b'"' => {
                let text = self.take(string_len(self.rest));
                self.string(text);
                return Some(());
            }
            b'-' | b'0'..=b'9' => {
                let is_part = |c: &u8| matches!(c, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let len = self.rest.iter().position(|c| !is_part(c)).unwrap_or(self.rest.len());
                let number = self.take(len);
                if !is_exact(number) {
                    self.fault(self.path(), "must be a number with fewer digits, or a text");
                }
                return Some(());
            }
            _ => {}
        }
        self.rest = after;
        Some(())
    }

    fn take(&mut self, len: usize) -> &'j [u8] {
        let (token, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, &[]));
        self.rest = rest;
        token
    }

    fn string(&mut self, token: &'j [u8]) {
        let text = text_of(token);
        let has_nul = text.contains('\0');
        match self.open.last_mut() {
            Some(Open::Object { seen, key: key @ None }) => {
                let is_new = seen.insert(text.clone());
                if has_nul {
                    self.fault(self.path(), "must not contain a field with NUL in its name");
                    self.name(text);
                } else {
                    *key = Some(text);
                    if !is_new {
                        self.fault(self.path(), "must occur only once");
                    }
                }
            }
            _ if has_nul => self.fault(self.path(), "must not contain NUL"),
            _ => {}
        }
    }

    fn name(&mut self, text: Cow<'j, str>) {
        if let Some(Open::Object { key, .. }) = self.open.last_mut() {
            *key = Some(text);
        }
    }

    fn fault(&mut self, path: String, message: &str) {
        self.faults.push(Fault::new(path, message));
    }

    /// Dotted path of the value at the reader's position.
    fn path(&self) -> String {
        let segment = |open: &Open<'_>| match open {
            Open::Object { key, .. } => key.as_ref().map(ToString::to_string),
            Open::List { index } => Some(index.to_string()),
        };
        self.open.iter().filter_map(segment).collect::<Vec<_>>().join(".")
    }
}

/// Length of the string token at the start of the text, including its quotes.
fn string_len(json: &[u8]) -> usize {
    let mut is_escaped = false;
    for (index, c) in json.iter().enumerate().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    json.len()
}

fn text_of(token: &[u8]) -> Cow<'_, str> {
    let plain = token.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or_default();
    if plain.contains(&b'\\') {
        return Cow::Owned(serde_json::from_slice(token).unwrap_or_default());
    }
    std::str::from_utf8(plain).map_or_else(|_| Cow::Borrowed(""), Cow::Borrowed)
}

/// Returns true if parsing the number loses no digits.
fn is_exact(number: &[u8]) -> bool {
    // An f64 represents every decimal number of 15 digits, unless it is too large or too small.
    let is_short = number.len() <= 15 && !number.iter().any(|c| matches!(c, b'e' | b'E'));
    let Ok(text) = std::str::from_utf8(number) else { return true };
    if is_short || text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok() {
        return true;
    }
    let Ok(nearest) = text.parse::<f64>() else { return true };
    digits(text) == digits(&format!("{nearest:e}"))
}

/// The significant digits of a number, and the exponent of the last of them.
fn digits(number: &str) -> (String, i64) {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let mantissa = mantissa.trim_start_matches('-');
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_end_matches('0');
    let dropped = all.len() - significant.len();
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return (String::new(), 0);
    }
    let shift =
        i64::try_from(dropped).unwrap_or(i64::MAX) - i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    (significant.to_owned(), exponent.parse::<i64>().unwrap_or(i64::MAX).saturating_add(shift))
}
