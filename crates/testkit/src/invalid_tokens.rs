//! Invalid tokens that resemble those between processes. No service may accept them.

use std::fs;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use identity::{Caller, KeyPair, Signer};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::Keys;

impl Keys {
    /// Returns every kind of invalid token for the audience, with a description of its fault.
    pub fn invalid_tokens(&self, audience: &str) -> Vec<(&'static str, String)> {
        let operator = Caller::operator();
        let stranger = |name: &str| Signer::new(name, &KeyPair::generate()).expect("a signer");
        let good = self.signer("gateway").sign(audience, &operator).expect("sign");
        let now = jsonwebtoken::get_current_timestamp();
        let claims = claims(audience, now + 30);
        let signed_with = |changes: &Value| self.signed("gateway", &merged(changes, &claims));
        vec![
            ("not a token", "not.a.token".to_owned()),
            ("another audience", self.signer("gateway").sign("elsewhere", &operator).expect("sign")),
            ("an unknown issuer", stranger("stranger").sign(audience, &operator).expect("sign")),
            ("the key of another issuer", stranger("gateway").sign(audience, &operator).expect("sign")),
            (
                "a service with the identity of the operator",
                self.signer("onboarding").sign(audience, &operator).expect("sign"),
            ),
            ("a service with the grants of the operator", {
                let claims = merged(&json!({ "iss": "onboarding", "sub": "service:onboarding" }), &claims);
                self.signed("onboarding", &claims)
            }),
            ("the gateway with the identity of a service", {
                let claims = merged(&json!({ "sub": "service:onboarding", "actor": "service" }), &claims);
                self.signed("gateway", &claims)
            }),
            ("expired", signed_with(&json!({ "exp": now - 1 }))),
            ("too long a lifetime", signed_with(&json!({ "exp": now + 3600 }))),
            ("no expiry", signed_with(&json!({ "exp": null }))),
            ("no audience", signed_with(&json!({ "aud": null }))),
            ("no issuer", signed_with(&json!({ "iss": null }))),
            ("alg none", unsigned(&claims)),
            (
                "alg none with a signature",
                format!("{}{}", unsigned(&claims), good.rsplit('.').next().unwrap_or_default()),
            ),
            ("HMAC with the public key as the secret", self.hmac_with_public_key(&claims)),
            ("tampered", tampered(&good, &claims)),
        ]
    }

    /// Returns a token with these claims and a valid signature of the process.
    fn signed(&self, process: &str, claims: &Value) -> String {
        let pem =
            fs::read_to_string(self.dir().join(format!("private/{process}.pem"))).expect("the process's key");
        let inner: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let key = EncodingKey::from_ed_der(&STANDARD.decode(inner).expect("base64"));
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), claims, &key).expect("sign")
    }

    /// Returns an HS256 token whose secret is the public key of the gateway.
    fn hmac_with_public_key(&self, claims: &Value) -> String {
        let public = fs::read(self.dir().join("public/gateway.pem")).expect("the gateway's public key");
        let key = EncodingKey::from_secret(&public);
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).expect("sign")
    }
}

fn claims(audience: &str, exp: u64) -> Value {
    json!({
        "iss": "gateway", "aud": audience, "sub": "operator", "exp": exp, "actor": "operator",
        "grants": [{ "role": "operator", "reach": "all" }],
    })
}

/// Returns the claims with the changes applied. A null removes the claim.
fn merged(changes: &Value, claims: &Value) -> Value {
    let mut claims = claims.clone();
    let fields = claims.as_object_mut().expect("claims are an object");
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            fields.remove(name);
        } else {
            fields.insert(name.clone(), value.clone());
        }
    }
    claims
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn unsigned(claims: &Value) -> String {
    format!("{}.{}.", encoded(&json!({ "alg": "none", "typ": "JWT" })), encoded(claims))
}

/// Returns a signed token with its claims replaced.
fn tampered(good: &str, claims: &Value) -> String {
    let mut parts: Vec<&str> = good.split('.').collect();
    let other = encoded(claims);
    if let Some(middle) = parts.get_mut(1) {
        *middle = &other;
    }
    parts.join(".")
}
