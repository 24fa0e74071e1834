//! Authentication with a token of an OpenID Connect issuer.
//!
//! The header of a token only selects the key that verifies it. The algorithm follows from the key.

mod fetch;
mod jwks_cache;
mod keys;
mod settings;
mod token;

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use domain::Error;
use futures_util::future::{BoxFuture, FutureExt};
use identity::{ActorType, Caller};

use self::{
    fetch::Source,
    jwks_cache::JwksCache,
    token::{Person, Rules, Unverified},
};
use crate::{auth::AuthMethod, iam::Iam};

pub use settings::{IssuerSettings, OidcSettings, RoleSettings};

/// A trusted issuer.
struct Issuer {
    name: String,
    settings: IssuerSettings,
    rules: Rules,
    keys: JwksCache,
}

impl Issuer {
    fn new(name: &str, settings: &IssuerSettings) -> Result<Self> {
        let rules = Rules::new(settings, settings.check()?);
        let keys = JwksCache::new(name.to_owned(), Source::new(settings)?);
        Ok(Self { name: name.to_owned(), settings: settings.clone(), rules, keys })
    }

    /// Verifies a token and returns the person it identifies; `None` if the token is not valid.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`] when the issuer's keys could never be fetched.
    async fn person(&self, token: &str, unverified: &Unverified) -> domain::Result<Option<Person>> {
        let (algorithm, id) = (unverified.algorithm.as_str(), unverified.key_id.as_deref());
        let mut keys = self.keys.current();
        if keys.as_ref().is_none_or(|keys| keys.matching(algorithm, id).is_empty()) {
            keys = self.keys.refreshed().await;
        }
        let keys = keys.ok_or_else(|| {
            let what = format!("The issuer '{}'", self.name);
            Error::unavailable(&what, "its keys were never fetched").with("retryAfterSeconds", 10)
        })?;
        Ok(self.rules.person(token, &keys.matching(algorithm, id)))
    }
}

/// All trusted issuers.
pub(crate) struct Oidc {
    issuers: Vec<Arc<Issuer>>,
    iam: Arc<Iam>,
}

impl Oidc {
    /// Creates the issuers of the settings. Reuses those of `before` whose settings have not changed, with their keys.
    ///
    /// # Errors
    /// When a setting is not valid.
    pub(crate) fn new(settings: &OidcSettings, iam: &Arc<Iam>, before: Option<&Self>) -> Result<Self> {
        let mut issuers: Vec<Arc<Issuer>> = Vec::new();
        for (name, settings) in &settings.issuers {
            let is_same = |issuer: &&Arc<Issuer>| issuer.name == *name && issuer.settings == *settings;
            let existing = before.and_then(|before| before.issuers.iter().find(is_same));
            let issuer = match existing {
                Some(existing) => Arc::clone(existing),
                None => Issuer::new(name, settings)
                    .map(Arc::new)
                    .with_context(|| format!("service.oidc.issuers.{name}"))?,
            };
            let is_new = issuers.iter().all(|other| other.settings.issuer != settings.issuer);
            ensure!(is_new, "service.oidc.issuers.{name}: another section has the same issuer");
            issuers.push(issuer);
        }
        Ok(Self { issuers, iam: Arc::clone(iam) })
    }

    async fn find(&self, token: &str) -> domain::Result<Option<Caller>> {
        let Some(unverified) = Unverified::read(token) else { return Ok(None) };
        let is_named = |issuer: &&Arc<Issuer>| issuer.settings.issuer == unverified.issuer;
        let Some(issuer) = self.issuers.iter().find(is_named) else {
            return Ok(None);
        };
        let Some(Person { subject, mut grants }) = issuer.person(token, &unverified).await? else {
            return Ok(None);
        };
        for grant in self.iam.grants_of(&subject).await? {
            if !grants.contains(&grant) {
                grants.push(grant);
            }
        }
        // A person without grants is authenticated too: they may call whoami and start an onboarding.
        Ok(Some(Caller::authenticated(format!("user:{subject}"), ActorType::User, grants)))
    }
}

impl AuthMethod for Arc<Oidc> {
    fn is_unguessable(&self, credential: &str) -> bool {
        let named = Unverified::read(credential).map(|unverified| unverified.issuer);
        named.is_some_and(|named| self.issuers.iter().any(|issuer| issuer.settings.issuer == named))
    }

    fn caller<'a>(&'a self, credential: &'a str) -> BoxFuture<'a, domain::Result<Option<Caller>>> {
        self.find(credential).boxed()
    }
}
