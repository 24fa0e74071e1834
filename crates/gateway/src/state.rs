//! What all worker threads have in common: what stays, and what can be told anew while the gateway runs.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use actix_web::http::Uri;
use anyhow::{Context, Result};
use identity::{KeyPair, Signer, tls::Tls};
use rpc::Peers;
use web::HttpSettings;

use crate::{
    auth::{Authenticator, OperatorKey, Way},
    breaker::Breakers,
    cors::Cors,
    docs::Docs,
    iam::Iam,
    keys::ApiKeys,
    limits::Limits,
    load::Load,
    oidc::Oidc,
    routes::Upstream,
    server::NAME,
    settings::{GatewaySettings, Settings},
};

/// What all worker threads have in common.
pub(crate) struct Shared {
    pub(crate) peers: Peers,
    pub(crate) docs: Arc<Docs>,
    pub(crate) http: HttpSettings,
    pub(crate) load: Load,
    pub(crate) breakers: Breakers,
    live: RwLock<Arc<Live>>,
}

/// What follows from `[service]` of the settings. A request takes it once and keeps it to its end.
pub(crate) struct Live {
    pub(crate) settings: GatewaySettings,
    pub(crate) authenticator: Authenticator,
    pub(crate) addresses: HashMap<Upstream, Uri>,
    pub(crate) iam: Arc<Iam>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) cors: Cors,
    oidc: Arc<Oidc>,
}

impl Shared {
    /// # Errors
    /// When a setting is not usable, or the key cannot be read.
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let signer = Signer::new(NAME, &KeyPair::read(&settings.identity.keys_dir, NAME)?)?;
        let peers = Peers { signer, tls: Tls::read(&settings.tls)? };
        Ok(Self {
            live: RwLock::new(Arc::new(Live::new(&settings.service, &peers, None)?)),
            docs: Arc::new(Docs::new().context("the API's document")?),
            peers,
            load: Load::default(),
            breakers: Breakers::new(),
            http: settings.http.clone(),
        })
    }

    /// Lets other settings hold from now on. Requests under way keep theirs.
    ///
    /// # Errors
    /// When a setting is not usable. Then nothing changes.
    pub(crate) fn tell_anew(&self, settings: &GatewaySettings) -> Result<()> {
        let before = self.live();
        let live = Arc::new(Live::new(settings, &self.peers, Some(&before))?);
        for upstream in Upstream::ALL {
            if before.addresses.get(&upstream) != live.addresses.get(&upstream) {
                self.breakers.forget(upstream);
            }
        }
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = live;
        Ok(())
    }

    /// What holds now.
    pub(crate) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Live {
    /// What is to follow `before`: what did not change is taken over, with what it remembers.
    ///
    /// # Errors
    /// When a setting is not usable.
    fn new(settings: &GatewaySettings, peers: &Peers, before: Option<&Self>) -> Result<Self> {
        let key = OperatorKey::new(settings.operator_key()?);
        let iam = match before.filter(|before| before.settings.iam.url == settings.iam.url) {
            Some(before) => Arc::clone(&before.iam),
            None => Arc::new(Iam::new(&settings.iam, peers).context("service.iam.url")?),
        };
        let oidc = Arc::new(Oidc::new(&settings.oidc, &iam, before.map(|before| &*before.oidc))?);
        let ways: Vec<Box<dyn Way>> =
            vec![Box::new(key), Box::new(ApiKeys::new(Arc::clone(&iam))), Box::new(Arc::clone(&oidc))];
        let limits = match before.filter(|before| before.limits.settings == settings.limits) {
            Some(before) => Arc::clone(&before.limits),
            None => Arc::new(Limits::new(&settings.limits)?),
        };
        Ok(Self {
            authenticator: Authenticator::new(ways),
            addresses: settings.upstreams.addresses(peers.tls.as_ref())?,
            iam,
            oidc,
            limits,
            cors: Cors::new(&settings.cors)?,
            settings: settings.clone(),
        })
    }
}
