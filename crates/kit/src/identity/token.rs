//! Signing and checking the tokens that requests carry.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::{Error, Grant, Kind, Result};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};

use super::{ActorType, Caller, keys, keys::KeyPair};

/// How long a token is good for. Revocation works at the gateway; this is how long a stolen one lasts.
pub const LIFETIME: Duration = Duration::from_secs(60);
/// A signed token is given out again until it has this long left.
const REUSE: Duration = Duration::from_secs(30);
const REMEMBERED: usize = 4096;

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    exp: u64,
    actor: ActorType,
    grants: Vec<Grant>,
}

/// Signs callers on behalf of this process.
#[derive(Clone)]
pub struct Signer(Arc<SignerInner>);

struct SignerInner {
    name: String,
    key: EncodingKey,
    // By audience and caller: an Ed25519 signature costs more than the rest of a small read.
    signed: Cache<(String, String), (String, Instant)>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.0.name)
    }
}

impl Signer {
    /// A signer for the process `name`.
    ///
    /// # Errors
    /// When the key cannot be encoded.
    pub fn new(name: &str, key: &KeyPair) -> anyhow::Result<Self> {
        let signed = Cache::new(REMEMBERED);
        Ok(Self(Arc::new(SignerInner { name: name.to_owned(), key: key.encoding()?, signed })))
    }

    /// The process that signs.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// A token that makes `caller` known to `audience`.
    ///
    /// # Errors
    /// [`Kind::Internal`] when the key cannot sign.
    pub fn sign(&self, audience: &str, caller: &Caller) -> Result<String> {
        let known = format!("{} {}\n{:?}", caller.actor_type.as_str(), caller.id, caller.grants());
        let slot = (audience.to_owned(), known);
        if let Some((token, until)) = self.0.signed.get(&slot)
            && until > Instant::now()
        {
            return Ok(token);
        }
        let claims = Claims {
            iss: self.0.name.clone(),
            aud: audience.to_owned(),
            sub: caller.id.clone(),
            exp: jsonwebtoken::get_current_timestamp() + LIFETIME.as_secs(),
            actor: caller.actor_type,
            grants: caller.grants().to_vec(),
        };
        let header = Header::new(Algorithm::EdDSA);
        let token = jsonwebtoken::encode(&header, &claims, &self.0.key).map_err(Error::internal)?;
        self.0.signed.insert(slot, (token.clone(), Instant::now() + REUSE));
        Ok(token)
    }
}

/// Checks the tokens that come to this process.
#[derive(Clone)]
pub struct Verifier(Arc<VerifierInner>);

struct VerifierInner {
    audience: String,
    keys: HashMap<String, DecodingKey>,
    // By the whole token; what was checked once is good until it expires.
    known: Cache<String, (Caller, u64)>,
    refused: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verifier({})", self.0.audience)
    }
}

