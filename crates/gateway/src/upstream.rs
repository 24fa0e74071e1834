//! The services behind the gateway, and the addresses at which they serve HTTP.

use std::{collections::HashMap, time::Duration};

use actix_web::http::{Uri, uri::Scheme};
use anyhow::{Context, Result, ensure};
use identity::tls::Tls;
use runtime::config::PeerSettings;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A service behind the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Upstream {
    Registry,
    StackRegistry,
    Onboarding,
    Provisioning,
    Iam,
}

impl Upstream {
    /// All services.
    pub(crate) const ALL: [Self; 5] =
        [Self::Registry, Self::StackRegistry, Self::Onboarding, Self::Provisioning, Self::Iam];

    /// The name of the process, which is also the audience of the tokens for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::StackRegistry => "stack-registry",
            Self::Onboarding => "onboarding",
            Self::Provisioning => "provisioning",
            Self::Iam => "iam",
        }
    }
}

/// The addresses of the services, and how long to wait for them.
#[derive(Debug)]
pub(crate) struct Destinations {
    pub(crate) addresses: HashMap<Upstream, Uri>,
    /// The time limit for opening a connection.
    pub(crate) connect_timeout: Duration,
    /// The longest silence of a service: before its response begins, or between two pieces of it.
    pub(crate) silence_timeout: Duration,
}

/// The HTTP addresses of the services.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstreams {
    pub registry: PeerSettings,
    pub stack_registry: PeerSettings,
    pub onboarding: PeerSettings,
    pub provisioning: PeerSettings,
    pub iam: PeerSettings,
}

impl Upstreams {
    /// Returns the addresses of all services.
    ///
    /// # Errors
    /// When an address is not valid.
    pub(crate) fn addresses(&self, tls: Option<&Tls>) -> Result<HashMap<Upstream, Uri>> {
        Upstream::ALL.into_iter().map(|upstream| Ok((upstream, self.address(upstream, tls)?))).collect()
    }

    /// Returns the address of a service: host and port. Its scheme is always `http`, because the connection itself
    /// applies TLS.
    ///
    /// # Errors
    /// When the address is not valid.
    pub(crate) fn address(&self, upstream: Upstream, tls: Option<&Tls>) -> Result<Uri> {
        let (key, url) = match upstream {
            Upstream::Registry => ("registry", &self.registry.url),
            Upstream::StackRegistry => ("stack_registry", &self.stack_registry.url),
            Upstream::Onboarding => ("onboarding", &self.onboarding.url),
            Upstream::Provisioning => ("provisioning", &self.provisioning.url),
            Upstream::Iam => ("iam", &self.iam.url),
        };
        let invalid = || format!("service.upstreams.{key}.url must have the form http://host:port");
        let uri: Uri = url.parse().with_context(invalid)?;
        ensure!(uri.path() == "/" && uri.query().is_none() && uri.scheme().is_some(), invalid());

        let host = uri.host().filter(|host| !host.is_empty()).with_context(invalid)?;
        Tls::ensure_scheme(tls, uri.scheme_str()).with_context(|| format!("service.upstreams.{key}.url"))?;
        let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        let address =
            Uri::builder().scheme(Scheme::HTTP).authority(format!("{host}:{port}")).path_and_query("/");
        address.build().with_context(invalid)
    }
}
