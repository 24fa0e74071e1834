//! The keys of an issuer: those that can check what we take, each with the one algorithm that it is for.

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{
        AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse, RSAKeyParameters,
    },
};
use serde::Deserialize;
use serde_json::Value;

/// More than any issuer has.
const MOST_KEYS: usize = 100;
/// The shortest RSA modulus that is taken, in bytes, and the longest.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// One key. Its algorithm follows from the key itself, never from what a token says.
pub(super) struct Key {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The keys that an issuer has now.
pub(super) struct KeySet(Vec<Key>);

/// A JWK set whose members are read one by one: a member that cannot be read does not spoil the others.
#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a JWK set. Keys that are for something else are left out.
    ///
    /// # Errors
    /// When it is none, or has no key that could be used.
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let document: Document = serde_json::from_slice(bytes).context("not a set of keys")?;
        let keys: Vec<Key> = document.keys.into_iter().take(MOST_KEYS).filter_map(read_key).collect();
        ensure!(!keys.is_empty(), "no key for RS256, ES256 or EdDSA is among them");
        Ok(Self(keys))
    }

    /// The keys that may have signed a token with this header. Without a key id there must be but one.
    pub(super) fn that_fit(&self, algorithm: &str, id: Option<&str>) -> Vec<&Key> {
        let is_it =
            |key: &&Key| name(key.algorithm) == algorithm && (id.is_none() || key.id.as_deref() == id);
        let found: Vec<&Key> = self.0.iter().filter(is_it).collect();
        if id.is_none() && found.len() > 1 { Vec::new() } else { found }
    }
}

/// What a token's header calls an algorithm.
const fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RS256 => "RS256",
        Algorithm::ES256 => "ES256",
        Algorithm::EdDSA => "EdDSA",
        _ => "",
    }
}

/// Whether a token with this algorithm could be taken at all.
pub(super) fn is_taken(algorithm: &str) -> bool {
    [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA].map(name).contains(&algorithm)
}

/// Reads one key; `None` for a key that does not verify signatures with an allowed algorithm.
fn read_key(mut value: Value) -> Option<Key> {
    // RFC 9864 names the algorithm after the curve. `jsonwebtoken` knows only the older name.
    if let Some(name) = value.get_mut("alg").filter(|name| **name == "Ed25519") {
        *name = "EdDSA".into();
    }
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let algorithm = allowed_algorithm(&jwk.algorithm)?;
    let common = &jwk.common;
    let signs = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify))
        && common.key_algorithm.is_none_or(|named| named == KeyAlgorithm::from(algorithm));
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    signs.then_some(Key { id: jwk.common.key_id, algorithm, key })
}

/// The one algorithm that a key of this type and curve verifies; `None` if it is not on the allow-list.
fn allowed_algorithm(parameters: &AlgorithmParameters) -> Option<Algorithm> {
    match parameters {
        AlgorithmParameters::RSA(rsa) => has_allowed_size(rsa).then_some(Algorithm::RS256),
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => Some(Algorithm::ES256),
        AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
            Some(Algorithm::EdDSA)
        }
        _ => None,
    }
}

fn has_allowed_size(rsa: &RSAKeyParameters) -> bool {
    URL_SAFE_NO_PAD
        .decode(&rsa.n)
        .is_ok_and(|modulus| RSA_BYTES.contains(&modulus.iter().skip_while(|byte| **byte == 0).count()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rsa(bytes: usize) -> String {
        URL_SAFE_NO_PAD.encode(vec![0xAB; bytes])
    }

    fn point() -> String {
        URL_SAFE_NO_PAD.encode([7; 32])
    }

    fn set(keys: Value) -> Result<KeySet> {
        KeySet::read(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn keys_for_something_else_are_left_out() {
        let good = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "a", "x": point(), "extra": [1] });
        assert_eq!(set(json!([good])).unwrap().that_fit("EdDSA", Some("a")).len(), 1);
        let named = |name: &str| {
            let mut key = good.clone();
            key["alg"] = json!(name);
            set(json!([key]))
        };
        assert!(named("EdDSA").is_ok() && named("Ed25519").is_ok(), "both names of the algorithm");
        for (field, value) in [
            ("use", json!("enc")),
            ("key_ops", json!(["encrypt"])),
            ("alg", json!("ES256")),
            ("alg", json!("HS256")),
            ("crv", json!("X25519")),
            ("crv", json!("P-256")),
            ("kty", json!("oct")),
            ("x", json!(null)),
        ] {
            let mut key = good.clone();
            key[field] = value;
            assert!(set(json!([key])).is_err(), "{key}");
        }
        assert!(set(json!([{ "kty": "oct", "k": point(), "alg": "HS256" }])).is_err());
        assert!(set(json!([{ "kty": "EC", "crv": "P-384", "x": point(), "y": point() }])).is_err());
        assert!(set(json!([{ "kty": "EC", "crv": "Ed25519", "x": point(), "y": point() }])).is_err());
        assert!(set(json!([{ "kty": "RSA", "n": rsa(128), "e": "AQAB" }])).is_err(), "too short");
        assert!(set(json!([{ "kty": "RSA", "n": rsa(256), "e": "AQAB", "alg": "RSA-OAEP" }])).is_err());
        let beside = set(json!([{ "kty": 1 }, "text", null, good])).unwrap();
        assert_eq!(beside.that_fit("EdDSA", Some("a")).len(), 1, "unreadable members do not spoil the set");
        assert!(set(json!([])).is_err() && KeySet::read(b"[]").is_err() && KeySet::read(b"").is_err());
    }

    #[test]
    fn the_algorithm_is_the_keys() {
        let keys = set(json!([
            { "kty": "RSA", "n": rsa(256), "e": "AQAB", "kid": "r", "use": "sig" },
            { "kty": "EC", "crv": "P-256", "x": point(), "y": point(), "kid": "e" },
            { "kty": "EC", "crv": "P-256", "x": point(), "y": point() },
        ]))
        .unwrap();
        assert_eq!(keys.that_fit("RS256", Some("r")).len(), 1);
        assert_eq!(keys.that_fit("RS256", None).len(), 1, "one alone needs no name");
        assert_eq!(keys.that_fit("ES256", Some("e")).len(), 1);
        for (algorithm, id) in
            [("ES256", Some("r")), ("RS256", Some("e")), ("HS256", Some("r")), ("none", None), ("", None)]
        {
            assert!(keys.that_fit(algorithm, id).is_empty(), "{algorithm} {id:?}");
        }
        assert!(keys.that_fit("ES256", None).is_empty(), "two could be meant");
    }
}
