//! A running issuer, which serves its keys and signs tokens.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
};

use actix_web::{HttpResponse, web};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{SigningKey, pkcs8::EncodePrivateKey as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header, get_current_timestamp, jwk::Jwk};
use rsa::{pkcs1::EncodeRsaPrivateKey as _, rand_core::OsRng};
use rustls::ServerConfig;
use serde_json::{Value, json};

use crate::world::{Count, serve_with_tls};

/// A key of an issuer.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: &'static str,
    pub(crate) algorithm: Algorithm,
    pub(crate) private: EncodingKey,
    public: Value,
}

impl Key {
    pub(crate) fn ed(id: &'static str, seed: u8) -> Self {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let public = json!({
            "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes()),
        });
        let private = EncodingKey::from_ed_der(key.to_pkcs8_der().unwrap().as_bytes());
        Self { id, algorithm: Algorithm::EdDSA, private, public }
    }

    pub(crate) fn ec(id: &'static str, seed: u8) -> Self {
        let der = p256::SecretKey::from_slice(&[seed; 32]).unwrap().to_pkcs8_der().unwrap();
        Self::from_private(id, Algorithm::ES256, EncodingKey::from_ec_der(der.as_bytes()))
    }

    pub(crate) fn rsa(id: &'static str) -> Self {
        static DER: OnceLock<Vec<u8>> = OnceLock::new();
        let der = DER.get_or_init(|| {
            let key = rsa::RsaPrivateKey::new(&mut OsRng, 2048).unwrap();
            key.to_pkcs1_der().unwrap().as_bytes().to_vec()
        });
        Self::from_private(id, Algorithm::RS256, EncodingKey::from_rsa_der(der))
    }

    fn from_private(id: &'static str, algorithm: Algorithm, private: EncodingKey) -> Self {
        let public = serde_json::to_value(Jwk::from_encoding_key(&private, algorithm).unwrap()).unwrap();
        Self { id, algorithm, private, public }
    }

    /// Returns the public key as a JWK.
    pub(crate) fn public(&self) -> Value {
        let mut key = self.public.clone();
        key["kid"] = json!(self.id);
        key["use"] = json!("sig");
        key
    }

    /// Returns a token with these claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.private).unwrap()
    }

    /// Returns a token with any header and a valid signature.
    pub(crate) fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &self.private, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

struct State {
    keys: Vec<Value>,
    claimed_name: Option<String>,
    is_stopped: bool,
}

/// A running issuer.
#[derive(Clone)]
pub(crate) struct Issuer {
    pub(crate) at: SocketAddr,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
    /// The number of times that its keys were fetched.
    pub(crate) fetched: Count,
}

impl Issuer {
    pub(crate) fn with(keys: &[&Key]) -> Self {
        Self::with_tls(None, keys)
    }

    /// Starts an issuer, with TLS if there is a configuration.
    pub(crate) fn with_tls(tls: Option<ServerConfig>, keys: &[&Key]) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let keys = keys.iter().map(|key| key.public()).collect();
        let state = Arc::new(Mutex::new(State { keys, claimed_name: None, is_stopped: false }));
        let fetched = Count::default();
        let (shared, count) = (Arc::clone(&state), fetched.clone());
        let at = serve_with_tls(tls, move |config| {
            let (state, keys, counted) = (Arc::clone(&shared), Arc::clone(&shared), count.clone());
            let discovery = move |request: actix_web::HttpRequest| {
                let own_name = format!("{scheme}://{}", request.connection_info().host());
                let name = state.lock().unwrap().claimed_name.clone().unwrap_or_else(|| own_name.clone());
                let document = json!({ "issuer": name, "jwks_uri": format!("{own_name}/keys") });
                async move { HttpResponse::Ok().json(document) }
            };
            config.route("/.well-known/openid-configuration", web::get().to(discovery));
            let keys = move || {
                counted.add(1);
                let state = keys.lock().unwrap();
                let response = if state.is_stopped {
                    HttpResponse::ServiceUnavailable().finish()
                } else {
                    HttpResponse::Ok().json(json!({ "keys": state.keys }))
                };
                async move { response }
            };
            config.route("/keys", web::get().to(keys));
        });
        Self { at, scheme, state, fetched }
    }

    pub(crate) fn name(&self) -> String {
        format!("{}://{}", self.scheme, self.at)
    }

    pub(crate) fn set_keys(&self, keys: &[Value]) {
        self.state.lock().unwrap().keys = keys.to_vec();
    }

    pub(crate) fn set_name(&self, name: &str) {
        self.state.lock().unwrap().claimed_name = Some(name.to_owned());
    }

    pub(crate) fn stop(&self) {
        self.state.lock().unwrap().is_stopped = true;
    }

    /// Returns the settings of a gateway for this issuer.
    pub(crate) fn settings(&self) -> Value {
        json!({
            "issuer": self.name(), "audiences": ["nno", "nno-cli"], "subject_prefix": "staff:",
            "roles": {
                "admins": { "role": "operator" },
                "acme": { "role": "developer", "platform": "k3m9p2xw7q" },
            },
        })
    }

    /// Returns acceptable claims.
    pub(crate) fn claims(&self) -> Value {
        let now = get_current_timestamp();
        json!({
            "iss": self.name(), "aud": "nno", "sub": "alice", "roles": ["acme"],
            "iat": now, "nbf": now, "exp": now + 300,
        })
    }

    /// Returns acceptable claims with overrides.
    pub(crate) fn claims_with(&self, over: Value) -> Value {
        let mut claims = self.claims();
        for (name, value) in over.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }
}
