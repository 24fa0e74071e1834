//! Lists of strings, which an environment variable can contain as one string.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema, schema::AnyOfBuilder},
};

/// A list of strings, read from a list or from one comma-separated string.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StringList(pub Vec<String>);

impl<'de> Deserialize<'de> for StringList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Input {
            List(Vec<String>),
            Text(String),
        }
        Ok(Self(match Input::deserialize(deserializer)? {
            Input::List(list) => list,
            Input::Text(text) => {
                text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
            }
        }))
    }
}

impl PartialSchema for StringList {
    fn schema() -> RefOr<Schema> {
        AnyOfBuilder::new().item(Vec::<String>::schema()).item(String::schema()).into()
    }
}

impl ToSchema for StringList {}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn list_may_be_one_comma_separated_string() {
        let both = StringList(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(from_value::<StringList>(json!(["a", "b"])).unwrap(), both);
        assert_eq!(from_value::<StringList>(json!(" a, b,")).unwrap(), both);
        assert_eq!(from_value::<StringList>(json!("")).unwrap(), StringList::default());
        assert!(from_value::<StringList>(json!(1)).is_err());
    }
}
