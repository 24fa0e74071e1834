//! Fields of a PATCH, which have three states: absent, null, a value.

use serde::{Deserialize, Deserializer};

/// Change of one field by a PATCH. Use with `#[serde(default)]`, which makes an absent field [`Patch::Keep`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Patch<T> {
    /// The field is absent: its value stays.
    #[default]
    Keep,
    /// The field is null: its value is removed.
    Clear,
    /// The field has a value: it replaces the current one.
    Set(T),
}

impl<T> Patch<T> {
    /// The value of the field after the patch.
    pub fn apply(self, current: Option<T>) -> Option<T> {
        match self {
            Self::Keep => current,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }

    /// The same patch with its value converted.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Self::Keep => Patch::Keep,
            Self::Clear => Patch::Clear,
            Self::Set(value) => Patch::Set(f(value)),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<T>::deserialize(deserializer).map(|value| value.map_or(Self::Clear, Self::Set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        repo: Patch<String>,
    }

    #[test]
    fn absent_null_and_value_are_distinct() {
        let read = |json| serde_json::from_str::<Body>(json).unwrap().repo;
        assert_eq!(read("{}"), Patch::Keep);
        assert_eq!(read(r#"{"repo":null}"#), Patch::Clear);
        assert_eq!(read(r#"{"repo":"a"}"#), Patch::Set("a".to_owned()));
        assert_eq!(Patch::Keep.apply(Some(1)), Some(1));
        assert_eq!(Patch::Clear.apply(Some(1)), None);
        assert_eq!(Patch::Set(2).apply(Some(1)), Some(2));
    }
}
