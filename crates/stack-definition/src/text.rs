//! Bounded texts that authors write.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

/// Text of `MIN` to `MAX` characters. Line breaks and tabs are the only allowed control characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text<const MIN: usize, const MAX: usize>(String);

/// Display name of an object.
pub type DisplayName = Text<1, 128>;
/// Purpose of an object.
pub type Description = Text<1, 1024>;

/// Returns true if the text has no control characters other than line breaks and tabs. `jsonb` rejects NUL.
pub fn is_plain(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'))
}

/// Message of a fault for a text that is not [plain](is_plain).
pub const NOT_PLAIN: &str = "must not contain control characters";

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> TryFrom<String> for Text<MIN, MAX> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if !(MIN..=MAX).contains(&text.chars().count()) {
            return Err(format!("must be {MIN} to {MAX} characters"));
        }
        if is_plain(&text) { Ok(Self(text)) } else { Err(NOT_PLAIN.to_owned()) }
    }
}

impl<const MIN: usize, const MAX: usize> From<Text<MIN, MAX>> for String {
    fn from(text: Text<MIN, MAX>) -> Self {
        text.0
    }
}

impl<const MIN: usize, const MAX: usize> PartialSchema for Text<MIN, MAX> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).min_length(Some(MIN)).max_length(Some(MAX)).into()
    }
}

impl<const MIN: usize, const MAX: usize> ToSchema for Text<MIN, MAX> {
    fn name() -> Cow<'static, str> {
        Cow::Owned(format!("Text{MIN}To{MAX}"))
    }
}

/// Reads a field that may be absent but not null, which serde reads as absent by default:
/// `#[serde(default, deserialize_with = "stack_definition::text::non_null")]`.
///
/// # Errors
/// The errors of the type.
pub fn non_null<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_count_characters_not_bytes() {
        let read = |text: &str| Text::<1, 3>::try_from(text.to_owned());
        assert!(read("äöü").is_ok());
        assert!(read("a\nb").is_ok());
        for bad in ["", "abcd", "a\0", "\u{1b}", "\u{85}"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
