//! Filter of the list of templates.

use domain::{Error, Fault, Result};
use serde::Deserialize;
use utoipa::IntoParams;

/// Maximum length of a filter text, in characters.
const MAX_CHARS: usize = 256;
/// Maximum number of words in a search.
const MAX_WORDS: usize = 16;

/// Query parameters of the list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TemplateQuery {
    /// Prefixes of words: each must match a word of the name, the display name or the description.
    #[param(min_length = 1, max_length = 256)]
    search: Option<String>,
    /// `domain` of the template.
    #[param(min_length = 1, max_length = 256)]
    domain: Option<String>,
    /// Label of the latest version: its name, or `name=value`.
    #[param(min_length = 1, max_length = 256)]
    label: Option<String>,
}

/// Filter of a list. The default matches every template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) words: Option<Words>,
    pub(crate) domain: Option<String>,
    pub(crate) label: Option<Label>,
}

/// Prefixes of words, in the syntax of PostgreSQL's `to_tsquery`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words(pub(crate) String);

/// Label by name, or by name and value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
}

impl TemplateQuery {
    /// Reads the parameters.
    ///
    /// # Errors
    /// [`domain::Kind::Validation`] with each invalid parameter.
    pub(crate) fn parse(self) -> Result<Filter> {
        let mut faults = Vec::new();
        let words = read("search", self.search, &mut faults, Words::parse);
        let domain = read("domain", self.domain, &mut faults, bounded);
        let label = read("label", self.label, &mut faults, Label::parse);
        if faults.is_empty() { Ok(Filter { words, domain, label }) } else { Err(Error::validation(faults)) }
    }
}

fn read<T>(
    name: &str,
    text: Option<String>,
    faults: &mut Vec<Fault>,
    parse: impl FnOnce(String) -> Result<T, String>,
) -> Option<T> {
    text.and_then(|text| parse(text).map_err(|why| faults.push(Fault::new(name, why))).ok())
}

fn bounded(text: String) -> Result<String, String> {
    if (1..=MAX_CHARS).contains(&text.chars().count()) {
        Ok(text)
    } else {
        Err(format!("must be 1 to {MAX_CHARS} characters"))
    }
}

impl Words {
    fn parse(text: String) -> Result<Self, String> {
        let text = bounded(text)?;
        // Only letters and digits, so that no character is an operator.
        let words: Vec<String> = text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(|word| format!("'{word}':*"))
            .collect();
        match words.len() {
            0 => Err("must contain a letter or a digit".to_owned()),
            1..=MAX_WORDS => Ok(Self(words.join(" & "))),
            _ => Err(format!("must be at most {MAX_WORDS} words")),
        }
    }
}

impl Label {
    fn parse(text: String) -> Result<Self, String> {
        let text = bounded(text)?;
        let (name, value) =
            text.split_once('=').map_or((text.as_str(), None), |(name, value)| (name, Some(value)));
        if name.is_empty() {
            return Err("must be a name, or name=value".to_owned());
        }
        Ok(Self { name: name.to_owned(), value: value.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(text: &str) -> Result<String, String> {
        Words::parse(text.to_owned()).map(|words| words.0)
    }

    #[test]
    fn search_splits_at_characters_other_than_letters_and_digits() {
        assert_eq!(search("Help-desk  2").unwrap(), "'Help':* & 'desk':* & '2':*");
        assert_eq!(search("a' | !(b):*\\").unwrap(), "'a':* & 'b':*");
        for bad in ["", " ", "'&|!", &"a ".repeat(17), &"a".repeat(257)] {
            assert!(search(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn label_is_a_name_or_a_name_with_a_value() {
        let read = |text: &str| Label::parse(text.to_owned());
        let label = |name: &str, value: Option<&str>| Label {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        };
        assert_eq!(read("tier"), Ok(label("tier", None)));
        assert_eq!(read("tier="), Ok(label("tier", Some(""))));
        assert_eq!(read("tier=a=b"), Ok(label("tier", Some("a=b"))));
        assert!(read("=gold").is_err() && read("").is_err());
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let some = |text: &str| Some(text.to_owned());
        let wrong = TemplateQuery { search: some("-"), domain: some(""), label: some("=") };
        let error = wrong.parse().unwrap_err();
        let faults = error.details()["fields"].as_array().unwrap();
        let paths: Vec<&str> = faults.iter().map(|fault| fault["path"].as_str().unwrap()).collect();
        assert_eq!(paths, ["search", "domain", "label"]);
        assert_eq!(TemplateQuery::default().parse().unwrap(), Filter::default());
    }
}
