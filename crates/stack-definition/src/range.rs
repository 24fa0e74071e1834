//! Version ranges.

use std::str::FromStr;

use domain::Version;
use semver::VersionReq;
use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

const RANGE_MAX: usize = 256;

/// Version range in the syntax of Cargo: `^1.2`, `>=1.2, <3`, `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionRange {
    /// Text of the author, which a canonical form would change.
    text: String,
    range: VersionReq,
}

impl VersionRange {
    /// The range as its author wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns true if the range contains the version. It contains a pre-release only if it names one of the same `x.y.z`.
    pub fn matches(&self, version: &Version) -> bool {
        semver::Version::parse(version.as_str()).is_ok_and(|version| self.range.matches(&version))
    }
}

impl FromStr for VersionRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > RANGE_MAX {
            return Err(format!("must be at most {RANGE_MAX} characters"));
        }
        match VersionReq::parse(text) {
            Ok(range) => Ok(Self { text: text.to_owned(), range }),
            Err(error) => Err(format!("must be a version range such as ^1.2: {error}")),
        }
    }
}

impl TryFrom<String> for VersionRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<VersionRange> for String {
    fn from(range: VersionRange) -> Self {
        range.text
    }
}

impl PartialSchema for VersionRange {
    fn schema() -> RefOr<Schema> {
        let described =
            ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(RANGE_MAX));
        described.description(Some("Version range, such as ^1.2")).into()
    }
}

impl ToSchema for VersionRange {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_match_as_in_cargo() {
        for (range, inside, outside) in [
            ("^1.2", &["1.2.0", "1.99.0"][..], &["1.1.9", "2.0.0", "1.3.0-rc.1"][..]),
            ("^0.2.3", &["0.2.3", "0.2.9"], &["0.3.0", "0.2.2"]),
            ("~1.2.3", &["1.2.3", "1.2.9"], &["1.3.0"]),
            (">=1.2, <3", &["1.2.0", "2.9.9"], &["3.0.0", "1.1.0"]),
            ("=1.0.0-rc.2", &["1.0.0-rc.2"], &["1.0.0", "1.0.0-rc.1"]),
            (">=1.0.0-rc.2", &["1.0.0-rc.10", "1.0.0", "2.0.0"], &["1.0.0-rc.1", "1.0.1-rc.3"]),
            ("1.*", &["1.0.0", "1.7.1"], &["2.0.0"]),
            ("*", &["0.0.1", "9.9.9"], &["1.0.0-rc.1"]),
        ] {
            let range: VersionRange = range.parse().unwrap();
            for version in inside {
                assert!(range.matches(&Version::parse(version).unwrap()), "{} {version}", range.as_str());
            }
            for version in outside {
                assert!(!range.matches(&Version::parse(version).unwrap()), "{} {version}", range.as_str());
            }
        }
    }

    #[test]
    fn range_keeps_the_text_of_its_author() {
        let range: VersionRange = serde_json::from_str("\">= 1.2 , <3\"").unwrap();
        assert_eq!(serde_json::to_string(&range).unwrap(), "\">= 1.2 , <3\"");
        assert!("new".parse::<VersionRange>().is_err());
        assert!("^1".repeat(129).parse::<VersionRange>().is_err());
    }
}
