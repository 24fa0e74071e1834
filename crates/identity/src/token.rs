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
use runtime::clock::Clocks;
use serde::{Deserialize, Serialize};

use super::{ActorType, Caller, keys, keys::KeyPair};

/// How long a token is valid. Revocation works at the gateway; this is how long a stolen one lasts, plus 30 seconds where
/// the clocks of two machines differ.
pub const LIFETIME: Duration = Duration::from_secs(60);
/// A signed token is reused until it has this long left.
const REUSE: Duration = Duration::from_secs(30);
/// How far the clocks of two machines may differ. A signer that is behind by as much sends tokens that are still valid;
/// one that is ahead by as much is forgiven.
const SKEW: Duration = Duration::from_secs(30);
const REMEMBERED: usize = 4096;

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    exp: u64,
    /// Makes each token unique: after a step back, a second comes twice, and a verifier would know the token as an old one.
    #[serde(default)]
    jti: u64,
    actor: ActorType,
    grants: Vec<Grant>,
}

/// A token that was signed.
#[derive(Clone)]
struct Signed {
    token: String,
    /// Its end by the wall clock, which decides what the audience accepts.
    exp: u64,
    /// When it was signed.
    at: Instant,
}

impl Signed {
    /// Whether the audience accepts it for a while longer. A wall clock that was stepped makes the token too old, or makes
    /// it end later than a token may.
    fn is_fresh(&self, clocks: &Clocks) -> bool {
        let left = self.exp.saturating_sub(clocks.unix_seconds());
        let age = clocks.monotonic().saturating_duration_since(self.at);
        left > REUSE.as_secs() && left <= LIFETIME.as_secs() && age < LIFETIME - REUSE
    }
}

/// Signs callers on behalf of this process.
#[derive(Clone)]
pub struct Signer(Arc<SignerInner>);

struct SignerInner {
    name: String,
    key: EncodingKey,
    // By audience and caller: an Ed25519 signature costs more than the rest of a small read.
    signed: Cache<(String, String), Signed>,
    clocks: Clocks,
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
        Self::with_clocks(name, key, Clocks::system())
    }

    /// A signer for the process `name` that reads these clocks.
    ///
    /// # Errors
    /// When the key cannot be encoded.
    pub fn with_clocks(name: &str, key: &KeyPair, clocks: Clocks) -> anyhow::Result<Self> {
        let signed = Cache::new(REMEMBERED);
        Ok(Self(Arc::new(SignerInner { name: name.to_owned(), key: key.encoding()?, signed, clocks })))
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
        let slot = slot(audience, caller);
        match self.0.signed.get(&slot) {
            Some(known) if known.is_fresh(&self.0.clocks) => Ok(known.token),
            _ => self.issue(slot, audience, caller),
        }
    }

    /// A new token, for a call whose token was refused.
    ///
    /// # Errors
    /// [`Kind::Internal`] when the key cannot sign.
    pub fn sign_again(&self, audience: &str, caller: &Caller) -> Result<String> {
        self.issue(slot(audience, caller), audience, caller)
    }

    fn issue(&self, slot: (String, String), audience: &str, caller: &Caller) -> Result<String> {
        let (at, exp) = (self.0.clocks.monotonic(), self.0.clocks.unix_seconds() + LIFETIME.as_secs());
        let claims = Claims {
            iss: self.0.name.clone(),
            aud: audience.to_owned(),
            sub: caller.id.clone(),
            exp,
            jti: rand::random(),
            actor: caller.actor_type,
            grants: caller.grants().to_vec(),
        };
        let header = Header::new(Algorithm::EdDSA);
        let token = jsonwebtoken::encode(&header, &claims, &self.0.key).map_err(Error::internal)?;
        self.0.signed.insert(slot, Signed { token: token.clone(), exp, at });
        Ok(token)
    }
}

/// The key that a signed token is cached under.
fn slot(audience: &str, caller: &Caller) -> (String, String) {
    let known = format!("{} {}\n{:?}", caller.actor_type.as_str(), caller.id, caller.grants());
    (audience.to_owned(), known)
}

/// A token that was verified.
#[derive(Clone)]
struct Verified {
    caller: Caller,
    exp: u64,
    /// When it was verified first.
    at: Instant,
}

impl Verified {
    /// Whether it is still valid, by both clocks: one that was stepped back does not prolong a token.
    fn is_valid(&self, clocks: &Clocks) -> bool {
        let age = clocks.monotonic().saturating_duration_since(self.at);
        lifetime_fault(self.exp, clocks).is_none() && age < LIFETIME + SKEW
    }
}

/// What is wrong with the end of a token, by the wall clock.
fn lifetime_fault(exp: u64, clocks: &Clocks) -> Option<&'static str> {
    let now = clocks.unix_seconds();
    if exp <= now {
        return Some("the token has expired");
    }
    (exp > now + (LIFETIME + SKEW).as_secs()).then_some("the token lives longer than tokens may")
}

/// Checks the tokens that come to this process.
#[derive(Clone)]
pub struct Verifier(Arc<VerifierInner>);

struct VerifierInner {
    audience: String,
    keys: HashMap<String, DecodingKey>,
    // By the whole token: a signature is checked once.
    known: Cache<String, Verified>,
    refused: Mutex<Option<Instant>>,
    clocks: Clocks,
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
        Ok(Self::new(audience, keys::public_keys(keys_dir)?, Clocks::system()))
    }

    /// Believes one process; for tests and tools that hold its key.
    pub fn believing(audience: &str, issuer: &str, key: &KeyPair) -> Self {
        Self::believing_with_clocks(audience, issuer, key, Clocks::system())
    }

    /// Believes one process, and reads these clocks.
    pub fn believing_with_clocks(audience: &str, issuer: &str, key: &KeyPair, clocks: Clocks) -> Self {
        Self::new(audience, vec![(issuer.to_owned(), key.decoding())], clocks)
    }

    fn new(audience: &str, keys: Vec<(String, DecodingKey)>, clocks: Clocks) -> Self {
        Self(Arc::new(VerifierInner {
            audience: audience.to_owned(),
            keys: keys.into_iter().collect(),
            known: Cache::new(REMEMBERED),
            refused: Mutex::new(None),
            clocks,
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
        if let Some(known) = self.0.known.get(token).filter(|known| known.is_valid(&self.0.clocks)) {
            return Ok(known.caller);
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
        // `exp` is checked below, by the clock of this verifier.
        rules.validate_exp = false;
        let claims =
            jsonwebtoken::decode::<Claims>(token, key, &rules).map_err(|error| error.to_string())?.claims;
        if let Some(fault) = lifetime_fault(claims.exp, &self.0.clocks) {
            return Err(fault.to_owned());
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
        let at = match self.0.known.get(token) {
            // Checked again because a clock was stepped: its age still counts from the first time.
            Some(known) => known.at,
            None => self.0.clocks.monotonic(),
        };
        let verified = Verified { caller: caller.clone(), exp: claims.exp, at };
        if !verified.is_valid(&self.0.clocks) {
            return Err("the token is older than tokens may be".to_owned());
        }
        self.0.known.insert(token.to_owned(), verified);
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
#[path = "token_tests.rs"]
mod tests;
