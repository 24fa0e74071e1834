//! Search for many secrets at once in outputs: whole or in part, plain or encoded.

use std::collections::{HashMap, HashSet};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

use super::secret::Secret;

/// Number of bytes of a secret that count as a leak.
const PART: usize = 12;

pub(crate) struct Search {
    /// Parts to find, with the description of their secret.
    parts: HashMap<[u8; PART], String>,
    /// True for each three bytes that a part starts with.
    prefixes: Vec<bool>,
}

/// Returns the encodings of a text that change letters and digits.
fn forms(random: &str) -> Vec<(&'static str, String)> {
    let hex: String = random.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![
        ("plain", random.to_owned()),
        ("in lower case", random.to_lowercase()),
        ("in upper case", random.to_uppercase()),
        ("in hexadecimal", hex.clone()),
        ("in upper-case hexadecimal", hex.to_uppercase()),
    ];
    // The preceding bytes decide the alignment; the first and last characters depend on the neighbouring bytes.
    for before in 0..3 {
        let encoded = STANDARD_NO_PAD.encode(random.get(before..).unwrap());
        forms.push(("in base64", encoded.get(..encoded.len() - 3).unwrap().to_owned()));
    }
    forms
}

impl Search {
    pub(crate) fn of<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut search = Self { parts: HashMap::new(), prefixes: vec![false; 1 << 24] };
        for secret in secrets {
            for (form, text) in forms(&secret.random) {
                assert!(text.len() >= PART, "{}", secret.text);
                // The start and the end: a secret that is cut off keeps one of them.
                for at in [0, text.len() - PART] {
                    let part: [u8; PART] = text.as_bytes()[at..at + PART].try_into().unwrap();
                    search.prefixes[start(&part)] = true;
                    search.parts.insert(part, format!("{} ({form})", secret.text));
                }
            }
        }
        search
    }

    /// Returns the matches with their context, one for each distinct context.
    pub(crate) fn find(&self, text: &[u8]) -> Vec<String> {
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        for (at, window) in text.windows(PART).enumerate() {
            if !self.prefixes[start(window)] {
                continue;
            }
            if let Some(of) = self.parts.get(window) {
                let before = &text[at.saturating_sub(30)..at];
                if seen.insert(before.iter().copied().filter(|c| !c.is_ascii_digit()).collect::<Vec<u8>>()) {
                    let around = &text[at.saturating_sub(250)..(at + 100).min(text.len())];
                    found.push(format!("{of} in ...{}...", String::from_utf8_lossy(around)));
                }
            }
        }
        found
    }
}

fn start(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2])
}
