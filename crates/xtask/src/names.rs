//! The names of a resource in the forms that code, paths and texts use.

use anyhow::{Result, bail, ensure};

/// Singular and plural of a resource, in snake case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) plural: String,
    singular: String,
}

/// Words that cannot be the name of a module or a variable.
const KEYWORDS: [&str; 12] =
    ["as", "crate", "dyn", "else", "false", "impl", "match", "self", "static", "super", "this", "true"];

impl Names {
    /// The names of a plural. The singular follows from it unless it is given.
    ///
    /// # Errors
    /// When a name is not in snake case, is a keyword, or is no plural.
    pub(crate) fn new(plural: &str, singular: Option<&str>) -> Result<Self> {
        let singular = match singular {
            Some(singular) => singular.to_owned(),
            None => singular_of(plural)?,
        };
        for name in [plural, &singular] {
            ensure!(
                is_snake_case(name),
                "'{name}' is not a name in snake case, such as notes or api_tokens."
            );
            ensure!(!KEYWORDS.contains(&name), "'{name}' is a keyword of Rust.");
        }
        ensure!(plural != singular, "The plural and the singular are both '{plural}'.");
        Ok(Self { plural: plural.to_owned(), singular })
    }

    /// A template with its placeholders filled in.
    pub(crate) fn fill(&self, template: &str) -> String {
        let (plural, singular) = (&self.plural, &self.singular);
        let camel_plural = camel(plural);
        let forms = [
            ("${plural}", plural.clone()),
            ("${singular}", singular.clone()),
            ("${Plural}", capitalized(&camel_plural)),
            ("${Singular}", capitalized(&camel(singular))),
            ("${camel}", camel(singular)),
            ("${path}", plural.replace('_', "-")),
            ("${words}", plural.replace('_', " ")),
            ("${word}", singular.replace('_', " ")),
            ("${Words}", capitalized(&plural.replace('_', " "))),
            ("${Word}", capitalized(&singular.replace('_', " "))),
        ];
        forms.iter().fold(template.to_owned(), |text, (placeholder, form)| text.replace(placeholder, form))
    }
}

fn is_snake_case(name: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    name.split('_').all(is_word)
}

/// The singular of a regular plural.
fn singular_of(plural: &str) -> Result<String> {
    if let Some(stem) = plural.strip_suffix("ies") {
        return Ok(format!("{stem}y"));
    }
    if let Some(stem) = plural.strip_suffix("es").filter(|stem| ends_in_a_sibilant(stem)) {
        return Ok(stem.to_owned());
    }
    match plural.strip_suffix('s') {
        Some(stem) if !stem.is_empty() && !stem.ends_with('s') => Ok(stem.to_owned()),
        _ => bail!("'{plural}' is not a plural that ends in 's'. Give its singular with --singular."),
    }
}

fn ends_in_a_sibilant(stem: &str) -> bool {
    ["ss", "x", "ch", "sh", "z"].iter().any(|end| stem.ends_with(end))
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// `apiToken` of `api_token`.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| text + &capitalized(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_singular_follows_from_a_regular_plural() {
        for (plural, singular) in [
            ("notes", "note"),
            ("policies", "policy"),
            ("boxes", "box"),
            ("addresses", "address"),
            ("api_tokens", "api_token"),
            ("services", "service"),
        ] {
            assert_eq!(singular_of(plural).unwrap(), singular);
        }
    }

    #[test]
    fn names_that_cannot_be_used_are_rejected() {
        let message = |plural: &str| Names::new(plural, None).unwrap_err().to_string();
        assert!(message("note").contains("not a plural"), "{}", message("note"));
        assert!(message("access").contains("not a plural"), "{}", message("access"));
        for plural in ["Notes", "my-notes", "_notes", "2notes", "notes_", "s", "../notes"] {
            Names::new(plural, None).unwrap_err();
        }
        assert!(message("selfs").contains("keyword"));
        assert!(Names::new("news", Some("news")).is_err());
        assert!(Names::new("data", Some("datum")).is_ok());
    }

    #[test]
    fn placeholders_stand_for_every_form() {
        let names = Names::new("api_tokens", None).unwrap();
        let template = "${plural} ${singular} ${Plural} ${Singular} ${camel}Id ${path} ${words} ${Word}";
        let filled = "api_tokens api_token ApiTokens ApiToken apiTokenId api-tokens api tokens Api token";
        assert_eq!(names.fill(template), filled);
    }
}
