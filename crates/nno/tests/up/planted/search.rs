//! Finds any of many secrets in what was written, in whole or in part, as it is or encoded.

use std::collections::{HashMap, HashSet};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

use super::secret::Secret;

/// So much of a secret is a leak.
const PART: usize = 12;

pub(crate) struct Search {
    /// The parts that are looked for, and what each is of.
    parts: HashMap<[u8; PART], String>,
    /// Whether a part begins with these three bytes.
    begins: Vec<bool>,
}

/// All that a text may become on its way, but for what letters and digits stay in.
fn forms(random: &str) -> Vec<(&'static str, String)> {
    let hex: String = random.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![
        ("as it is", random.to_owned()),
        ("in small letters", random.to_lowercase()),
        ("in large letters", random.to_uppercase()),
        ("in hexadecimal", hex.clone()),
        ("in large hexadecimal", hex.to_uppercase()),
    ];
    // What stands before it decides where its bytes fall; the first and last letters depend on its neighbours.
    for before in 0..3 {
        let encoded = STANDARD_NO_PAD.encode(random.get(before..).unwrap());
        forms.push(("in base64", encoded.get(..encoded.len() - 3).unwrap().to_owned()));
    }
    forms
}

impl Search {
    pub(crate) fn of<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut search = Self { parts: HashMap::new(), begins: vec![false; 1 << 24] };
        for secret in secrets {
            for (form, text) in forms(&secret.random) {
                assert!(text.len() >= PART, "{}", secret.text);
                // Its beginning and its end: what is cut off anywhere leaves one of them.
                for at in [0, text.len() - PART] {
                    let part: [u8; PART] = text.as_bytes()[at..at + PART].try_into().unwrap();
                    search.begins[start(&part)] = true;
                    search.parts.insert(part, format!("{} ({form})", secret.text));
                }
            }
        }
        search
    }

    /// What is found, each with what stands around it; of what is found in the same surroundings, one.
    pub(crate) fn find(&self, text: &[u8]) -> Vec<String> {
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        for (at, window) in text.windows(PART).enumerate() {
            if !self.begins[start(window)] {
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
