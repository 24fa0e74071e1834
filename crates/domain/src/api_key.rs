//! API keys: `nno_<id>_<secret>`.
//!
//! The iam service creates them and the gateway parses them. Only the digest of the secret is stored, so a key is
//! shown once, when it is created.

use std::fmt;

use rand::Rng;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::id;

/// Start of every key, so that secret scanners recognise a leaked key.
const START: &str = "nno_";
/// Hexadecimal digits of the id.
const ID_LENGTH: usize = 32;
/// Length of the secret in letters and digits. 62^43 is more than 2^256.
const SECRET_LENGTH: usize = 43;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// API key. Only [`ApiKey::reveal`] returns its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    id: Uuid,
    secret: String,
}

impl ApiKey {
    /// A new key with a random secret.
    pub fn generate() -> Self {
        let mut rng = rand::rng();
        let secret = (0..SECRET_LENGTH)
            .filter_map(|_| ALPHABET.get(rng.random_range(0..ALPHABET.len())))
            .map(|c| char::from(*c))
            .collect();
        Self { id: id::uuid_v7(), secret }
    }

    /// Reads a key. Two different texts are never the same key.
    ///
    /// # Errors
    /// A predicate that states the form of a key. It contains nothing of the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text).ok_or_else(|| {
            format!(
                "must be {START}, {ID_LENGTH} hexadecimal digits, _, and {SECRET_LENGTH} letters and digits"
            )
        })
    }

    fn read(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(START)?.split_once('_')?;
        let hexadecimal = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        let valid = id.len() == ID_LENGTH
            && id.bytes().all(hexadecimal)
            && secret.len() == SECRET_LENGTH
            && secret.bytes().all(|c| c.is_ascii_alphanumeric());
        if !valid {
            return None;
        }
        Some(Self { id: Uuid::try_parse(id).ok()?, secret: secret.to_owned() })
    }

    /// The id of the key, under which it is stored.
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// The key without its secret, for display.
    pub fn prefix(&self) -> String {
        prefix(self.id)
    }

    /// SHA-256 of the secret, for storage. A random secret of 256 bits cannot be guessed, so it needs no slow hash.
    pub fn secret_digest(&self) -> [u8; 32] {
        Sha256::digest(self.secret.as_bytes()).into()
    }

    /// The whole key, with its secret.
    pub fn reveal(&self) -> String {
        format!("{}_{}", self.prefix(), self.secret)
    }
}

/// The key with this id, without its secret, for display.
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
    fn generated_keys_are_valid_and_unique() {
        let keys: Vec<ApiKey> = (0..1000).map(|_| ApiKey::generate()).collect();
        for key in &keys {
            assert_eq!(ApiKey::parse(&key.reveal()).unwrap(), *key);
            assert!(key.reveal().starts_with(&format!("{}_", key.prefix())));
        }
        assert_eq!(keys.iter().map(ApiKey::id).collect::<HashSet<_>>().len(), keys.len());
        assert_eq!(keys.iter().map(ApiKey::secret_digest).collect::<HashSet<_>>().len(), keys.len());
    }

    #[test]
    fn format_and_digest_of_stored_keys_stay_the_same() {
        let text = "nno_0197f4a1c0de7000800000000000002a_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq";
        let key = ApiKey::parse(text).unwrap();
        assert_eq!((key.reveal().as_str(), key.prefix().as_str()), (text, &text[..36]));
        assert_eq!(key.secret_digest()[..4], [0x76, 0x9e, 0x8d, 0x95]);
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_never_repeats_the_text(text in "\\PC*") {
            if let Err(why) = ApiKey::parse(&text) {
                prop_assert!(text.len() < 12 || !why.contains(&text));
            }
        }

        #[test]
        fn valid_key_equals_its_text(id in "[0-9a-f]{31,33}", secret in "[A-Za-z0-9_-]{42,44}") {
            let text = format!("nno_{id}_{secret}");
            let valid = id.len() == 32 && secret.len() == 43 && secret.bytes().all(|c| c.is_ascii_alphanumeric());
            let read = ApiKey::parse(&text);
            prop_assert_eq!(read.is_ok(), valid);
            if let Ok(key) = read {
                prop_assert_eq!(key.reveal(), text);
            }
        }

        #[test]
        fn changed_or_padded_key_is_invalid(at in 0..79usize) {
            let text = ApiKey::generate().reveal();
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'!' { b'?' } else { b'!' };
            prop_assert!(ApiKey::parse(&String::from_utf8(changed).unwrap()).is_err());
            for padded in [format!(" {text}"), format!("{text}\n"), format!("{text}A")] {
                prop_assert!(ApiKey::parse(&padded).is_err());
            }
        }

        #[test]
        fn debug_and_errors_do_not_contain_the_secret(_ in 0..50u8) {
            let key = ApiKey::generate();
            let secret = key.reveal().split_off(37);
            let wrong = ApiKey::parse(&format!("nno_{secret}")).unwrap_err();
            let printed = format!("{key:?} {key:#?} {wrong}");
            prop_assert!(!printed.contains(&secret));
        }
    }
}
