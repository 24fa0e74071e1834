//! The embedded provider: makes real things on this machine, under one root folder.
//!
//! Everything that is made is on disk before a call returns, and there as a whole or not at all. Any number of tasks and
//! processes may use one root at the same time.

mod deployments;
mod dns;
mod durable;
mod git;
mod identity;
pub mod kv;
mod lock;
mod ownership;
mod place;
pub mod queue;
pub mod r2;
mod resolver;
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
use self::place::{Place, Spot};
use self::queue::Queue;
use self::r2::Bucket;
use super::{
    Clock, DestroyOutcome, DomainCheck, HostName, ObservedState, Owner, Provider, ProviderError,
    ResourceKind, ResourceName, Spec, Target, blocking, parse_resource_name,
};

/// Where the provider keeps its things, and with what it makes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalSettings {
    /// The folder for everything; made if it does not exist. On a local file system: SQLite locks its files.
    pub root: PathBuf,
    /// The `git` to run, by path or by name.
    #[serde(default = "git_by_name")]
    pub git: PathBuf,
    /// How long a call waits while others make, change or remove the same target; then it fails, to be repeated.
    #[serde(default = "half_a_minute", with = "humantime_serde")]
    pub lock_timeout: Duration,
    /// The DNS server that is asked about customers' host names; without one, those of this machine.
    #[serde(default)]
    pub nameserver: Option<SocketAddr>,
}

fn git_by_name() -> PathBuf {
    PathBuf::from("git")
}

fn half_a_minute() -> Duration {
    Duration::from_secs(30)
}

impl LocalSettings {
    /// The settings for `root`, with the system's git.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), git: git_by_name(), lock_timeout: half_a_minute(), nameserver: None }
    }
}

/// The embedded provider. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LocalProvider {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    place: Place,
    routes: Routes,
    git: Git,
    clock: Clock,
    nameserver: Option<SocketAddr>,
}

impl LocalProvider {
    /// Opens the root folder, making it if need be, and clears away what crashes have left in it.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], if the folder cannot be made or used.
    pub async fn open(settings: LocalSettings, clock: Clock) -> Result<Self, ProviderError> {
        blocking(move || {
            let place = Place::open(&settings.root, settings.lock_timeout)?;
            let routes = Routes::open(&place, clock.clone())?;
            let git = Git { program: settings.git, home: place.root().to_owned() };
            let nameserver = settings.nameserver;
            Ok(Self { inner: Arc::new(Inner { place, routes, git, clock, nameserver }) })
        })
        .await
    }

    /// The bucket called `name`; it need not exist yet.
    pub fn bucket(&self, name: &ResourceName) -> Bucket {
        Bucket::new(self.inner.place.spot(ResourceKind::R2, name), self.inner.clock.clone())
    }

    /// The KV namespace called `name`; it need not exist yet.
    pub fn kv(&self, name: &ResourceName) -> KvStore {
        KvStore::new(self.inner.place.spot(ResourceKind::Kv, name), self.inner.clock.clone())
    }

    /// The queue called `name`; it need not exist yet.
    pub fn queue(&self, name: &ResourceName) -> Queue {
        Queue::new(self.inner.place.spot(ResourceKind::Queue, name), self.inner.clock.clone())
    }

    /// Which host name leads where.
    pub fn routes(&self) -> &Routes {
        &self.inner.routes
    }

    /// The SQLite file of the D1 called `name`, if that exists. Another file after it has been destroyed and made again.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] in the words of the disk.
    pub async fn d1(&self, name: &ResourceName) -> Result<Option<PathBuf>, ProviderError> {
        let spot = self.inner.place.spot(ResourceKind::D1, name);
        blocking(move || sqlite::find(&spot)).await
    }

    /// What is deployed to the worker called `name`, if anything is.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] in the words of the disk.
    pub async fn worker(&self, name: &ResourceName) -> Result<Option<Deployment>, ProviderError> {
        let spot = self.inner.place.spot(ResourceKind::Worker, name);
        blocking(move || deployments::current(&spot)).await
    }

