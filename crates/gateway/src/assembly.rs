//! Construction of all components from the settings, at start and at each reload.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use identity::{KeyPair, Signer, tls::Tls};
use rpc::Peers;

use crate::{
    NAME,
    admission::Admission,
    auth::{AuthMethod, Authenticator, OperatorKey},
    breaker::Breakers,
    cors::Cors,
    iam::Iam,
    keys::ApiKeys,
    limits::Limits,
    oidc::Oidc,
    policy::{CurrentPolicy, Policy},
    request_head::HeadLimits,
    settings::{GatewaySettings, Settings},
    upstream::{Destinations, Upstream},
};

/// The components that live as long as the process, and the current policy.
pub(crate) struct Assembly {
    pub(crate) peers: Peers,
    pub(crate) breakers: Breakers,
    pub(crate) policy: CurrentPolicy,
    /// The components that the policy was built from. A reload holds the lock while it builds the next policy.
    components: Mutex<Components>,
}

/// The components with state, which a reload reuses if their settings have not changed.
struct Components {
    settings: GatewaySettings,
    authenticator: Authenticator,
    iam: Arc<Iam>,
    oidc: Arc<Oidc>,
    limits: Arc<Limits>,
}

impl Assembly {
    /// Builds all components. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// When a setting is not valid, or the key cannot be read.
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let signer = Signer::new(NAME, &KeyPair::read(&settings.identity.keys_dir, NAME)?)?;
        let peers = Peers { signer, tls: Tls::read(&settings.tls)? };
        let components = Components::new(&settings.service, &peers, None)?;
        let policy = Arc::new(ArcSwap::from_pointee(components.policy(&peers)?));
        Ok(Self { peers, breakers: Breakers::new(), policy, components: Mutex::new(components) })
    }

    /// Replaces the policy. Requests in progress keep theirs.
    ///
    /// # Errors
    /// When a setting is not valid. Then nothing changes.
    pub(crate) fn reload(&self, settings: &GatewaySettings) -> Result<()> {
        let mut components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        let next = Components::new(settings, &self.peers, Some(&components))?;
        let policy = Arc::new(next.policy(&self.peers)?);
        let before = self.policy.load();
        for upstream in Upstream::ALL {
            if before.destinations.addresses.get(&upstream) != policy.destinations.addresses.get(&upstream) {
                self.breakers.reset(upstream);
            }
        }
        self.policy.store(policy);
        *components = next;
        Ok(())
    }
}

impl Components {
    fn new(settings: &GatewaySettings, peers: &Peers, before: Option<&Self>) -> Result<Self> {
        let key = OperatorKey::new(settings.operator_key()?);
        let iam = match before.filter(|before| before.settings.iam.url == settings.iam.url) {
            Some(before) => Arc::clone(&before.iam),
            None => Arc::new(Iam::new(&settings.iam, peers).context("service.iam.url")?),
        };
        let oidc = Arc::new(Oidc::new(&settings.oidc, &iam, before.map(|before| &*before.oidc))?);
        let methods: Vec<Box<dyn AuthMethod>> =
            vec![Box::new(key), Box::new(ApiKeys::new(Arc::clone(&iam))), Box::new(Arc::clone(&oidc))];
        let limits = match before.filter(|before| before.settings.limits == settings.limits) {
            Some(before) => Arc::clone(&before.limits),
            None => Arc::new(Limits::new(&settings.limits)?),
        };
        let authenticator = Authenticator::new(methods);
        Ok(Self { settings: settings.clone(), authenticator, iam, oidc, limits })
    }

    fn policy(&self, peers: &Peers) -> Result<Policy> {
        let settings = &self.settings;
        Ok(Policy {
            admission: Admission::new(self.authenticator.clone(), Arc::clone(&self.limits)),
            cors: Cors::new(&settings.cors)?,
            destinations: Destinations {
                addresses: settings.upstreams.addresses(peers.tls.as_ref())?,
                connect_timeout: settings.connect_timeout,
                silence_timeout: settings.upstream_timeout,
            },
            head_limits: HeadLimits {
                max_uri_bytes: settings.max_uri_bytes,
                max_header_bytes: settings.max_header_bytes,
            },
            iam: Arc::clone(&self.iam),
            keep_alive_timeout: settings.keep_alive_timeout,
            stalled_client_timeout: settings.stalled_client_timeout,
        })
    }
}
