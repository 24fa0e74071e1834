//! Masking of possible secrets. If a user pastes a key where a name belongs, no message, log or trace may contain the
//! key.
//!
//! No rule distinguishes secrets from names with certainty. This module treats long runs of letters and digits, which
//! names and ids do not contain, and passwords within URLs as secrets. It does not mask a short password in the wrong
//! place.

use std::borrow::Cow;

/// Replacement for a masked text.
pub const MASK: &str = "***";
/// Maximum length of an unmasked run of letters and digits, as in ids, resource names and the last part of a UUID.
const RUN: usize = 16;
/// Maximum length of an unmasked run of lower-case letters, upper-case letters and digits.
const MIXED_RUN: usize = 11;
/// Maximum length of an unmasked run of only letters or only digits.
const PLAIN_RUN: usize = 32;

/// Returns true if any part of the text looks like a secret.
pub fn may_be_secret(text: &str) -> bool {
    has_password(text) || text.split(|c: char| !c.is_ascii_alphanumeric()).any(is_random)
}

fn is_random(run: &str) -> bool {
    let has = |is: fn(&u8) -> bool| run.bytes().any(|c| is(&c));
    let (lower, upper) = (has(u8::is_ascii_lowercase), has(u8::is_ascii_uppercase));
    let max = match has(u8::is_ascii_digit) && (lower || upper) {
        true if lower && upper => MIXED_RUN,
        true => RUN,
        false => PLAIN_RUN,
    };
    run.len() > max
}

/// Returns true if a URL in the text contains a user name.
fn has_password(text: &str) -> bool {
    let after_schemes = text.split("://").skip(1);
    after_schemes.filter_map(|rest| rest.split(['/', '?', '#', ' ']).next()).any(|host| host.contains('@'))
}

/// Masks the words of a text that look like secrets. A static text is returned unchanged.
pub fn masked(text: Cow<'static, str>) -> Cow<'static, str> {
    match text {
        Cow::Borrowed(_) => text,
        Cow::Owned(text) => Cow::Owned(masked_text(text)),
    }
}

/// Masks the words of a text that look like secrets.
pub fn masked_text(text: String) -> String {
    if !may_be_secret(&text) {
        return text;
    }
    let masked = |part: &str| {
        let word = part.trim_end_matches(ends_word);
        let rest = part.strip_prefix(word).unwrap_or_default();
        if may_be_secret(word) { format!("{MASK}{rest}") } else { part.to_owned() }
    };
    text.split_inclusive(ends_word).map(masked).collect()
}

const fn ends_word(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\'' | '"' | '`' | '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | ',' | ';')
}

/// Masks the segments of a path that do not have the form of a name or an id of this system.
pub fn masked_path(path: &str) -> Cow<'_, str> {
    let is_shown = |part: &str| {
        let fits = |letter: fn(&u8) -> bool| {
            part.bytes().all(|c| letter(&c) || c.is_ascii_digit() || matches!(c, b'-' | b'_' | b'.'))
        };
        (fits(u8::is_ascii_lowercase) || fits(u8::is_ascii_uppercase)) && !may_be_secret(part)
    };
    if path.split('/').all(is_shown) {
        return Cow::Borrowed(path);
    }
    let parts: Vec<&str> = path.split('/').map(|part| if is_shown(part) { part } else { MASK }).collect();
    Cow::Owned(parts.join("/"))
}

/// Returns true if the text is certainly a credential: an API key or a signed token.
pub fn is_credential(text: &str) -> bool {
    text.starts_with("nno_") || (text.starts_with("eyJ") && text.matches('.').count() == 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{ApiKey, id};

    const JWT: &str = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJlLXRoYXQtaXMtbG9uZw";

    #[test]
    fn secrets_are_masked_in_texts_and_paths() {
        let key = ApiKey::generate().reveal();
        for secret in [
            &key,
            JWT,
            "0f3a9c1be27d4586a0f3a9c1be27d458",
            "postgres://me:short@127.0.0.1:5432/db",
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
        ] {
            assert!(may_be_secret(secret), "{secret}");
            for (before, after) in [("'", "' was not found."), ("unknown variant `", "`, or: "), ("", "")] {
                let masked = masked_text(format!("{before}{secret}{after}"));
                assert_eq!(masked, format!("{before}***{after}"));
            }
        }
        for secret in [&key, JWT, "p%40ssw0rd", "Secret", "0f3a9c1be27d4586a0f3a9c1be27d458"] {
            assert_eq!(masked_path(&format!("/api/v1/iam/keys/{secret}/x")), "/api/v1/iam/keys/***/x");
        }
        assert!(is_credential(&key) && is_credential(JWT));
    }

    #[test]
    fn names_and_ids_are_not_masked() {
        let (uuid, short) = (id::uuid_v7(), crate::PlatformId::random());
        let path = format!(
            "/api/v1/platforms/{short}/resources/{uuid}/secrets/AUTH_SECRET_2/1.0.0-rc.1/stack-definition.schema.json"
        );
        assert_eq!(masked_path(&path), path);
        for text in [
            format!("Platform '{short}' was not found at 2026-11-21T11:54:54.880Z, in {uuid}."),
            format!("Resource '{short}-{short}-storefront-auth' already exists."),
            "must be at most 9223372036854775807, see https://login.example.com/a@b".to_owned(),
            "is not one of \"starter\", \"growth\" or \"scale\"".to_owned(),
        ] {
            assert_eq!(masked_text(text.clone()), text);
        }
        for id in ["0199c0de-0000-7000-8000-000000000001", "trace.me:7_x-1"] {
            assert!(!is_credential(id));
        }
    }

    proptest! {
        #[test]
        fn no_key_survives(before in "\\PC{0,8}", after in "[ '\"`),;]\\PC{0,8}") {
            let key = ApiKey::generate().reveal();
            let masked = masked_text(format!("{before}{key}{after}"));
            prop_assert!(!masked.contains(&key[37..]), "{}", masked);
        }
    }
}
