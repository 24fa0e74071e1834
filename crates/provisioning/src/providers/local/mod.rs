//! Embedded provider, which creates infrastructure on this machine in one root folder.
//!
//! Every effect is atomic and on disk before a call returns. Any number of tasks and processes may use the same root
//! folder concurrently.

mod deployments;
mod dns;
mod durable;
mod git;
mod identity;
pub mod kv;
mod lock;
mod ownership;
pub mod queue;
pub mod r2;
mod resolver;
mod root_dir;
mod secrets;
mod sqlite;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

pub use self::deployments::{Deployment, FileInfo, MAX_DEPLOYMENTS, Manifest};
pub use self::dns::{Route, Routes};
use self::git::Git;
use self::kv::KvStore;
use self::queue::Queue;
use self::r2::Bucket;
use self::root_dir::{RootDir, TargetPaths};
use super::{
    Clock, DestroyOutcome, DomainCheck, HostName, ObservedState, Owner, Provider, ProviderError,
    ResourceKind, ResourceName, Spec, Target, blocking, parse_resource_name,
};

/// Settings of the embedded provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalSettings {
    /// Root folder; created if it does not exist. Must be on a local file system, because SQLite locks its files.
    pub root: PathBuf,
    /// Path or name of the `git` program.
    #[serde(default = "default_git")]
    pub git: PathBuf,
    /// Time for which a call waits for the lock of its target. The call then fails with a retryable error.
    #[serde(default = "default_lock_timeout", with = "humantime_serde")]
    pub lock_timeout: Duration,
    /// DNS server for custom host names. By default the servers of this machine.
    #[serde(default)]
    pub nameserver: Option<SocketAddr>,
}

fn default_git() -> PathBuf {
    PathBuf::from("git")
}

fn default_lock_timeout() -> Duration {
    Duration::from_secs(30)
}

impl LocalSettings {
    /// Returns the default settings for `root`, with the installed `git`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), git: default_git(), lock_timeout: default_lock_timeout(), nameserver: None }
    }
}

/// Embedded provider. Clones share their state.
#[derive(Clone, Debug)]
pub struct LocalProvider {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: RootDir,
    routes: Routes,
    git: Git,
    clock: Clock,
    nameserver: Option<SocketAddr>,
}

impl LocalProvider {
    /// Opens the root folder, creates it if it does not exist, and removes the remains of crashes.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] if the folder cannot be created or used.
    pub async fn open(settings: LocalSettings, clock: Clock) -> Result<Self, ProviderError> {
        blocking(move || {
            let root = RootDir::open(&settings.root, settings.lock_timeout)?;
            let routes = Routes::open(&root, clock.clone())?;
            let git = Git { program: settings.git, home: root.path().to_owned() };
            let nameserver = settings.nameserver;
            Ok(Self { inner: Arc::new(Inner { root, routes, git, clock, nameserver }) })
        })
        .await
    }

    /// Returns the bucket `name`, which need not exist yet.
    pub fn bucket(&self, name: &ResourceName) -> Bucket {
        Bucket::new(self.inner.root.paths(ResourceKind::R2, name), self.inner.clock.clone())
    }

    /// Returns the KV namespace `name`, which need not exist yet.
    pub fn kv(&self, name: &ResourceName) -> KvStore {
        KvStore::new(self.inner.root.paths(ResourceKind::Kv, name), self.inner.clock.clone())
    }

    /// Returns the queue `name`, which need not exist yet.
    pub fn queue(&self, name: &ResourceName) -> Queue {
        Queue::new(self.inner.root.paths(ResourceKind::Queue, name), self.inner.clock.clone())
    }

    /// Returns the routes of host names.
    pub fn routes(&self) -> &Routes {
        &self.inner.routes
    }

    /// Returns the path of the SQLite file of the D1 database `name`, if it exists. The path changes when the database
    /// is destroyed and created again.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] if the file system fails.
    pub async fn d1(&self, name: &ResourceName) -> Result<Option<PathBuf>, ProviderError> {
        let paths = self.inner.root.paths(ResourceKind::D1, name);
        blocking(move || sqlite::find(&paths)).await
    }

    /// Returns the current deployment of the worker `name`, if there is one.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] if the file system fails.
    pub async fn worker(&self, name: &ResourceName) -> Result<Option<Deployment>, ProviderError> {
        let paths = self.inner.root.paths(ResourceKind::Worker, name);
        blocking(move || deployments::current(&paths)).await
    }

    /// Returns the current deployment of the pages site `name`, if there is one.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] if the file system fails.
    pub async fn pages(&self, name: &ResourceName) -> Result<Option<Deployment>, ProviderError> {
        let paths = self.inner.root.paths(ResourceKind::Pages, name);
        blocking(move || deployments::current(&paths)).await
    }

    /// Returns the secrets of the worker `name`, for the process that runs it.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] if the file system fails.
    pub async fn reveal_secrets(
        &self,
        name: &ResourceName,
    ) -> Result<BTreeMap<String, SecretString>, ProviderError> {
        let paths = self.inner.root.paths(ResourceKind::Worker, name);
        blocking(move || secrets::reveal(&paths)).await
    }
}

