//! Names that users choose, host names and URLs.

use fluent_uri::Uri;
use url::Url;

macro_rules! text_type {
    ($(#[$meta:meta])* $type:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[cfg_attr(feature = "diesel", derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow))]
        #[cfg_attr(feature = "diesel", diesel(sql_type = diesel::sql_types::Text))]
        pub struct $type(String);

        impl $type {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

text_type!(
    /// Display name: 1 to 256 characters, not only spaces, without control characters.
    Name
);
text_type!(
    /// Short name for URLs: `^[a-z0-9-]+$`, at most 64 characters.
    Slug
);
text_type!(
    /// Name of a provisioned resource: `[a-z0-9-]`, at most 63 characters, so that it is a valid DNS label.
    ResourceName
);
text_type!(
    /// Host name (RFC 1123) in lower case, of at least two labels.
    HostName
);
text_type!(
    /// Absolute `http` or `https` URL with a host, at most 2048 characters, as the client wrote it. It contains no user
    /// name and no password, because every reader of the object can see it.
    HttpUrl
);
text_type!(
    /// Name of a secret in the code that uses it: 1 to 128 of `[A-Za-z0-9_]`, not starting with a digit.
    SecretName
);

const NAME_MAX: usize = 256;
const SLUG_MAX: usize = 64;
const LABEL_MAX: usize = 63;
const HOST_MAX: usize = 253;
const URL_MAX: usize = 2048;
const SECRET_MAX: usize = 128;

fn is_slug(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
}

impl Name {
    /// Reads a name.
    ///
    /// # Errors
    /// A predicate that states the fault.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("must not be empty".to_owned());
        }
        if text.chars().count() > NAME_MAX {
            return Err(format!("must be at most {NAME_MAX} characters"));
        }
        if text.chars().any(char::is_control) {
            return Err("must not contain control characters".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl Slug {
    /// Reads a slug.
    ///
    /// # Errors
    /// A predicate that states the fault.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !is_slug(text) {
            return Err("must be one or more characters of a-z, 0-9 and '-'".to_owned());
        }
        if text.len() > SLUG_MAX {
            return Err(format!("must be at most {SLUG_MAX} characters"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl ResourceName {
    /// Reads a resource name.
    ///
    /// # Errors
    /// A predicate that states the fault.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !is_slug(text) {
            return Err("must be one or more characters of a-z, 0-9 and '-'".to_owned());
        }
        if text.len() > LABEL_MAX {
            return Err(format!("must be at most {LABEL_MAX} characters: '{text}' has {}", text.len()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl HostName {
    /// Reads a host name and converts it to lower case.
    ///
    /// # Errors
    /// A predicate that states the fault.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.to_ascii_lowercase();
        if text.len() > HOST_MAX {
            return Err(format!("must be at most {HOST_MAX} characters"));
        }
        if !text.contains('.') || !text.split('.').all(is_label) {
            return Err("must be a host name: labels of a-z, 0-9 and inner '-', separated by dots".to_owned());
        }
        // Resolvers may read a name whose last label is a number as an IP address (0x7f.0.0.0x1).
        if text.rsplit('.').next().is_some_and(is_number) {
            return Err("must be a host name, not an IP address".to_owned());
        }
        Ok(Self(text))
    }

    /// Returns true if the host name is `other` or lies below it.
    pub fn is_at_or_below(&self, other: &Self) -> bool {
        self.0.strip_suffix(other.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl From<ResourceName> for Name {
    fn from(name: ResourceName) -> Self {
        Self(name.0)
    }
}

impl HttpUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// A predicate that states the fault.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > URL_MAX {
            return Err(format!("must be at most {URL_MAX} characters"));
        }
        // The `url` crate accepts what browsers accept: spaces, non-ASCII letters, backslashes, missing slashes. Other
        // readers of the stored text may not.
        let is_strict = Uri::parse(text).is_ok_and(|uri| uri.authority().is_some());
        if !is_strict {
            return Err("must be an absolute URL by RFC 3986".to_owned());
        }
        match Url::parse(text) {
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                Err("must not contain a user name or a password".to_owned())
            }
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                Ok(Self(text.to_owned()))
            }
            Ok(_) => Err("must be an http or https URL".to_owned()),
            Err(error) => Err(format!("must be an http or https URL: {error}")),
        }
    }
}

impl SecretName {
    /// Reads the name of a secret.
    ///
    /// # Errors
    /// A predicate that states the fault.
    pub fn parse(text: &str) -> Result<Self, String> {
        let valid = text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
        if (1..=SECRET_MAX).contains(&text.len()) && valid && !text.starts_with(|c: char| c.is_ascii_digit())
        {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "must be 1 to {SECRET_MAX} characters of A-Z, a-z, 0-9 and '_', and must not start with a digit"
        ))
    }
}

/// Returns true for a number that resolvers accept as part of an IP address: decimal, octal or hexadecimal.
fn is_number(label: &str) -> bool {
    label.bytes().all(|c| c.is_ascii_digit())
        || label.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|c| c.is_ascii_hexdigit()))
}

fn is_label(label: &str) -> bool {
    is_slug(label) && label.len() <= LABEL_MAX && !label.starts_with('-') && !label.ends_with('-')
}

text!(Name, "Display name", min 1, max Some(NAME_MAX), pattern None);
text!(Slug, "Short name for URLs", min 1, max Some(SLUG_MAX), pattern Some("^[a-z0-9-]+$"));
text!(ResourceName, "Name of a provisioned resource", min 1, max Some(LABEL_MAX), pattern Some("^[a-z0-9-]+$"));
text!(HostName, "Host name (RFC 1123)", min 1, max Some(HOST_MAX), pattern None);
text!(HttpUrl, "An http or https URL", min 1, max Some(URL_MAX), pattern Some("^https?://"));
text!(SecretName, "Name of a secret", min 1, max Some(SECRET_MAX), pattern Some("^[A-Za-z_][A-Za-z0-9_]*$"));

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn host_names_follow_rfc_1123() {
        for good in ["a.b", "Auth.Example.COM", "x-1.svc.default.abcdefghij.nno.example"] {
            assert_eq!(HostName::parse(good).unwrap().as_str(), good.to_ascii_lowercase());
        }
        for bad in [
            "",
            "localhost",
            "a..b",
            "-a.b",
            "a-.b",
            "a_b.c",
            "127.0.0.1",
            "0x7f.0.0.0x1",
            "a.0x",
            "a.b.",
            "é.com",
        ] {
            assert!(HostName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_not_blank_and_contain_no_nul() {
        assert!(Name::parse("a\0b").is_err());
        assert!(Name::parse("  ").is_err());
        assert!(Name::parse("Größe 1").is_ok());
    }

    #[test]
    fn urls_are_absolute_and_contain_no_credentials() {
        for good in ["https://a.example", "http://127.0.0.1:8080/x?y=1#z", "https://[::1]/"] {
            assert_eq!(HttpUrl::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "a.example",
            "/x",
            "ftp://a.example",
            "javascript:alert(1)",
            "https://",
            "https:// a",
            "https://a.example/\0",
            "https:a.example",
            "https://a.example\\b",
            "https://a.example/<b>",
            "https://a.example/%zz",
            "https://a.example/\u{fc}",
            "https://\u{cf}",
            "https://me@a.example",
            "https://me:secret@a.example",
            "https://:secret@a.example",
        ] {
            assert!(HttpUrl::parse(bad).is_err(), "{bad}");
        }
        assert!(HttpUrl::parse(&format!("https://a.example/{}", "x".repeat(2048))).is_err());
    }

    #[test]
    fn secret_names_do_not_start_with_a_digit() {
        for good in ["A", "_x", "AUTH_SECRET_2"] {
            assert!(SecretName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "2A", "A-B", "A B", "\u{e9}"] {
            assert!(SecretName::parse(bad).is_err(), "{bad}");
        }
        assert!(SecretName::parse(&"a".repeat(129)).is_err());
    }

    proptest! {
        #[test]
        fn slugs_are_exactly_the_texts_of_the_pattern(text in "\\PC{0,70}|[a-z0-9-]{0,70}") {
            let valid = (1..=64).contains(&text.len()) && text.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-'));
            prop_assert_eq!(Slug::parse(&text).is_ok(), valid);
        }

        #[test]
        fn parsed_host_names_are_valid(text in "[a-z0-9.-]{0,40}") {
            if let Ok(host) = HostName::parse(&text) {
                prop_assert_eq!(HostName::parse(host.as_str()).unwrap(), host);
            }
        }
    }
}
