//! The keys of an issuer that verify signatures with an accepted algorithm.

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

/// Maximum number of keys, more than any issuer has.
const MAX_KEYS: usize = 100;
/// Accepted sizes of an RSA modulus, in bytes.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// A key. Its algorithm follows from the key itself, never from a token.
pub(super) struct Key {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The current keys of an issuer.
pub(super) struct KeySet(Vec<Key>);

/// A JWK set whose members are parsed one by one, so that a malformed member does not invalidate the others.
#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Parses a JWK set. Keys for other purposes are ignored.
    ///
    /// # Errors
    /// When the bytes are not a JWK set, or it contains no usable key.
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let document: Document = serde_json::from_slice(bytes).context("the response is not a JWK set")?;
        let keys: Vec<Key> = document.keys.into_iter().take(MAX_KEYS).filter_map(read_key).collect();
        ensure!(!keys.is_empty(), "the JWK set contains no key for RS256, ES256 or EdDSA");
        Ok(Self(keys))
    }

    /// Returns the keys that may have signed a token with this header. Without a key id, there must be only one.
    pub(super) fn matching(&self, algorithm: &str, id: Option<&str>) -> Vec<&Key> {
        let matches =
            |key: &&Key| name(key.algorithm) == algorithm && (id.is_none() || key.id.as_deref() == id);
        let found: Vec<&Key> = self.0.iter().filter(matches).collect();
        if id.is_none() && found.len() > 1 { Vec::new() } else { found }
    }
}

/// Returns the name of an algorithm in a token's header.
const fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RS256 => "RS256",
        Algorithm::ES256 => "ES256",
        Algorithm::EdDSA => "EdDSA",
        _ => "",
    }
}

/// Returns true if tokens with this algorithm are accepted.
pub(super) fn is_accepted(algorithm: &str) -> bool {
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
    fn keys_for_other_purposes_are_ignored() {
        let good = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "a", "x": point(), "extra": [1] });
        assert_eq!(set(json!([good])).unwrap().matching("EdDSA", Some("a")).len(), 1);
        let named = |name: &str| {
            let mut key = good.clone();
            key["alg"] = json!(name);
            set(json!([key]))
        };
        assert!(
            named("EdDSA").is_ok() && named("Ed25519").is_ok(),
            "both names of the algorithm are accepted"
        );
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
        let mixed = set(json!([{ "kty": 1 }, "text", null, good])).unwrap();
        assert_eq!(
            mixed.matching("EdDSA", Some("a")).len(),
            1,
            "malformed members do not invalidate the set"
        );
        assert!(set(json!([])).is_err() && KeySet::read(b"[]").is_err() && KeySet::read(b"").is_err());
    }

    #[test]
    fn algorithm_follows_from_the_key() {
        let keys = set(json!([
            { "kty": "RSA", "n": rsa(256), "e": "AQAB", "kid": "r", "use": "sig" },
            { "kty": "EC", "crv": "P-256", "x": point(), "y": point(), "kid": "e" },
            { "kty": "EC", "crv": "P-256", "x": point(), "y": point() },
        ]))
        .unwrap();
        assert_eq!(keys.matching("RS256", Some("r")).len(), 1);
        assert_eq!(keys.matching("RS256", None).len(), 1, "a single key needs no id");
        assert_eq!(keys.matching("ES256", Some("e")).len(), 1);
        for (algorithm, id) in
            [("ES256", Some("r")), ("RS256", Some("e")), ("HS256", Some("r")), ("none", None), ("", None)]
        {
            assert!(keys.matching(algorithm, id).is_empty(), "{algorithm} {id:?}");
        }
        assert!(keys.matching("ES256", None).is_empty(), "two keys match");
    }
}
