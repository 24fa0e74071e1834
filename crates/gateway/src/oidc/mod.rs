//! Authentication with a token of an OpenID Connect issuer.
//!
//! What a token says of itself chooses only which of our keys it is held against. Which algorithm checks it follows
//! from the key.

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

/// One issuer that is believed.
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

    /// Who the token stands for, if it is believed.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`] when no key of the issuer was ever had.
    async fn person(&self, token: &str, told: &Unverified) -> domain::Result<Option<Person>> {
        let (algorithm, id) = (told.algorithm.as_str(), told.key_id.as_deref());
        let mut keys = self.keys.now();
        if keys.as_ref().is_none_or(|keys| keys.that_fit(algorithm, id).is_empty()) {
            keys = self.keys.fetched_again().await;
        }
        let keys = keys.ok_or_else(|| {
            let what = format!("The issuer '{}'", self.name);
            Error::unavailable(&what, "its keys were never had").with("retryAfterSeconds", 10)
        })?;
        Ok(self.rules.person(token, &keys.that_fit(algorithm, id)))
    }
}

/// All issuers that are believed.
pub(crate) struct Oidc {
    issuers: Vec<Arc<Issuer>>,
    iam: Arc<Iam>,
}

impl Oidc {
    /// Takes over the issuers of `before` whose settings are the same, with their keys.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub(crate) fn new(settings: &OidcSettings, iam: &Arc<Iam>, before: Option<&Self>) -> Result<Self> {
        let mut issuers: Vec<Arc<Issuer>> = Vec::new();
        for (name, told) in &settings.issuers {
            let is_same = |issuer: &&Arc<Issuer>| issuer.name == *name && issuer.settings == *told;
            let known = before.and_then(|before| before.issuers.iter().find(is_same));
            let issuer = match known {
                Some(known) => Arc::clone(known),
                None => Issuer::new(name, told)
                    .map(Arc::new)
                    .with_context(|| format!("service.oidc.issuers.{name}"))?,
            };
            let is_new = issuers.iter().all(|other| other.settings.issuer != told.issuer);
            ensure!(is_new, "service.oidc.issuers.{name}: another section has the same issuer");
            issuers.push(issuer);
        }
        Ok(Self { issuers, iam: Arc::clone(iam) })
    }

    async fn find(&self, token: &str) -> domain::Result<Option<Caller>> {
        let Some(told) = Unverified::read(token) else { return Ok(None) };
        let Some(issuer) = self.issuers.iter().find(|issuer| issuer.settings.issuer == told.issuer) else {
            return Ok(None);
        };
        let Some(Person { subject, mut grants }) = issuer.person(token, &told).await? else {
            return Ok(None);
        };
        for grant in self.iam.grants_of(&subject).await? {
            if !grants.contains(&grant) {
                grants.push(grant);
            }
        }
        // Who holds nothing is known all the same: they may ask who they are, and begin an onboarding.
        Ok(Some(Caller::authenticated(format!("user:{subject}"), ActorType::User, grants)))
    }
}

impl AuthMethod for Arc<Oidc> {
    fn is_of_form(&self, credential: &str) -> bool {
        let issuer = Unverified::read(credential).map(|told| told.issuer);
        issuer.is_some_and(|told| self.issuers.iter().any(|issuer| issuer.settings.issuer == told))
    }

    fn caller<'a>(&'a self, credential: &'a str) -> BoxFuture<'a, domain::Result<Option<Caller>>> {
        self.find(credential).boxed()
    }
}