    /// What is deployed to the pages called `name`, if anything is.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] in the words of the disk.
    pub async fn pages(&self, name: &ResourceName) -> Result<Option<Deployment>, ProviderError> {
        let spot = self.inner.place.spot(ResourceKind::Pages, name);
        blocking(move || deployments::current(&spot)).await
    }

    /// The secrets of the worker called `name`, for the process that runs it.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] in the words of the disk.
    pub async fn reveal_secrets(
        &self,
        name: &ResourceName,
    ) -> Result<BTreeMap<String, SecretString>, ProviderError> {
        let spot = self.inner.place.spot(ResourceKind::Worker, name);
        blocking(move || secrets::reveal(&spot)).await
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

    /// The routes of this provider prove nothing of who owns a name, so the owner's DNS records are asked for.
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
        let made = self.make(target)?;
        self.with_owner(target, made)
    }

    fn make(&self, target: &Target) -> Result<ObservedState, ProviderError> {
        let now = self.clock.now();
        let hold = || self.spot(target)?.hold_for(target.owner());
        match (target.kind(), target.spec()) {
            (ResourceKind::Worker | ResourceKind::Pages, Spec::Bundle(bundle)) => {
                deployments::ensure(&hold()?, bundle, now)
            }
            (ResourceKind::D1, _) => sqlite::ensure(&hold()?, "", now),
            (ResourceKind::Kv, _) => sqlite::ensure(&hold()?, kv::SCHEMA, now),
            (ResourceKind::Queue, _) => sqlite::ensure(&hold()?, queue::SCHEMA, now),
            (ResourceKind::R2, _) => r2::ensure(&hold()?, now),
            (ResourceKind::GitRepository, Spec::Starter(starter)) => self.git.ensure(&hold()?, starter, now),
            (ResourceKind::Secret, Spec::Secret { secret, .. }) => {
                secrets::ensure(&hold()?, secret, target.spec().secret_value(), now)
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
        let held = self.spot(target)?.hold()?;
        if !held.spot().exists()? {
            return Ok(DestroyOutcome::Absent);
        }
        if !held.spot().owner()?.is_some_and(|owner| owner.is(target.owner())) {
            tracing::warn!(%target, platform = %target.owner().platform, "not removed: it is not this platform's");
            return Ok(DestroyOutcome::NotOurs);
        }
        match target.spec() {
            Spec::Secret { secret, .. } => secrets::destroy(&held, secret),
            _ => held.remove().map(|()| DestroyOutcome::Removed),
        }
    }

    fn observe(&self, target: &Target) -> Result<Option<ObservedState>, ProviderError> {
        let found = match (target.kind(), target.spec()) {
            (ResourceKind::DnsRecord, _) => self.routes.observe(target.name()),
            (_, Spec::Secret { secret, .. }) => secrets::observe(&self.spot(target)?, secret),
            (ResourceKind::Worker | ResourceKind::Pages, _) => deployments::observe(&self.spot(target)?),
            (ResourceKind::R2, _) => r2::observe(&self.spot(target)?),
            (ResourceKind::GitRepository, _) => self.git.observe(&self.spot(target)?),
            _ => sqlite::observe(&self.spot(target)?),
        };
        found?.map(|found| self.with_owner(target, found)).transpose()
    }

    /// Adds whose it is. Of a host name, the table of routes has said it.
    fn with_owner(&self, target: &Target, found: ObservedState) -> Result<ObservedState, ProviderError> {
        match target.kind() {
            ResourceKind::DnsRecord => Ok(found),
            _ => Ok(ObservedState { owner: self.spot(target)?.owner()?, ..found }),
        }
    }

    /// Where the target is kept; a secret is kept with its worker.
    fn spot(&self, target: &Target) -> Result<Spot, ProviderError> {
        let kind = match target.kind() {
            ResourceKind::Secret => ResourceKind::Worker,
            kind => kind,
        };
        Ok(self.place.spot(kind, &parse_resource_name(target.name())?))
    }
}
