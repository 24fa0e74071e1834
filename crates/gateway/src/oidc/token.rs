//! Parsing and verification of tokens.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::Grant;
use jsonwebtoken::{Validation, get_current_timestamp};
use serde_json::{Map, Value};

use super::{
    keys::{Key, is_accepted},
    settings::IssuerSettings,
};

/// Maximum size of a token, in bytes.
const MAX_BYTES: usize = 8 * 1024;
/// Maximum length of a subject with its prefix, in bytes.
const MAX_SUBJECT_BYTES: usize = 255;
/// Accepted values of the `typ` header. Other types of token, such as logout tokens, do not authenticate a request.
const TYPES: [&str; 4] = ["jwt", "at+jwt", "application/jwt", "application/at+jwt"];

type Claims = Map<String, Value>;

/// The unverified parts of a token that select the issuer and the key.
pub(super) struct Unverified {
    pub(super) issuer: String,
    pub(super) algorithm: String,
    pub(super) key_id: Option<String>,
}

impl Unverified {
    /// Parses a token; `None` if it cannot be acceptable.
    pub(super) fn read(token: &str) -> Option<Self> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let (header, claims) = (part(header)?, part(claims)?);
        let is_accepted_type = match header.get("typ") {
            None => true,
            Some(kind) => kind.as_str().is_some_and(|kind| TYPES.contains(&&*kind.to_ascii_lowercase())),
        };
        // A recipient must understand all critical extensions, and none is supported.
        if header.contains_key("crit") || header.contains_key("b64") || !is_accepted_type {
            return None;
        }
        let algorithm = header.get("alg")?.as_str().filter(|algorithm| is_accepted(algorithm))?.to_owned();
        let key_id = match header.get("kid") {
            None => None,
            Some(id) => Some(id.as_str()?.to_owned()),
        };
        Some(Self { issuer: claims.get("iss")?.as_str()?.to_owned(), algorithm, key_id })
    }
}

fn part(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// The person that a verified token identifies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) subject: String,
    pub(super) grants: Vec<Grant>,
}

/// The rules for an issuer's tokens.
pub(super) struct Rules {
    issuer: String,
    audiences: Vec<String>,
    skew: Duration,
    subject_prefix: String,
    roles_claim: String,
    roles: BTreeMap<String, Grant>,
}

impl Rules {
    pub(super) fn new(settings: &IssuerSettings, roles: BTreeMap<String, Grant>) -> Self {
        Self {
            issuer: settings.issuer.clone(),
            audiences: settings.audiences.0.clone(),
            skew: settings.clock_skew,
            subject_prefix: settings.subject_prefix.clone(),
            roles_claim: settings.roles_claim.clone(),
            roles,
        }
    }

    /// Returns the person that the token identifies, if one of `keys` signed it and all its claims are valid.
    pub(super) fn person(&self, token: &str, keys: &[&Key]) -> Option<Person> {
        let claims = keys.iter().find_map(|key| self.verify(token, key))?;
        let skew = self.skew.as_secs();
        if claims.get("iss")?.as_str()? != self.issuer {
            return None;
        }
        if let Some(issued) = claims.get("iat") {
            #[expect(clippy::cast_precision_loss, reason = "seconds since the Unix epoch are exact in f64")]
            let latest = (get_current_timestamp() + skew) as f64;
            issued.as_f64().filter(|issued| *issued <= latest)?;
        }
        let subject = claims.get("sub")?.as_str().filter(|subject| !subject.is_empty())?;
        let subject = format!("{}{subject}", self.subject_prefix);
        if subject.len() > MAX_SUBJECT_BYTES || subject.chars().any(char::is_control) {
            return None;
        }
        Some(Person { subject, grants: self.grants(&claims) })
    }

    fn verify(&self, token: &str, key: &Key) -> Option<Claims> {
        // Only the algorithm of the key is allowed, whatever the token's header contains.
        let mut rules = Validation::new(key.algorithm);
        rules.set_issuer(&[&self.issuer]);
        rules.set_audience(&self.audiences);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules.validate_nbf = true;
        rules.leeway = self.skew.as_secs();
        jsonwebtoken::decode::<Claims>(token, &key.key, &rules).ok().map(|token| token.claims)
    }

    /// Returns the grants of the roles in the claim. Roles that are not in the settings grant nothing.
    fn grants(&self, claims: &Claims) -> Vec<Grant> {
        let values = match self.roles_value(claims) {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let mut grants: Vec<Grant> = Vec::new();
        for grant in values.into_iter().filter_map(|value| self.roles.get(value)) {
            if !grants.contains(grant) {
                grants.push(grant.clone());
            }
        }
        grants
    }

    /// Returns the roles claim, found by its whole name or by a path of members.
    fn roles_value<'a>(&self, claims: &'a Claims) -> Option<&'a Value> {
        claims.get(&self.roles_claim).or_else(|| {
            let mut path = self.roles_claim.split('.');
            let first = claims.get(path.next()?)?;
            path.try_fold(first, |value, name| value.get(name))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2ln", part(header), part(claims))
    }

    #[test]
    fn only_acceptable_tokens_are_parsed() {
        let claims = json!({ "iss": "i" });
        let read = |header: Value| Unverified::read(&token(&header, &claims));
        let good = read(json!({ "alg": "ES256", "kid": "k", "typ": "at+JWT" })).unwrap();
        assert_eq!((good.issuer.as_str(), good.key_id.as_deref()), ("i", Some("k")));
        for header in [
            json!({ "alg": "none" }),
            json!({ "alg": "None" }),
            json!({ "alg": "HS256" }),
            json!({ "alg": "RS512" }),
            json!({ "alg": ["RS256"] }),
            json!({}),
            json!({ "alg": "RS256", "crit": ["exp"] }),
            json!({ "alg": "RS256", "crit": null }),
            json!({ "alg": "RS256", "b64": false }),
            json!({ "alg": "RS256", "kid": 1 }),
            json!({ "alg": "RS256", "typ": "logout+jwt" }),
            json!({ "alg": "RS256", "typ": 1 }),
        ] {
            assert!(read(header.clone()).is_none(), "{header}");
        }
        let long = token(&json!({ "alg": "RS256" }), &json!({ "iss": "i", "x": "y".repeat(7000) }));
        assert!(long.len() > MAX_BYTES && Unverified::read(&long).is_none());
        for text in ["", "a", "a.b", "a.b.c", "a.b.c.d", "..", "nno_x_y"] {
            assert!(Unverified::read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn roles_claim_may_be_a_path() {
        let rules = |claim: &str| {
            let settings: IssuerSettings = runtime::config::read(json!({
                "issuer": "https://i", "audiences": ["a"], "roles_claim": claim,
                "roles": { "x": { "role": "viewer" }, "y": { "role": "developer" } },
            }))
            .unwrap();
            Rules::new(&settings, settings.check().unwrap())
        };
        let claims = json!({
            "roles": ["x", "unknown", 7, "x"], "a": { "b": { "c": "y" } }, "https://nno.dev/roles": ["x", "y"],
        });
        let count = |claim: &str| rules(claim).grants(claims.as_object().unwrap()).len();
        assert_eq!((count("roles"), count("a.b.c"), count("https://nno.dev/roles")), (1, 1, 2));
        assert_eq!((count("a.b"), count("nothing"), count("a.b.c.d"), count("")), (0, 0, 0, 0));
    }
}