impl Verifier {
    /// Believes every process with a `public/<name>.pem` under `keys_dir`.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn read(audience: &str, keys_dir: &Path) -> anyhow::Result<Self> {
        Ok(Self::new(audience, keys::public_keys(keys_dir)?))
    }

    /// Believes one process; for tests and tools that hold its key.
    pub fn believing(audience: &str, issuer: &str, key: &KeyPair) -> Self {
        Self::new(audience, vec![(issuer.to_owned(), key.decoding())])
    }

    fn new(audience: &str, keys: Vec<(String, DecodingKey)>) -> Self {
        Self(Arc::new(VerifierInner {
            audience: audience.to_owned(),
            keys: keys.into_iter().collect(),
            known: Cache::new(REMEMBERED),
            refused: Mutex::new(None),
        }))
    }

    /// Who the value of an `Authorization` header stands for.
    ///
    /// # Errors
    /// [`Kind::Unauthorized`], which does not tell a client why.
    pub fn verify(&self, authorization: Option<&str>) -> Result<Caller> {
        let token = authorization
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(|| Error::new(Kind::Unauthorized, "A signed identity is needed"))?;
        if let Some((caller, exp)) = self.0.known.get(token)
            && exp > jsonwebtoken::get_current_timestamp()
        {
            return Ok(caller);
        }
        self.check(token).map_err(|why| {
            self.log_refusal(&why);
            Error::new(Kind::Unauthorized, "The signed identity is not valid").context(why)
        })
    }

    fn check(&self, token: &str) -> std::result::Result<Caller, String> {
        let issuer = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(token)
            .map_err(|error| error.to_string())?
            .iss;
        let key = self.0.keys.get(&issuer).ok_or_else(|| format!("issuer '{issuer}' is not believed"))?;
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_audience(&[&self.0.audience]);
        rules.set_issuer(&[&issuer]);
        rules.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        rules.leeway = 0;
        let claims =
            jsonwebtoken::decode::<Claims>(token, key, &rules).map_err(|error| error.to_string())?.claims;
        if claims.exp > jsonwebtoken::get_current_timestamp() + LIFETIME.as_secs() {
            return Err("the token lives longer than tokens may".to_owned());
        }
        // Only the gateway speaks for others; a service speaks for itself, and as a service: one that called itself an
        // operator would be let in where people are.
        let is_itself = claims.sub == format!("service:{issuer}");
        let as_service = claims.actor == ActorType::Service;
        if is_itself != as_service || !(is_itself || issuer == "gateway") {
            return Err(format!(
                "'{issuer}' may not speak for '{}' as {}",
                claims.sub,
                claims.actor.as_str()
            ));
        }
        let caller = Caller::signed(claims.iss, claims.sub, claims.actor, claims.grants);
        self.0.known.insert(token.to_owned(), (caller.clone(), claims.exp));
        Ok(caller)
    }

    /// At most one line a second: refusals are cheap to cause.
    fn log_refusal(&self, why: &str) {
        let mut last = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
            tracing::warn!(why, "an identity was refused");
            *last = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Signer, Verifier) {
        let key = KeyPair::generate();
        (Signer::new("gateway", &key).unwrap(), Verifier::believing("registry", "gateway", &key))
    }

    fn bearer(token: &str) -> String {
        format!("Bearer {token}")
    }

    #[test]
    fn what_was_signed_is_known() {
        let (signer, verifier) = pair();
        let token = signer.sign("registry", &Caller::operator()).unwrap();
        for _ in 0..2 {
            let caller = verifier.verify(Some(&bearer(&token))).unwrap();
            assert_eq!((caller.id.as_str(), caller.is_operator()), ("operator", true));
            assert!(caller.scope.is_all());
        }
        assert_eq!(token, signer.sign("registry", &Caller::operator()).unwrap(), "a signature is used again");
    }

    #[test]
    fn what_is_not_for_us_is_refused() {
        let (signer, verifier) = pair();
        let (stranger, _) = pair();
        let operator = Caller::operator();
        let for_other = signer.sign("onboarding", &operator).unwrap();
        let by_stranger = stranger.sign("registry", &operator).unwrap();
        let good = signer.sign("registry", &operator).unwrap();
        let (head, body) = good.split_at(good.len() - 10);
        let tampered = format!("{head}{}", body.chars().rev().collect::<String>());
        for bad in [for_other.as_str(), &by_stranger, &tampered, "", "x.y.z"] {
            assert_eq!(verifier.verify(Some(&bearer(bad))).unwrap_err().kind(), Kind::Unauthorized);
        }
        assert_eq!(verifier.verify(Some(&good)).unwrap_err().kind(), Kind::Unauthorized, "no scheme");
        assert_eq!(verifier.verify(None).unwrap_err().kind(), Kind::Unauthorized);
    }

    #[test]
    fn a_service_speaks_for_itself_alone() {
        let key = KeyPair::generate();
        let (signer, verifier) =
            (Signer::new("onboarding", &key).unwrap(), Verifier::believing("registry", "onboarding", &key));
        let own = signer.sign("registry", &Caller::this_service("onboarding")).unwrap();
        assert!(verifier.verify(Some(&bearer(&own))).is_ok());
        let as_person = Caller::known("service:onboarding", ActorType::Operator, own_grants());
        for other in [Caller::operator(), Caller::this_service("provisioning"), as_person] {
            let other = signer.sign("registry", &other).unwrap();
            assert_eq!(verifier.verify(Some(&bearer(&other))).unwrap_err().kind(), Kind::Unauthorized);
        }
    }

    #[test]
    fn the_gateway_speaks_for_no_service_but_itself() {
        let (signer, verifier) = pair();
        let told = |caller: &Caller| {
            let token = signer.sign("registry", caller).unwrap();
            verifier.verify(Some(&bearer(&token))).map(|caller| caller.id)
        };
        assert_eq!(told(&Caller::this_service("gateway")).unwrap(), "service:gateway");
        let person = Caller::known("service:gateway", ActorType::User, own_grants());
        for other in [Caller::this_service("onboarding"), person] {
            assert_eq!(told(&other).unwrap_err().kind(), Kind::Unauthorized);
        }
    }

    fn own_grants() -> Vec<Grant> {
        Caller::operator().grants().to_vec()
    }
}
