//! Signing and verification of the tokens that requests carry.

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

/// Lifetime of a token. Credentials are revoked at the gateway, so a stolen token is useful for this time, plus 30
/// seconds where the clocks of two machines differ.
pub const LIFETIME: Duration = Duration::from_secs(60);
/// Remaining lifetime below which a signed token is no longer reused.
const REUSE: Duration = Duration::from_secs(30);
/// Maximum difference between the clocks of two machines. Tokens from a signer that is behind by this much are still
/// valid; those from a signer that is ahead by this much are accepted.
const SKEW: Duration = Duration::from_secs(30);
/// Maximum number of cached tokens, for signing and for verification each.
const CACHE_CAPACITY: usize = 4096;

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    exp: u64,
    /// Makes each token unique. After the clock steps back, the same second occurs twice, and a verifier would
    /// otherwise take the new token for the old one.
    #[serde(default)]
    jti: u64,
    actor: ActorType,
    grants: Vec<Grant>,
}

/// A signed token in the cache.
#[derive(Clone)]
struct Signed {
    token: String,
    /// Expiry by the wall clock, which the audience checks.
    exp: u64,
    /// The time of signing.
    at: Instant,
}

impl Signed {
    /// Returns true if the audience accepts the token for a while longer. After the wall clock is stepped, the token
    /// may be too old, or may expire later than a token may.
    fn is_fresh(&self, clocks: &Clocks) -> bool {
        let left = self.exp.saturating_sub(clocks.unix_seconds());
        let age = clocks.monotonic().saturating_duration_since(self.at);
        left > REUSE.as_secs() && left <= LIFETIME.as_secs() && age < LIFETIME - REUSE
    }
}

/// Signs tokens as this process.
#[derive(Clone)]
pub struct Signer(Arc<SignerInner>);

struct SignerInner {
    name: String,
    key: EncodingKey,
    // By audience and caller. An Ed25519 signature costs more than the rest of a small read.
    signed: Cache<(String, String), Signed>,
    clocks: Clocks,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.0.name)
    }
}

impl Signer {
    /// Creates a signer for the process `name`.
    ///
    /// # Errors
    /// When the key cannot be encoded.
    pub fn new(name: &str, key: &KeyPair) -> anyhow::Result<Self> {
        Self::with_clocks(name, key, Clocks::system())
    }

    /// Creates a signer for the process `name` that reads these clocks.
    ///
    /// # Errors
    /// When the key cannot be encoded.
    pub fn with_clocks(name: &str, key: &KeyPair, clocks: Clocks) -> anyhow::Result<Self> {
        let signed = Cache::new(CACHE_CAPACITY);
        Ok(Self(Arc::new(SignerInner { name: name.to_owned(), key: key.encoding()?, signed, clocks })))
    }

    /// The process that signs.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns a token that identifies `caller` to `audience`.
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

    /// Returns a new token, for a call whose token was rejected.
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

/// The cache key of a signed token.
fn slot(audience: &str, caller: &Caller) -> (String, String) {
    let identity = format!("{} {}\n{:?}", caller.actor_type.as_str(), caller.id, caller.grants());
    (audience.to_owned(), identity)
}

/// A verified token in the cache.
#[derive(Clone)]
struct Verified {
    caller: Caller,
    exp: u64,
    /// The time of the first verification.
    at: Instant,
}

impl Verified {
    /// Returns true if the token is still valid by both clocks, so that stepping the wall clock back does not prolong
    /// it.
    fn is_valid(&self, clocks: &Clocks) -> bool {
        let age = clocks.monotonic().saturating_duration_since(self.at);
        lifetime_fault(self.exp, clocks).is_none() && age < LIFETIME + SKEW
    }
}

/// Checks the expiry of a token by the wall clock and returns the fault, if any.
fn lifetime_fault(exp: u64, clocks: &Clocks) -> Option<&'static str> {
    let now = clocks.unix_seconds();
    if exp <= now {
        return Some("the token has expired");
    }
    (exp > now + (LIFETIME + SKEW).as_secs()).then_some("the token lives longer than tokens may")
}

/// Verifies the tokens that this process receives.
#[derive(Clone)]
pub struct Verifier(Arc<VerifierInner>);

