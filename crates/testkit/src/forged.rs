//! Tokens that look like those between processes, and must get in nowhere.

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
    /// Every way to be refused by a service whose audience is `audience`, with what is wrong about it.
    pub fn forged(&self, audience: &str) -> Vec<(&'static str, String)> {
        let operator = Caller::operator();
        let stranger = |name: &str| Signer::new(name, &KeyPair::generate()).expect("a signer");
        let good = self.signer("gateway").sign(audience, &operator).expect("sign");
        let now = jsonwebtoken::get_current_timestamp();
        let claims = claims(audience, now + 30);
        let otherwise = |changes: &Value| self.signed("gateway", &merged(changes, &claims));
        vec![
            ("no token", "not.a.token".to_owned()),
            ("another audience", self.signer("gateway").sign("elsewhere", &operator).expect("sign")),
            ("an issuer nobody knows", stranger("stranger").sign(audience, &operator).expect("sign")),
            ("another's key", stranger("gateway").sign(audience, &operator).expect("sign")),
            (
                "a service speaks for others",
                self.signer("onboarding").sign(audience, &operator).expect("sign"),
            ),
            ("a service as an operator", {
                let claims = merged(&json!({ "iss": "onboarding", "sub": "service:onboarding" }), &claims);
                self.signed("onboarding", &claims)
            }),
            ("the gateway as a service", {
                let claims = merged(&json!({ "sub": "service:onboarding", "actor": "service" }), &claims);
                self.signed("gateway", &claims)
            }),
            ("expired", otherwise(&json!({ "exp": now - 1 }))),
            ("lives too long", otherwise(&json!({ "exp": now + 3600 }))),
            ("no expiry", otherwise(&json!({ "exp": null }))),
            ("no audience", otherwise(&json!({ "aud": null }))),
            ("no issuer", otherwise(&json!({ "iss": null }))),
            ("alg none", unsigned(&claims)),
            (
                "alg none with a signature",
                format!("{}{}", unsigned(&claims), good.rsplit('.').next().unwrap_or_default()),
            ),
            ("signed with the public key as a secret", self.confused(&claims)),
            ("tampered", tampered(&good, &claims)),
        ]
    }

    /// The claims, properly signed by a process.
    fn signed(&self, process: &str, claims: &Value) -> String {
        let pem =
            fs::read_to_string(self.dir().join(format!("private/{process}.pem"))).expect("the process's key");
        let inner: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let key = EncodingKey::from_ed_der(&STANDARD.decode(inner).expect("base64"));
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), claims, &key).expect("sign")
    }

    /// HS256 with what everyone knows as its secret.
    fn confused(&self, claims: &Value) -> String {
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

/// The claims with some of them otherwise; without those that are null.
fn merged(otherwise: &Value, claims: &Value) -> Value {
    let mut claims = claims.clone();
    let fields = claims.as_object_mut().expect("claims are an object");
    for (name, value) in otherwise.as_object().expect("an object") {
        if value.is_null() {
            fields.remove(name);
        } else {
            fields.insert(name.clone(), value.clone());
        }
    }
    claims
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn unsigned(claims: &Value) -> String {
    format!("{}.{}.", part(&json!({ "alg": "none", "typ": "JWT" })), part(claims))
}

/// What was signed, with other claims in the middle.
fn tampered(good: &str, claims: &Value) -> String {
    let mut parts: Vec<&str> = good.split('.').collect();
    let other = part(claims);
    if let Some(middle) = parts.get_mut(1) {
        *middle = &other;
    }
    parts.join(".")
}