#[async_trait]
impl Provider for LocalProvider {
    async fn ensure(&self, target: &Target) -> Result<ObservedState, ProviderError> {
        let (inner, target) = (Arc::clone(&self.inner), target.clone());
        blocking(move || inner.ensure(&target).map_err(|e| e.context(&target))).await
    }

    async fn destroy(&self, target: &Target) -> Result<DestroyOutcome, ProviderError> {
        let (inner, target) = (Arc::clone(&self.inner), target.clone());
        blocking(move || inner.destroy(&target).map_err(|e| e.context(&target))).await
    }

    async fn observe(&self, target: &Target) -> Result<Option<ObservedState>, ProviderError> {
        let (inner, target) = (Arc::clone(&self.inner), target.clone());
        blocking(move || inner.observe(&target).map_err(|e| e.context(&target))).await
    }

    /// Checks public DNS records, which only the owner of the name can set. The routes of this provider prove no
    /// ownership.
    async fn verify_domain(
        &self,
        _: &Owner,
        hostname: &HostName,
        target: &HostName,
    ) -> Result<DomainCheck, ProviderError> {
        resolver::verify(hostname, target, self.inner.nameserver).await
    }
}

impl Inner {
    fn ensure(&self, target: &Target) -> Result<ObservedState, ProviderError> {
        let observed = self.apply(target)?;
        self.with_owner(target, observed)
    }

    fn apply(&self, target: &Target) -> Result<ObservedState, ProviderError> {
        let now = self.clock.now();
        let lock = || self.paths(target)?.lock_for(target.owner());
        match (target.kind(), target.spec()) {
            (ResourceKind::Worker | ResourceKind::Pages, Spec::Bundle(bundle)) => {
                deployments::ensure(&lock()?, bundle, now)
            }
            (ResourceKind::D1, _) => sqlite::ensure(&lock()?, "", now),
            (ResourceKind::Kv, _) => sqlite::ensure(&lock()?, kv::SCHEMA, now),
            (ResourceKind::Queue, _) => sqlite::ensure(&lock()?, queue::SCHEMA, now),
            (ResourceKind::R2, _) => r2::ensure(&lock()?, now),
            (ResourceKind::GitRepository, Spec::Starter(starter)) => self.git.ensure(&lock()?, starter, now),
            (ResourceKind::Secret, Spec::Secret { secret, .. }) => {
                secrets::ensure(&lock()?, secret, target.spec().secret_value(), now)
            }
            (ResourceKind::DnsRecord, Spec::Dns { target: to }) => {
                self.routes.ensure(target.owner(), target.name(), to.as_str())
            }
            _ => Err(target.underspecified()),
        }
    }

    fn destroy(&self, target: &Target) -> Result<DestroyOutcome, ProviderError> {
        if target.kind() == ResourceKind::DnsRecord {
            return self.routes.destroy(target.owner(), target.name());
        }
        let locked = self.paths(target)?.lock()?;
        if !locked.paths().exists()? {
            return Ok(DestroyOutcome::Absent);
        }
        if !locked.paths().owner()?.is_some_and(|owner| owner.is(target.owner())) {
            tracing::warn!(%target, platform = %target.owner().platform, "not removed: the object belongs to another owner");
            return Ok(DestroyOutcome::NotOurs);
        }
        match target.spec() {
            Spec::Secret { secret, .. } => secrets::destroy(&locked, secret),
            _ => locked.remove().map(|()| DestroyOutcome::Removed),
        }
    }

    fn observe(&self, target: &Target) -> Result<Option<ObservedState>, ProviderError> {
        let found = match (target.kind(), target.spec()) {
            (ResourceKind::DnsRecord, _) => self.routes.observe(target.name()),
            (_, Spec::Secret { secret, .. }) => secrets::observe(&self.paths(target)?, secret),
            (ResourceKind::Worker | ResourceKind::Pages, _) => deployments::observe(&self.paths(target)?),
            (ResourceKind::R2, _) => r2::observe(&self.paths(target)?),
            (ResourceKind::GitRepository, _) => self.git.observe(&self.paths(target)?),
            _ => sqlite::observe(&self.paths(target)?),
        };
        found?.map(|found| self.with_owner(target, found)).transpose()
    }

    /// Adds the owner to the state. For a host name, the routes table has already done so.
    fn with_owner(&self, target: &Target, found: ObservedState) -> Result<ObservedState, ProviderError> {
        match target.kind() {
            ResourceKind::DnsRecord => Ok(found),
            _ => Ok(ObservedState { owner: self.paths(target)?.owner()?, ..found }),
        }
    }

    /// Returns the paths of the target. A secret is stored with its worker.
    fn paths(&self, target: &Target) -> Result<TargetPaths, ProviderError> {
        let kind = match target.kind() {
            ResourceKind::Secret => ResourceKind::Worker,
            kind => kind,
        };
        Ok(self.root.paths(kind, &parse_resource_name(target.name())?))
    }
}
