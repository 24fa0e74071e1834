//! API keys as their holders have them: `nno_<id>_<secret>`.
//!
//! iam makes them, and the gateway reads them. What is kept of a secret is its digest, so the text itself is seen when
//! the key is made and never again.

use std::fmt;

use rand::Rng;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::id;

/// What every key begins with, so that one that leaked is known for what it is.
const START: &str = "nno_";
/// Hexadecimal digits of the id.
const ID_LENGTH: usize = 32;
/// Letters and digits of the secret: 62^43 is more than 2^256.
const SECRET_LENGTH: usize = 43;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A key. Nothing prints its secret but [`ApiKey::reveal`].
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    id: Uuid,
    secret: String,
}

impl ApiKey {
    /// A new key with an id and a secret of its own.
    pub fn generate() -> Self {
        let mut rng = rand::rng();
        let secret = (0..SECRET_LENGTH)
            .filter_map(|_| ALPHABET.get(rng.random_range(0..ALPHABET.len())))
            .map(|c| char::from(*c))
            .collect();
        Self { id: id::uuid_v7(), secret }
    }

    /// Reads a key. A text is a key in one way alone, so two texts are never the same key.
    ///
    /// # Errors
    /// A sentence that says what a key looks like; it holds nothing of the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text).ok_or_else(|| {
            format!("must be {START}, {ID_LENGTH} of 0-9 and a-f, _, and {SECRET_LENGTH} letters and digits")
        })
    }

    fn read(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(START)?.split_once('_')?;
        let hexadecimal = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        let lawful = id.len() == ID_LENGTH
            && id.bytes().all(hexadecimal)
            && secret.len() == SECRET_LENGTH
            && secret.bytes().all(|c| c.is_ascii_alphanumeric());
        if !lawful {
            return None;
        }
        Some(Self { id: Uuid::try_parse(id).ok()?, secret: secret.to_owned() })
    }

    /// What the key is found by.
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// What of a key may be shown: all but the secret.
    pub fn prefix(&self) -> String {
        prefix(self.id)
    }

    /// SHA-256 of the secret, which is what is kept of it. A slow hash is for what people choose: of a random secret
    /// of 256 bits there is nothing to try.
    pub fn secret_digest(&self) -> [u8; 32] {
        Sha256::digest(self.secret.as_bytes()).into()
    }

    /// The whole key, for the one who is given it.
    pub fn reveal(&self) -> String {
        format!("{}_{}", self.prefix(), self.secret)
    }
}

/// What of the key with this id may be shown.
pub fn prefix(id: Uuid) -> String {
    format!("{START}{}", id.simple())
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}_...)", self.prefix())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_new_key_reads_back_and_is_like_no_other() {
        let keys: Vec<ApiKey> = (0..1000).map(|_| ApiKey::generate()).collect();
        for key in &keys {
            assert_eq!(ApiKey::parse(&key.reveal()).unwrap(), *key);
            assert!(key.reveal().starts_with(&format!("{}_", key.prefix())));
        }
        assert_eq!(keys.iter().map(ApiKey::id).collect::<HashSet<_>>().len(), keys.len());
        assert_eq!(keys.iter().map(ApiKey::secret_digest).collect::<HashSet<_>>().len(), keys.len());
    }

    #[test]
    fn a_key_that_is_kept_somewhere_stays_a_key() {
        let text = "nno_0197f4a1c0de7000800000000000002a_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq";
        let key = ApiKey::parse(text).unwrap();
        assert_eq!((key.reveal().as_str(), key.prefix().as_str()), (text, &text[..36]));
        assert_eq!(key.secret_digest()[..4], [0x76, 0x9e, 0x8d, 0x95]);
    }

    proptest! {
        #[test]
        fn no_text_panics_or_is_echoed(text in "\\PC*") {
            if let Err(why) = ApiKey::parse(&text) {
                prop_assert!(text.len() < 12 || !why.contains(&text));
            }
        }

        #[test]
        fn what_is_read_is_what_was_written(id in "[0-9a-f]{31,33}", secret in "[A-Za-z0-9_-]{42,44}") {
            let text = format!("nno_{id}_{secret}");
            let lawful = id.len() == 32 && secret.len() == 43 && secret.bytes().all(|c| c.is_ascii_alphanumeric());
            let read = ApiKey::parse(&text);
            prop_assert_eq!(read.is_ok(), lawful);
            if let Ok(key) = read {
                prop_assert_eq!(key.reveal(), text);
            }
        }

        #[test]
        fn another_case_or_start_is_another_text(at in 0..79usize) {
            let text = ApiKey::generate().reveal();
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'!' { b'?' } else { b'!' };
            prop_assert!(ApiKey::parse(&String::from_utf8(changed).unwrap()).is_err());
            for padded in [format!(" {text}"), format!("{text}\n"), format!("{text}A")] {
                prop_assert!(ApiKey::parse(&padded).is_err());
            }
        }

        #[test]
        fn nothing_prints_the_secret(_ in 0..50u8) {
            let key = ApiKey::generate();
            let secret = key.reveal().split_off(37);
            let wrong = ApiKey::parse(&format!("nno_{secret}")).unwrap_err();
            let printed = format!("{key:?} {key:#?} {wrong}");
            prop_assert!(!printed.contains(&secret));
        }
    }
}
