//! Forged and malformed tokens.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, get_current_timestamp};
use serde_json::{Value, json};

use super::{
    is_rejected,
    issuer::{Issuer, Key},
    with, world_for,
};

fn hs256(secret: &[u8], kid: &str, claims: &Value) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret)).unwrap()
}

#[tokio::test]
async fn only_the_keys_own_algorithm_is_accepted() {
    let (rsa, ec) = (Key::rsa("r"), Key::ec("e", 1));
    let issuer = Issuer::with(&[&rsa, &ec]);
    let (world, _iam) = world_for(&issuer).await;
    let claims = issuer.claims();
    assert_eq!(with(&world, &rsa.sign(&claims)).await.status(), 200);
    assert_eq!(with(&world, &ec.sign(&claims)).await.status(), 200);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for algorithm in ["none", "None", "NONE", ""] {
        let head = part(&json!({ "alg": algorithm, "kid": "r" }));
        assert!(is_rejected(&world, &format!("{head}.{}.", part(&claims))).await, "{algorithm}");
        assert!(is_rejected(&world, &format!("{head}.{}.c2ln", part(&claims))).await, "{algorithm}");
    }
    // The public key must not verify a token when used as an HMAC secret.
    let public = rsa.public();
    let modulus = URL_SAFE_NO_PAD.decode(public["n"].as_str().unwrap()).unwrap();
    for secret in [public["n"].as_str().unwrap().as_bytes(), &modulus, public.to_string().as_bytes(), b""] {
        assert!(is_rejected(&world, &hs256(secret, "r", &claims)).await);
    }
    for (key, algorithm, kid) in [
        (&ec, "RS256", "e"),
        (&ec, "RS256", "r"),
        (&rsa, "ES256", "e"),
        (&rsa, "ES256", "r"),
        (&rsa, "PS256", "r"),
        (&rsa, "RS512", "r"),
        (&ec, "EdDSA", "e"),
        (&ec, "ES256", "r"),
    ] {
        let token = key.sign_as(&json!({ "alg": algorithm, "kid": kid }), &claims);
        assert!(is_rejected(&world, &token).await, "{algorithm} {kid}");
    }
}

#[tokio::test]
async fn keys_in_the_token_header_are_ignored() {
    let (genuine, forged) = (Key::ed("k", 1), Key::ed("k", 2));
    let issuer = Issuer::with(&[&genuine]);
    let (world, _iam) = world_for(&issuer).await;
    let claims = issuer.claims();
    for over in [
        json!({ "jwk": forged.public() }),
        json!({ "jku": "http://127.0.0.1:1/keys" }),
        json!({ "x5u": "http://127.0.0.1:1/cert" }),
        json!({ "kid": "../../etc/passwd" }),
        json!({ "kid": "' OR 1=1" }),
        json!({}),
    ] {
        let mut header = json!({ "alg": "EdDSA", "kid": "k", "typ": "JWT" });
        header.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        assert!(is_rejected(&world, &forged.sign_as(&header, &claims)).await, "{header}");
    }
    let critical = json!({ "alg": "EdDSA", "kid": "k", "crit": ["exp"] });
    assert!(is_rejected(&world, &genuine.sign_as(&critical, &claims)).await);
    let logout = json!({ "alg": "EdDSA", "kid": "k", "typ": "logout+jwt" });
    assert!(is_rejected(&world, &genuine.sign_as(&logout, &claims)).await);
    let plain = json!({ "alg": "EdDSA", "kid": "k" });
    assert_eq!(with(&world, &genuine.sign_as(&plain, &claims)).await.status(), 200);
}

#[tokio::test]
async fn every_claim_is_checked() {
    let key = Key::ed("k", 1);
    let issuer = Issuer::with(&[&key]);
    let (world, _iam) = world_for(&issuer).await;
    let now = get_current_timestamp();
    for over in [
        json!({ "aud": "other" }),
        json!({ "aud": "NNO" }),
        json!({ "aud": "nno2" }),
        json!({ "aud": [] }),
        json!({ "aud": null }),
        json!({ "aud": 7 }),
        json!({ "iss": "http://127.0.0.1:1" }),
        json!({ "iss": format!("{}/", issuer.name()) }),
        json!({ "iss": [issuer.name()] }),
        json!({ "exp": now - 61 }),
        json!({ "exp": null }),
        json!({ "exp": (now + 300).to_string() }),
        json!({ "exp": -1 }),
        json!({ "nbf": now + 90 }),
        json!({ "nbf": "soon" }),
        json!({ "iat": now + 90 }),
        json!({ "iat": "now" }),
        json!({ "sub": "" }),
        json!({ "sub": null }),
        json!({ "sub": 7 }),
        json!({ "sub": "a\nb" }),
        json!({ "sub": "x".repeat(256) }),
    ] {
        let token = key.sign(&issuer.claims_with(over.clone()));
        assert!(is_rejected(&world, &token).await, "{over}");
    }
    let mut without = issuer.claims();
    without.as_object_mut().unwrap().remove("exp");
    assert!(is_rejected(&world, &key.sign(&without)).await);
    for over in [json!({ "exp": now - 30 }), json!({ "nbf": now + 30 }), json!({ "iat": now + 30 })] {
        let token = key.sign(&issuer.claims_with(over.clone()));
        assert_eq!(with(&world, &token).await.status(), 200, "{over} is within the skew");
    }
}

#[tokio::test]
async fn tampered_tokens_are_rejected() {
    let key = Key::ed("k", 1);
    let issuer = Issuer::with(&[&key]);
    let (world, _iam) = world_for(&issuer).await;
    let token = key.sign(&issuer.claims());
    assert_eq!(with(&world, &token).await.status(), 200);
    let parts: Vec<&str> = token.split('.').collect();
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    claims["roles"] = json!(["admins"]);
    let forged = URL_SAFE_NO_PAD.encode(claims.to_string());
    let other = key.sign(&issuer.claims_with(json!({ "sub": "bob" })));
    let others = other.split('.').nth(2).unwrap();
    let long = key.sign(&issuer.claims_with(json!({ "x": "y".repeat(8000) })));
    for text in [
        format!("{}.{forged}.{}", parts[0], parts[2]),
        format!("{}.{}.{others}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{token}.x"),
        format!("{token}="),
        long,
    ] {
        assert!(is_rejected(&world, &text).await, "{} bytes", text.len());
    }
}