struct VerifierInner {
    audience: String,
    keys: HashMap<String, DecodingKey>,
    // By the whole token, so that each signature is verified once.
    verified: Cache<String, Verified>,
    last_logged_rejection: Mutex<Option<Instant>>,
    clocks: Clocks,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verifier({})", self.0.audience)
    }
}

impl Verifier {
    /// Creates a verifier that trusts every process with a `public/<name>.pem` under `keys_dir`.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn read(audience: &str, keys_dir: &Path) -> anyhow::Result<Self> {
        Ok(Self::new(audience, keys::public_keys(keys_dir)?, Clocks::system()))
    }

    /// Creates a verifier that trusts one process, for tests and tools that have its key.
    pub fn trusting(audience: &str, issuer: &str, key: &KeyPair) -> Self {
        Self::trusting_with_clocks(audience, issuer, key, Clocks::system())
    }

    /// Creates a verifier that trusts one process and reads these clocks.
    pub fn trusting_with_clocks(audience: &str, issuer: &str, key: &KeyPair, clocks: Clocks) -> Self {
        Self::new(audience, vec![(issuer.to_owned(), key.decoding())], clocks)
    }

    fn new(audience: &str, keys: Vec<(String, DecodingKey)>, clocks: Clocks) -> Self {
        Self(Arc::new(VerifierInner {
            audience: audience.to_owned(),
            keys: keys.into_iter().collect(),
            verified: Cache::new(CACHE_CAPACITY),
            last_logged_rejection: Mutex::new(None),
            clocks,
        }))
    }

    /// Returns the caller that the value of an `Authorization` header identifies.
    ///
    /// # Errors
    /// [`Kind::Unauthorized`]. The message does not contain the reason, which is only logged.
    pub fn verify(&self, authorization: Option<&str>) -> Result<Caller> {
        let token = authorization.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(|| {
            Error::new(Kind::Unauthorized, "The request has no signed identity. Send it through the gateway.")
        })?;
        if let Some(known) = self.0.verified.get(token).filter(|known| known.is_valid(&self.0.clocks)) {
            return Ok(known.caller);
        }
        self.check(token).map_err(|why| {
            self.log_rejection(&why);
            Error::new(Kind::Unauthorized, "The signed identity is not valid.").context(why)
        })
    }

    fn check(&self, token: &str) -> std::result::Result<Caller, String> {
        let issuer = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(token)
            .map_err(|error| error.to_string())?
            .iss;
        let key = self.0.keys.get(&issuer).ok_or_else(|| format!("issuer '{issuer}' is not trusted"))?;
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_audience(&[&self.0.audience]);
        rules.set_issuer(&[&issuer]);
        rules.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        // `exp` is checked below, with the clock of this verifier.
        rules.validate_exp = false;
        let claims =
            jsonwebtoken::decode::<Claims>(token, key, &rules).map_err(|error| error.to_string())?.claims;
        if let Some(fault) = lifetime_fault(claims.exp, &self.0.clocks) {
            return Err(fault.to_owned());
        }
        // Only the gateway signs for others. A service signs only for itself, and only with the actor type `service`:
        // with the type `operator` it could call operations that are meant for people.
        let is_itself = claims.sub == format!("service:{issuer}");
        let as_service = claims.actor == ActorType::Service;
        if is_itself != as_service || !(is_itself || issuer == "gateway") {
            return Err(format!("'{issuer}' may not sign for '{}' as {}", claims.sub, claims.actor.as_str()));
        }
        let caller = Caller::signed(claims.iss, claims.sub, claims.actor, claims.grants);
        let at = match self.0.verified.get(token) {
            // A clock was stepped since the first verification, from which the age still counts.
            Some(known) => known.at,
            None => self.0.clocks.monotonic(),
        };
        let verified = Verified { caller: caller.clone(), exp: claims.exp, at };
        if !verified.is_valid(&self.0.clocks) {
            return Err("the token is older than tokens may be".to_owned());
        }
        self.0.verified.insert(token.to_owned(), verified);
        Ok(caller)
    }

    /// Logs at most one line per second, because anyone can cause rejections.
    fn log_rejection(&self, why: &str) {
        let mut last = self.0.last_logged_rejection.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
            tracing::warn!(why, "rejected a signed identity");

            *last = Some(Instant::now());
        }
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
