//! Targets: the objects that a provider creates.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use super::ProviderError;
use super::bundle::Bundle;
use super::names::{DnsTarget, parse_host_name, parse_resource_name, parse_secret_name};
use super::owner::Owner;
use super::starter::Starter;

/// Kinds of objects that a provider creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// Code that serves HTTP.
    Worker,
    /// Website of files, with or without code.
    Pages,
    /// SQL database.
    D1,
    /// Bucket of objects.
    R2,
    /// Key-value store.
    Kv,
    /// Message queue.
    Queue,
    /// Git repository created from the [starter](Starter).
    GitRepository,
    /// Value that only the code of one worker can read.
    Secret,
    /// Host name and its target.
    DnsRecord,
}

impl ResourceKind {
    /// All kinds in the order of declaration.
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

    /// Returns the kind as in JSON.
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

/// Object of a provider, identified by kind and name, with its owner and its desired state.
///
/// Every constructor, deserialisation included, validates it, so that a provider never gets an invalid name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Target {
    owner: Owner,
    kind: ResourceKind,
    name: String,
    spec: Spec,
}

/// Desired state of a target. For a secret, also the rest of its name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Spec {
    /// No further state. Sufficient for D1, R2, KV and queues, and for `destroy` and `observe` of all kinds except
    /// secrets.
    #[default]
    Plain,
    /// For a worker or pages.
    Bundle(Bundle),
    /// For a Git repository.
    Starter(Starter),
    /// For a secret. The name of its target is that of its worker.
    Secret {
        /// Name of the secret in that worker.
        secret: domain::SecretName,
        /// Value to set. Without one, `ensure` keeps the existing value or generates a random one. A spec with a value
        /// cannot be serialised, so that the value is never stored.
        #[serde(default, serialize_with = "only_without_value", skip_serializing_if = "Option::is_none")]
        value: Option<SecretString>,
    },
    /// For a DNS record.
    Dns {
        /// Target of the host name: another host name, or the name of a worker or pages site.
        target: DnsTarget,
    },
}

/// Fails to serialise a secret value. Omitting it instead would change the meaning of the spec.
fn only_without_value<S: Serializer>(value: &Option<SecretString>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        None => to.serialize_none(),
        Some(_) => Err(serde::ser::Error::custom("the value of a secret cannot be serialised")),
    }
}

impl Target {
    /// Creates the target of `kind` with the name `name`, the owner `owner` and the desired state `spec`.
    ///
    /// # Errors
    ///
    /// Permanent, if the name or the spec is not valid for the kind.
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
        let matches_kind = match &spec {
            // The name of its worker does not identify a secret.
            Spec::Plain => kind != ResourceKind::Secret,
            Spec::Bundle(_) => matches!(kind, ResourceKind::Worker | ResourceKind::Pages),
            Spec::Starter(_) => kind == ResourceKind::GitRepository,
            Spec::Secret { .. } => kind == ResourceKind::Secret,
            Spec::Dns { .. } => kind == ResourceKind::DnsRecord,
        };
        if matches_kind {
            Ok(Self { owner: owner.clone(), kind, name, spec })
        } else {
            Err(ProviderError::permanent(format!("the spec of {kind} {name} is for another kind")))
        }
    }

    /// Creates a target with [`Spec::Plain`]. For a secret use [`Target::secret`].
    ///
    /// # Errors
    ///
    /// Those of [`Target::new`].
    pub fn plain(owner: &Owner, kind: ResourceKind, name: impl Into<String>) -> Result<Self, ProviderError> {
        Self::new(owner, kind, name, Spec::Plain)
    }

    /// Creates the target of the secret `secret` of the worker `worker`. See [`Spec::Secret`] for a missing value.
    ///
    /// # Errors
    ///
    /// Those of [`Target::new`].
    pub fn secret(
        owner: &Owner,
        worker: impl Into<String>,
        secret: impl Into<String>,
        value: Option<SecretString>,
    ) -> Result<Self, ProviderError> {
        let secret = parse_secret_name(&secret.into())?;
        Self::new(owner, ResourceKind::Secret, worker, Spec::Secret { secret, value })
    }

    /// Creates the target of the DNS record that points `hostname` to `target`.
    ///
    /// # Errors
    ///
    /// Those of [`Target::new`].
    pub fn dns(
        owner: &Owner,
        hostname: impl Into<String>,
        target: impl Into<String>,
    ) -> Result<Self, ProviderError> {
        let target = DnsTarget::parse(&target.into())?;
        Self::new(owner, ResourceKind::DnsRecord, hostname, Spec::Dns { target })
    }

    /// Returns the owner.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Returns the kind.
    pub fn kind(&self) -> ResourceKind {
        self.kind
    }

    /// Returns the name. For a secret, this is the name of its worker; for a DNS record, the lower-case host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the desired state.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Returns the identity of the object: `kind/name`, or `secret/worker/name` for a secret.
    pub fn identity(&self) -> String {
        match &self.spec {
            Spec::Secret { secret, .. } => format!("{}/{}/{secret}", self.kind, self.name),
            _ => format!("{}/{}", self.kind, self.name),
        }
    }

    /// Returns the error for a spec that is insufficient to create the object.
    pub fn underspecified(&self) -> ProviderError {
        ProviderError::permanent(format!("{} cannot be created: its spec is incomplete", self.identity()))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.identity())
    }
}

impl Spec {
    /// Returns the exposed value of a secret. Only for the store of the provider.
    pub fn secret_value(&self) -> Option<&str> {
        match self {
            Self::Secret { value: Some(value), .. } => Some(value.expose_secret()),
            _ => None,
        }
    }
}

/// Unvalidated serialised form of a target.
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
