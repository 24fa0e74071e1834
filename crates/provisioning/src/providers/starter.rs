//! The starter: the initial files of a platform's repository, from the `starter/` folder of this crate.

use std::collections::BTreeMap;

use domain::ResourceName;
use serde::{Deserialize, Serialize};

use super::ProviderError;

/// The files of the starter by path, compiled into the program.
const FILES: [(&str, &str); 7] = [
    (".gitignore", include_str!("../../starter/.gitignore")),
    ("README.md", include_str!("../../starter/README.md")),
    ("dev.js", include_str!("../../starter/dev.js")),
    ("nno.json", include_str!("../../starter/nno.json")),
    ("package.json", include_str!("../../starter/package.json")),
    ("src/index.js", include_str!("../../starter/src/index.js")),
    ("test/index.test.js", include_str!("../../starter/test/index.test.js")),
];

/// Values of the starter's placeholders, and author and time of its commit. Together they determine the commit id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Starter {
    platform_id: ResourceName,
    platform_name: String,
    slug: ResourceName,
    author: Author,
    committed_at: i64,
}

/// Author of the first commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Author {
    /// Full name, without `<`, `>` or control characters.
    pub name: String,
    /// Email address, without `<`, `>`, spaces or control characters.
    pub email: String,
}

impl Starter {
    /// Creates the starter of a platform, committed by `author` at `committed_at` (Unix seconds, 0 or later).
    ///
    /// # Errors
    ///
    /// Permanent, if the name is empty, longer than 200 characters or has control characters, if Git cannot record the
    /// author, or if the time is before 1970.
    pub fn new(
        platform_id: ResourceName,
        platform_name: impl Into<String>,
        slug: ResourceName,
        author: Author,
        committed_at: i64,
    ) -> Result<Self, ProviderError> {
        let platform_name = platform_name.into();
        let length = platform_name.chars().count();
        if !(1..=200).contains(&length) || platform_name.chars().any(char::is_control) {
            return Err(ProviderError::permanent(
                "a platform name must have 1 to 200 characters and no control characters",
            ));
        }
        let unfit = |c: char| c.is_control() || c == '<' || c == '>';
        if author.name.trim().is_empty() || author.name.contains(unfit) {
            return Err(ProviderError::permanent(format!(
                "{:?} is not a valid author name for Git",
                author.name
            )));
        }
        if author.email.is_empty() || author.email.contains(|c: char| unfit(c) || c.is_whitespace()) {
            return Err(ProviderError::permanent(format!(
                "{:?} is not a valid email address for Git",
                author.email
            )));
        }
        if committed_at < 0 {
            return Err(ProviderError::permanent(format!("{committed_at} is before 1970")));
        }
        Ok(Self { platform_id, platform_name, slug, author, committed_at })
    }

    /// Returns the files by path, with the placeholders replaced. The result is identical on every machine.
    ///
    /// # Errors
    ///
    /// Permanent, if a file of the starter has an unknown placeholder.
    pub fn files(&self) -> Result<BTreeMap<String, Vec<u8>>, ProviderError> {
        FILES
            .iter()
            .map(|(path, template)| {
                let text = self.fill_in(path, template).map_err(|e| e.context(path))?;
                Ok(((*path).to_owned(), text.into_bytes()))
            })
            .collect()
    }

    /// Returns the author of the first commit.
    pub fn author(&self) -> &Author {
        &self.author
    }

    /// Returns the time of the first commit in Unix seconds.
    pub fn committed_at(&self) -> i64 {
        self.committed_at
    }

    /// Returns the message of the first commit.
    pub fn message(&self) -> String {
        format!("Start {}\n", self.platform_name)
    }

    /// Replaces every `{{placeholder}}` in one pass, so that a value that looks like a placeholder is not replaced.
    fn fill_in(&self, path: &str, template: &str) -> Result<String, ProviderError> {
        let mut text = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            let (placeholder, after) = after
                .split_once("}}")
                .ok_or_else(|| ProviderError::permanent("a placeholder is not closed"))?;
            let value = match placeholder {
                "platform_id" => self.platform_id.as_str(),
                "platform_name" => &self.platform_name,
                "slug" => self.slug.as_str(),
                other => {
                    return Err(ProviderError::permanent(format!("{{{{{other}}}}} is not a placeholder")));
                }
            };
            text.push_str(before);
            text.push_str(&escaped(path, value));
            rest = after;
        }
        text.push_str(rest);
        Ok(text)
    }
}

/// Escapes a value for the format of the file.
fn escaped(path: &str, value: &str) -> String {
    if path.ends_with(".md") {
        let mut text = String::with_capacity(value.len());
        for c in value.chars() {
            if "\\`*_{}[]<>#+!|~&$".contains(c) {
                text.push('\\');
            }
            text.push(c);
        }
        return text;
    }
    // In JSON and JavaScript, every placeholder is inside a string literal.
    let literal = serde_json::Value::from(value).to_string();
    literal.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default().to_owned()
}

/// Unvalidated serialised form of a starter.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    platform_id: ResourceName,
    platform_name: String,
    slug: ResourceName,
    author: Author,
    committed_at: i64,
}

impl TryFrom<Unchecked> for Starter {
    type Error = ProviderError;

    fn try_from(raw: Unchecked) -> Result<Self, ProviderError> {
        Self::new(raw.platform_id, raw.platform_name, raw.slug, raw.author, raw.committed_at)
    }
}

impl From<Starter> for Unchecked {
    fn from(starter: Starter) -> Self {
        let Starter { platform_id, platform_name, slug, author, committed_at } = starter;
        Self { platform_id, platform_name, slug, author, committed_at }
    }
}
