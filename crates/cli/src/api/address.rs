//! The URL of the API.

use std::fmt;

use anyhow::{Context, Result, bail};
use reqwest::Url;
use serde::{Deserialize, Serialize};

/// A URL such as `http://127.0.0.1:8080`, normalized so that it can be the key of stored credentials.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Address(String);

impl Address {
    /// Parses and normalizes a URL.
    ///
    /// # Errors
    /// When it is not an HTTP URL, has a query or a fragment, or contains credentials.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let url = Url::parse(text).with_context(|| format!("{text} is not a URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            bail!("the URL must not have a user name or a password in it");
        }
        if !matches!(url.scheme(), "http" | "https") {
            bail!("{text} is not the URL of an API: it must look like http://127.0.0.1:8080");
        }
        if url.query().is_some() || url.fragment().is_some() {
            bail!("{text} must not have a query or a fragment");
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
    fn equal_addresses_have_one_spelling() {
        for text in ["http://Example.com", "http://example.com/", "http://example.com:80//"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), "http://example.com", "{text}");
        }
        for text in ["http://[::1]:8080/nno", "https://nno.example"] {
            assert_eq!(Address::parse(&format!("{text}/")).unwrap().to_string(), text);
        }
    }

    #[test]
    fn url_that_cannot_be_called_is_rejected() {
        for (text, why) in [
            ("nno", "not a URL"),
            ("localhost:8080", "must look like http://"),
            ("ftp://nno.example", "must look like http://"),
            ("http://nno.example/?a=b", "must not have a query"),
            ("http://nno.example/#a", "must not have a query"),
        ] {
            let message = format!("{:#}", Address::parse(text).unwrap_err());
            assert!(message.contains(why) && message.contains(text), "{message}");
        }
        let message = format!("{:#}", Address::parse("http://me:hush@nno.example").unwrap_err());
        assert!(message.contains("password") && !message.contains("hush"), "{message}");
    }
}
