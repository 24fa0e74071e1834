//! Versions, ordered by semver precedence in Rust and, by a stored key, in SQL.

/// A version `\d+.\d+.\d+(-[a-zA-Z0-9.]+)?` that semver 2.0 accepts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "diesel", derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow))]
#[cfg_attr(feature = "diesel", diesel(sql_type = diesel::sql_types::Text))]
pub struct Version {
    // The first field, so that the derived order is semver precedence. The key is unique per version.
    key: String,
    text: String,
    stable: bool,
}

const VERSION_MAX: usize = 128;

impl Version {
    /// Reads a version.
    ///
    /// # Errors
    /// A predicate that states the fault.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "must be a version such as 1.2.3 or 1.2.3-rc.1".to_owned();
        if text.len() > VERSION_MAX || text.contains('+') {
            return Err(wrong());
        }
        let parsed = semver::Version::parse(text).map_err(|error| format!("{}: {error}", wrong()))?;
        if parsed.pre.as_str().contains('-') {
            return Err("must have a pre-release of only letters, digits and dots".to_owned());
        }
        Ok(Self { key: sort_key(&parsed), text: text.to_owned(), stable: parsed.pre.is_empty() })
    }

    /// The version as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Sort key whose byte order (`COLLATE "C"`) is semver precedence.
    pub fn sort_key(&self) -> &str {
        &self.key
    }

    /// Returns true if the version is not a pre-release.
    pub fn is_stable(&self) -> bool {
        self.stable
    }
}

text!(
    Version,
    "Semantic version (semver 2.0), without build metadata",
    min 5,
    max Some(VERSION_MAX),
    pattern Some(r"^\d+\.\d+\.\d+(-[a-zA-Z0-9.]+)?$")
);

/// Builds the sort key of a version.
///
/// Each number has its length as a prefix, so that text order is numeric order. A space ends an identifier and sorts
/// below every character of one, so that fewer identifiers come first. `~` sorts above `-`, so that a release comes
/// after its pre-releases. The prefixes `0` and `1` sort numeric identifiers before alphanumeric ones.
fn sort_key(version: &semver::Version) -> String {
    let mut key = format!("{}.{}.{}", number(version.major), number(version.minor), number(version.patch));
    if version.pre.is_empty() {
        key.push('~');
        return key;
    }
    key.push('-');
    for identifier in version.pre.split('.') {
        match identifier.parse::<u64>() {
            Ok(value) => key.push_str(&format!("0{} ", number(value))),
            // A number that is too long for a u64 is still compared as a number.
            Err(_) if identifier.bytes().all(|c| c.is_ascii_digit()) => {
                key.push_str(&format!("0{:03}{identifier} ", identifier.len()));
            }
            Err(_) => key.push_str(&format!("1{identifier} ")),
        }
    }
    key
}

fn number(value: u64) -> String {
    let digits = value.to_string();
    format!("{:03}{digits}", digits.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_version() -> impl Strategy<Value = String> {
        (
            "[0-9]{1,3}",
            "[0-9]{1,3}",
            "[0-9]{1,20}",
            proptest::option::of("[a-zA-Z0-9]{1,4}(\\.[a-zA-Z0-9]{1,22}){0,3}"),
        )
            .prop_map(|(major, minor, patch, pre)| match pre {
                Some(pre) => format!("{major}.{minor}.{patch}-{pre}"),
                None => format!("{major}.{minor}.{patch}"),
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn order_is_semver_precedence(a in any_version(), b in any_version()) {
            match (semver::Version::parse(&a), semver::Version::parse(&b)) {
                (Ok(x), Ok(y)) => {
                    let (ours, theirs) = (Version::parse(&a).unwrap().cmp(&Version::parse(&b).unwrap()), x.cmp(&y));
                    prop_assert_eq!(ours, theirs, "{} {}", a, b);
                }
                _ => prop_assert!(Version::parse(&a).is_err() || Version::parse(&b).is_err()),
            }
        }
    }

    #[test]
    fn versions_sort_as_in_the_specification() {
        let order = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
        ];
        let versions: Vec<_> = order.iter().map(|v| Version::parse(v).unwrap()).collect();
        assert!(versions.is_sorted());
    }

    #[test]
    fn invalid_versions_are_rejected() {
        for bad in ["", "1", "1.2", "v1.2.3", "1.2.3+build", "01.2.3", "1.2.3-", "1.2.3-a-b", "1.2.3-01"] {
            assert!(Version::parse(bad).is_err(), "{bad}");
        }
    }
}
