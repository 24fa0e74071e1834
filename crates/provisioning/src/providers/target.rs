//! What a provider is asked to make.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use super::ProviderError;
use super::bundle::Bundle;
use super::names::{DnsTarget, parse_host_name, parse_resource_name, parse_secret_name};
use super::owner::Owner;
use super::starter::Starter;

/// The kinds of things a provider makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// Code that answers HTTP.
    Worker,
    /// A site of files, with or without code.
    Pages,
    /// An SQL database.
    D1,
    /// A bucket of objects.
    R2,
    /// A store of values by key.
    Kv,
    /// A queue of messages.
    Queue,
    /// A repository made from the [starter](Starter).
    GitRepository,
    /// A value only the code of one worker can read.
    Secret,
    /// A host name and where it leads.
    DnsRecord,
}

impl ResourceKind {
    /// Every kind, in the order they are declared.
    pub const ALL: [Self; 9] = [
        Self::Worker,
        Self::Pages,
        Self::D1,
        Self::R2,
        Self::Kv,
        Self::Queue,
        Self::GitRepository,
        Self::Secret,
        Self::DnsRecord,
    ];

    /// The kind as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Pages => "pages",
            Self::D1 => "d1",
            Self::R2 => "r2",
            Self::Kv => "kv",
            Self::Queue => "queue",
            Self::GitRepository => "git_repository",
            Self::Secret => "secret",
            Self::DnsRecord => "dns_record",
        }
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing, by kind and name, whose it is, and the state it is wanted in.
///
/// Only made through its checks, also when it is deserialised: a provider never sees a bad name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Target {
    owner: Owner,
    kind: ResourceKind,
    name: String,
    spec: Spec,
}

/// The wanted state, and for a secret the rest of its name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Spec {
    /// Nothing more to say: enough for D1, R2, KV and queues, and for `destroy` and `observe` of all but a secret.
    #[default]
    Plain,
    /// For a worker or pages.
    Bundle(Bundle),
    /// For a Git repository.
    Starter(Starter),
    /// For a secret, whose target is named after its worker.
    Secret {
        /// The name of the secret in that worker.
        secret: domain::SecretName,
        /// The value to set; without one, `ensure` keeps the present value and makes a random one if there is none,
        /// so that a value nobody needs to know is never known. A value is never written down: serialising it fails.
        #[serde(default, serialize_with = "only_without_value", skip_serializing_if = "Option::is_none")]
        value: Option<SecretString>,
    },
    /// For a DNS record.
    Dns {
        /// What the host name leads to: a host name, or the name of a worker or pages.
        target: DnsTarget,
    },
}

/// Refuses to write a secret down, rather than leaving it out: without its value the spec would mean something else.
fn only_without_value<S: Serializer>(value: &Option<SecretString>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        None => to.serialize_none(),
        Some(_) => Err(serde::ser::Error::custom("the value of a secret is never written down")),
    }
}

impl Target {
    /// The thing of `kind` called `name`, of `owner`, in the state `spec`.
    ///
    /// # Errors
    ///
    /// Permanent, if the name is none for that kind, or the spec is that of another kind.
    pub fn new(
        owner: &Owner,
        kind: ResourceKind,
        name: impl Into<String>,
        spec: Spec,
    ) -> Result<Self, ProviderError> {
        let name = name.into();
        let name = match kind {
            ResourceKind::DnsRecord => parse_host_name(&name)?.to_string(),
            _ => parse_resource_name(&name)?.to_string(),
        };
        let fits = match &spec {
            // A secret is not known by the name of its worker alone.
            Spec::Plain => kind != ResourceKind::Secret,
            Spec::Bundle(_) => matches!(kind, ResourceKind::Worker | ResourceKind::Pages),
            Spec::Starter(_) => kind == ResourceKind::GitRepository,
            Spec::Secret { .. } => kind == ResourceKind::Secret,
            Spec::Dns { .. } => kind == ResourceKind::DnsRecord,
        };
        if fits {
            Ok(Self { owner: owner.clone(), kind, name, spec })
        } else {
            Err(ProviderError::permanent(format!("the spec of {kind} {name} is that of another kind")))
        }
    }

    /// The thing of `kind` called `name`, with nothing said about its state; for a secret use [`Target::secret`].
    ///
    /// # Errors
    ///
    /// As of [`Target::new`].
    pub fn plain(owner: &Owner, kind: ResourceKind, name: impl Into<String>) -> Result<Self, ProviderError> {
        Self::new(owner, kind, name, Spec::Plain)
    }

    /// The secret called `secret` of the worker `worker`; see [`Spec::Secret`] for a missing value.
    ///
    /// # Errors
    ///
    /// As of [`Target::new`].
    pub fn secret(
        owner: &Owner,
        worker: impl Into<String>,
        secret: impl Into<String>,
        value: Option<SecretString>,
    ) -> Result<Self, ProviderError> {
        let secret = parse_secret_name(&secret.into())?;
        Self::new(owner, ResourceKind::Secret, worker, Spec::Secret { secret, value })
    }

    /// The record that leads `hostname` to `target`.
    ///
    /// # Errors
    ///
    /// As of [`Target::new`].
    pub fn dns(
        owner: &Owner,
        hostname: impl Into<String>,
        target: impl Into<String>,
    ) -> Result<Self, ProviderError> {
        let target = DnsTarget::parse(&target.into())?;
        Self::new(owner, ResourceKind::DnsRecord, hostname, Spec::Dns { target })
    }

    /// Whose it is.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// What it is.
    pub fn kind(&self) -> ResourceKind {
        self.kind
    }

    /// Its name: of a secret, that of its worker; of a DNS record, the lower-cased host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The state it is wanted in.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What makes two targets the same thing: `kind/name`, and `secret/worker/name` for a secret.
    pub fn identity(&self) -> String {
        match &self.spec {
            Spec::Secret { secret, .. } => format!("{}/{}/{secret}", self.kind, self.name),
            _ => format!("{}/{}", self.kind, self.name),
        }
    }

    /// The error for a spec that says too little to make the thing.
    pub fn underspecified(&self) -> ProviderError {
        ProviderError::permanent(format!("{} cannot be made from what its spec says", self.identity()))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.identity())
    }
}

impl Spec {
    /// The value a secret is to have. Exposed: only for the store that keeps it.
    pub fn secret_value(&self) -> Option<&str> {
        match self {
            Self::Secret { value: Some(value), .. } => Some(value.expose_secret()),
            _ => None,
        }
    }
}

/// A target before its checks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    owner: Owner,
    kind: ResourceKind,
    name: String,
    #[serde(default)]
    spec: Spec,
}

impl TryFrom<Unchecked> for Target {
    type Error = ProviderError;

    fn try_from(raw: Unchecked) -> Result<Self, ProviderError> {
        Self::new(&raw.owner, raw.kind, raw.name, raw.spec)
    }
}
