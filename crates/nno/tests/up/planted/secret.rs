//! Random secrets in common formats.

use rand::{Rng, seq::IndexedRandom};

/// A secret with one contiguous random part.
#[derive(Clone)]
pub(crate) struct Secret {
    /// The whole secret, on one line.
    pub(crate) text: String,
    pub(crate) random: String,
    /// True if its format alone identifies it as a credential.
    pub(crate) is_credential: bool,
}

const SMALL: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const LARGE: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &[u8] = b"0123456789";

/// Returns letters of both cases and digits, at least one of each.
fn random(length: usize) -> String {
    let alphabet = [SMALL, LARGE, DIGITS].concat();
    loop {
        let drawn: Vec<u8> = (0..length).map(|_| *alphabet.choose(&mut rand::rng()).unwrap()).collect();
        if [SMALL, LARGE, DIGITS].iter().all(|kind| drawn.iter().any(|c| kind.contains(c))) {
            return String::from_utf8(drawn).unwrap();
        }
    }
}

fn hex(length: usize) -> String {
    (0..length).map(|_| char::from_digit(rand::rng().random_range(0..16), 16).unwrap()).collect()
}

/// Returns a word that is not masked in messages.
pub(crate) fn word() -> String {
    (0..16).map(|_| char::from(*SMALL.choose(&mut rand::rng()).unwrap())).collect()
}

pub(crate) const KINDS: usize = 10;

impl Secret {
    pub(crate) fn of_kind(n: usize) -> Self {
        let kind = n % KINDS;
        let random = match kind {
            0 => random(43),
            1 => random(86),
            2 => hex(64),
            3 => random(20),
            4 => random(24),
            5 => random(64),
            6 => random(40),
            7 => random(36),
            8 => random(44),
            _ => hex(40),
        };
        let text = match kind {
            0 => format!("nno_{}_{random}", hex(32)),
            1 => format!(
                "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUifQ.{random}"
            ),
            4 => format!("postgres://nno:{random}@10.0.0.1:5432/nno"),
            5 => format!("-----BEGIN PRIVATE KEY----- {random} -----END PRIVATE KEY-----"),
            7 => format!("ghp_{random}"),
            8 => format!("AccountName=nno;AccountKey={random}==;EndpointSuffix=core.example"),
            _ => random.clone(),
        };
        Self { text, random, is_credential: kind < 2 }
    }

    /// A secret that the system has generated.
    pub(crate) fn generated(text: &str) -> Self {
        let runs = text.split(|c: char| !c.is_ascii_alphanumeric());
        let random = runs.max_by_key(|run| run.len()).unwrap().to_owned();
        Self { text: text.to_owned(), random, is_credential: true }
    }
}
