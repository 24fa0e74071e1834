//! Identifiers. Opaque to clients.
//!
//! Platforms, entities and stacks have ten random characters of `[a-z0-9]`, because they stand in resource names
//! and host names. Everything else has a UUIDv7: see [`uuid_v7`].

use rand::Rng;
use uuid::Uuid;

/// Characters of a short id; 36^10 of them, so a collision is met by trying again, not by looking first.
const SHORT_LENGTH: usize = 10;
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// A new time-ordered id.
pub fn uuid_v7() -> Uuid {
    Uuid::now_v7()
}

fn random_short() -> String {
    let mut rng = rand::rng();
    (0..SHORT_LENGTH)
        .filter_map(|_| ALPHABET.get(rng.random_range(0..ALPHABET.len())))
        .map(|c| char::from(*c))
        .collect()
}

fn is_short(text: &str) -> bool {
    text.len() == SHORT_LENGTH && text.bytes().all(|c| ALPHABET.contains(&c))
}

macro_rules! short_id {
    ($(#[$meta:meta])* $type:ident, $thing:literal $(, or $literal:literal)?) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[cfg_attr(feature = "diesel", derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow))]
        #[cfg_attr(feature = "diesel", diesel(sql_type = diesel::sql_types::Text))]
        pub struct $type(String);

        impl $type {
            /// A new random id.
            pub fn random() -> Self {
                Self(random_short())
            }

            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Reads an id.
            ///
            /// # Errors
            /// A sentence that says what an id looks like.
            pub fn parse(text: &str) -> Result<Self, String> {
                if is_short(text) $(|| text == $literal)? {
                    return Ok(Self(text.to_owned()));
                }
                Err(format!(concat!("must be ", $thing, " id: {} characters of a-z and 0-9" $(, ", or '", $literal, "'")?), SHORT_LENGTH))
            }
        }

        text!($type, concat!("Id of ", $thing), min 1, max Some(SHORT_LENGTH), pattern None);
    };
}

short_id!(
    /// Id of a platform: the tenant boundary.
    PlatformId, "a platform"
);
short_id!(
    /// Id of an entity: a tenant or subtenant of a platform.
    EntityId, "an entity"
);
short_id!(
    /// Id of a workspace stack; the literal `default` names what belongs to no particular stack.
    StackId, "a stack", or "default"
);

impl StackId {
    /// The literal `default`.
    pub fn default_stack() -> Self {
        Self("default".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn random_ids_read_back() {
        for _ in 0..1000 {
            let id = PlatformId::random();
            assert_eq!(PlatformId::parse(id.as_str()).unwrap(), id);
        }
    }

    #[test]
    fn only_stacks_know_the_default() {
        assert_eq!(StackId::parse("default").unwrap(), StackId::default_stack());
        assert!(PlatformId::parse("default").is_err());
        assert!(EntityId::parse("default").is_err());
    }

    proptest! {
        #[test]
        fn accepts_exactly_ten_of_the_alphabet(text in "\\PC{0,12}") {
            let lawful = text.len() == 10 && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            prop_assert_eq!(EntityId::parse(&text).is_ok(), lawful);
        }
    }
}
