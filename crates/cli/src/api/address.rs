//! Where the API is.

use std::fmt;

use anyhow::{Context, Result, bail};
use reqwest::Url;
use serde::{Deserialize, Serialize};

/// Such as `http://127.0.0.1:8080`: always written the same way, so that what is kept for it is found again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Address(String);

impl Address {
    /// # Errors
    /// When it cannot be called, or would have to be kept secret.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let url = Url::parse(text).with_context(|| format!("{text} is not a URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            bail!("the URL must not have a user name or a password in it");
        }
        if !matches!(url.scheme(), "http" | "https") {
            bail!("{text} is no address of an API: it must look like http://127.0.0.1:8080");
        }
        if url.query().is_some() || url.fragment().is_some() {
            bail!("{text} must end with its path");
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Address {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_in_one_way() {
        for text in ["http://Example.com", "http://example.com/", "http://example.com:80//"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), "http://example.com", "{text}");
        }
        for text in ["http://[::1]:8080/nno", "https://nno.example"] {
            assert_eq!(Address::parse(&format!("{text}/")).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_cannot_be_called_is_refused() {
        for (text, why) in [
            ("nno", "not a URL"),
            ("localhost:8080", "must look like http://"),
            ("ftp://nno.example", "must look like http://"),
            ("http://nno.example/?a=b", "end with its path"),
            ("http://nno.example/#a", "end with its path"),
        ] {
            let told = format!("{:#}", Address::parse(text).unwrap_err());
            assert!(told.contains(why) && told.contains(text), "{told}");
        }
        let told = format!("{:#}", Address::parse("http://me:hush@nno.example").unwrap_err());
        assert!(told.contains("password") && !told.contains("hush"), "{told}");
    }
}
