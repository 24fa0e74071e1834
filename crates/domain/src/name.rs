//! Names that people choose, and names that machines are reached by.

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
    /// What a person calls a thing: any text but control characters, at most 256 characters, not only spaces.
    Name
);
text_type!(
    /// A short handle: `^[a-z0-9-]+$`, at most 64 characters.
    Slug
);
text_type!(
    /// The name of a provisioned thing: `[a-z0-9-]`, at most 63 characters, so that it fits a DNS label.
    ResourceName
);
text_type!(
    /// A host name by RFC 1123, lower-cased, of at least two labels.
    HostName
);
text_type!(
    /// An absolute `http` or `https` URL with a host, at most 2048 characters, as it was written. It names no user and
    /// no password: it is shown to whoever reads the thing.
    HttpUrl
);
text_type!(
    /// The name of a secret as the code that uses it sees it: 1 to 128 of `[A-Za-z0-9_]`, not starting with a digit.
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
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("must not be empty".to_owned());
        }
        if text.chars().count() > NAME_MAX {
            return Err(format!("must be at most {NAME_MAX} characters"));
        }
        if text.chars().any(char::is_control) {
            return Err("must not hold control characters".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl Slug {
    /// Reads a slug.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !is_slug(text) {
            return Err("must be of a-z, 0-9 and '-', and not empty".to_owned());
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
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !is_slug(text) {
            return Err("must be of a-z, 0-9 and '-', and not empty".to_owned());
        }
        if text.len() > LABEL_MAX {
            return Err(format!("must be at most {LABEL_MAX} characters, and '{text}' has {}", text.len()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl HostName {
    /// Reads a host name, lower-casing it.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.to_ascii_lowercase();
        if text.len() > HOST_MAX {
            return Err(format!("must be at most {HOST_MAX} characters"));
        }
        if !text.contains('.') || !text.split('.').all(is_label) {
            return Err("must be a host name: labels of a-z, 0-9 and inner '-', joined by dots".to_owned());
        }
        // An address is not a name, and one whose last label is a number could be read as one (0x7f.0.0.0x1).
        if text.rsplit('.').next().is_some_and(is_number) {
            return Err("must be a host name, not an address".to_owned());
        }
        Ok(Self(text))
    }

    /// Whether it is `other`, or a name below it.
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
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > URL_MAX {
            return Err(format!("must be at most {URL_MAX} characters"));
        }
        // What browsers forgive, and the other parser with them, readers of the stored text need not: spaces, letters
        // beyond ASCII, backslashes, slashes left out.
        let is_strict = Uri::parse(text).is_ok_and(|uri| uri.authority().is_some());
        if !is_strict {
            return Err("must be an absolute URL by RFC 3986".to_owned());
        }
        match Url::parse(text) {
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                Err("must not hold a user or a password".to_owned())
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
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lawful = text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
        if (1..=SECRET_MAX).contains(&text.len()) && lawful && !text.starts_with(|c: char| c.is_ascii_digit())
        {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("must be 1 to {SECRET_MAX} of A-Z, a-z, 0-9 and '_', and not start with a digit"))
    }
}

/// As resolvers read parts of an address: decimal, octal or hexadecimal.
fn is_number(label: &str) -> bool {
    label.bytes().all(|c| c.is_ascii_digit())
        || label.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|c| c.is_ascii_hexdigit()))
}

fn is_label(label: &str) -> bool {
    is_slug(label) && label.len() <= LABEL_MAX && !label.starts_with('-') && !label.ends_with('-')
}

text!(Name, "What people call it", min 1, max Some(NAME_MAX), pattern None);
text!(Slug, "Short handle", min 1, max Some(SLUG_MAX), pattern Some("^[a-z0-9-]+$"));
text!(ResourceName, "Name of a provisioned thing", min 1, max Some(LABEL_MAX), pattern Some("^[a-z0-9-]+$"));
text!(HostName, "Host name by RFC 1123", min 1, max Some(HOST_MAX), pattern None);
text!(HttpUrl, "An http or https URL", min 1, max Some(URL_MAX), pattern Some("^https?://"));
text!(SecretName, "Name of a secret", min 1, max Some(SECRET_MAX), pattern Some("^[A-Za-z_][A-Za-z0-9_]*$"));

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn host_names() {
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
    fn names_hold_no_nul() {
        assert!(Name::parse("a\0b").is_err());
        assert!(Name::parse("  ").is_err());
        assert!(Name::parse("Größe 1").is_ok());
    }

    #[test]
    fn urls() {
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
    fn secret_names() {
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
        fn slug_is_its_pattern(text in "\\PC{0,70}|[a-z0-9-]{0,70}") {
            let lawful = (1..=64).contains(&text.len()) && text.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-'));
            prop_assert_eq!(Slug::parse(&text).is_ok(), lawful);
        }

        #[test]
        fn a_host_name_reads_back(text in "[a-z0-9.-]{0,40}") {
            if let Ok(host) = HostName::parse(&text) {
                prop_assert_eq!(HostName::parse(host.as_str()).unwrap(), host);
            }
        }
    }
}
