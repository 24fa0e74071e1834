//! Service of a feature: its database, worker and host name. Feature jobs and stack jobs both use it.

use std::collections::BTreeMap;

use domain::{
    Error, HostName, Kind, PlatformId, Result, Slug, StackId, Version,
    resource::{Environment, ResourceType, host_name, resource_name},
    stack,
};
use saga::StepCx;
use serde_json::json;

use super::{
    into_domain_error,
    registered::{self, Host, ResourceRef, ResourceSpec},
};
use crate::{
    App,
    providers::{Bundle, Owner, ResourceKind, Spec, Target, parse_resource_name},
};

const ENTRY: &str = "index.js";
const WORKER: &str = include_str!("../../feature-worker/index.js");

/// Stack whose services a job changes, and the resources that they share.
#[derive(Debug, Clone)]
pub(crate) struct StackContext {
    pub(crate) platform: PlatformId,
    pub(crate) stack: StackId,
    /// Owner of the resources: the tenant of the stack, or the platform.
    pub(crate) owner: String,
    pub(crate) environment: Environment,
    pub(crate) shared: Vec<ResourceType>,
}

/// Service that a job changes.
pub(crate) struct Service<'a> {
    pub(crate) app: &'a App,
    pub(crate) cx: &'a StepCx,
    pub(crate) context: &'a StackContext,
    pub(crate) feature: &'a Slug,
}

impl StackContext {
    fn owner(&self) -> Owner {
        Owner::of(&self.platform).in_stack(&self.stack, &self.owner)
    }

    /// Returns the name of a service's resource by the naming rule.
    pub(crate) fn name(&self, service: &Slug, kind: ResourceType) -> Result<String> {
        let name = resource_name(&self.platform, &self.stack, service, kind, self.environment);
        name.map(|name| name.to_string()).map_err(|reason| Error::invalid("featureId", reason))
    }

    /// Returns the name of a resource that all services of the stack share.
    pub(crate) fn shared_name(&self, kind: ResourceType) -> Result<String> {
        self.name(&shared()?, kind)
    }

    fn resource(&self, service: Slug, kind: ResourceType, spec: Spec, exists: bool) -> Result<ResourceSpec> {
        let name = self.name(&service, kind)?;
        Ok(ResourceSpec {
            platform: self.platform.clone(),
            stack: self.stack.clone(),
            entity: self.owner.clone(),
            kind,
            service,
            environment: self.environment,
            target: Target::new(&self.owner(), registered::kind_of(kind), name, spec)
                .map_err(into_domain_error)?,
            exists,
        })
    }

    /// Creates a resource that all services share.
    pub(crate) async fn ensure_shared(
        &self,
        app: &App,
        cx: &StepCx,
        kind: ResourceType,
        exists: bool,
    ) -> Result<ResourceRef> {
        registered::ensure(app, cx, &self.resource(shared()?, kind, Spec::Plain, exists)?).await
    }

    /// Removes a resource of the stack, even if it was never created or registered.
    pub(crate) async fn destroy(
        &self,
        app: &App,
        cx: &StepCx,
        kind: ResourceType,
        name: String,
    ) -> Result<()> {
        let target =
            Target::plain(&self.owner(), registered::kind_of(kind), name).map_err(into_domain_error)?;
        registered::destroy(app, cx, &self.platform, &target).await
    }
}

fn shared() -> Result<Slug> {
    Slug::parse(stack::SHARED).map_err(Error::internal)
}

/// Returns the name under which a worker accesses a shared resource.
const fn binding(kind: ResourceType) -> Option<&'static str> {
    match kind {
        ResourceType::D1 => Some("SHARED_DB"),
        ResourceType::R2 => Some("SHARED_STORAGE"),
        ResourceType::Kv => Some("SHARED_KV"),
        ResourceType::Queue => Some("SHARED_QUEUE"),
        ResourceType::Worker | ResourceType::Pages => None,
    }
}

impl Service<'_> {
    pub(crate) fn name(&self, kind: ResourceType) -> Result<String> {
        self.context.name(self.feature, kind)
    }

    pub(crate) fn host(&self) -> Result<HostName> {
        let StackContext { platform, stack, environment, .. } = self.context;
        host_name(self.feature, ResourceType::Worker, *environment, stack, platform, &self.app.base_domain)
            .map_err(|reason| Error::invalid("featureId", reason))
    }

    /// Returns the URL of the service.
    pub(crate) fn url(&self) -> Result<String> {
        Ok(format!("https://{}", self.host()?))
    }

    /// Creates the database. If it `exists`, does not register it first.
    pub(crate) async fn ensure_database(&self, exists: bool) -> Result<ResourceRef> {
        let spec = self.context.resource(self.feature.clone(), ResourceType::D1, Spec::Plain, exists)?;
        registered::ensure(self.app, self.cx, &spec).await
    }

    /// Deploys a version to the worker.
    pub(crate) async fn ensure_worker(&self, version: &Version, exists: bool) -> Result<ResourceRef> {
        let resource = |name: String| parse_resource_name(&name).map_err(into_domain_error);
        let database = resource(self.name(ResourceType::D1)?)?;
        let feature = json!({ "feature": self.feature, "version": version });
        let code = format!("const FEATURE = {feature};\n{WORKER}").into_bytes();
        let bundle =
            Bundle::new(ENTRY, BTreeMap::from([(ENTRY.to_owned(), code)])).map_err(into_domain_error)?;
        let mut bundle = bundle.bind("DB", ResourceKind::D1, database);
        for kind in &self.context.shared {
            if let Some(binding) = binding(*kind) {
                let name = resource(self.context.shared_name(*kind)?)?;
                bundle = bundle.bind(binding, registered::kind_of(*kind), name);
            }
        }
        let (feature, spec) = (self.feature.clone(), Spec::Bundle(bundle));
        let spec = self.context.resource(feature, ResourceType::Worker, spec, exists)?;
        registered::ensure(self.app, self.cx, &spec).await
    }

    /// Points the host name to the worker.
    pub(crate) async fn ensure_host(&self, worker: ResourceRef) -> Result<()> {
        let host = Host {
            platform: self.context.platform.clone(),
            stack: self.context.stack.clone(),
            environment: self.context.environment,
            name: self.host()?,
            worker,
        };
        registered::ensure_host(self.app, self.cx, &host).await
    }

    pub(crate) async fn destroy_database(&self) -> Result<()> {
        self.destroy(ResourceType::D1).await
    }

    pub(crate) async fn destroy_worker(&self) -> Result<()> {
        self.destroy(ResourceType::Worker).await
    }

    async fn destroy(&self, kind: ResourceType) -> Result<()> {
        self.context.destroy(self.app, self.cx, kind, self.name(kind)?).await
    }

    pub(crate) async fn destroy_host(&self) -> Result<()> {
        registered::destroy_hosts(self.app, self.cx, &self.context.platform, &[self.host()?]).await
    }

    /// Restores the worker to the version before the job. Does nothing if the platform no longer exists.
    pub(crate) async fn restore_worker(&self, before: Option<&Version>) -> Result<()> {
        let Some(version) = before else { return self.destroy_worker().await };
        let restored = match self.ensure_database(true).await {
            Ok(_) => self.ensure_worker(version, true).await,
            not_found => not_found,
        };
        ignore_not_found(restored.map(drop))
    }

    /// Restores the host name to its state before the job.
    pub(crate) async fn restore_host(&self, before: Option<&Version>) -> Result<()> {
        if before.is_none() {
            return self.destroy_host().await;
        }
        let name = self.name(ResourceType::Worker)?;
        let listed = registered::list_registered(self.app, self.cx, &self.context.platform).await?.resources;
        let Some(worker) = listed.into_iter().find(|resource| resource.cf_name == name) else {
            return Ok(());
        };
        let worker = ResourceRef { resource_id: worker.id, name, deployment: None };
        ignore_not_found(self.ensure_host(worker).await)
    }
}

fn ignore_not_found(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        result => result,
    }
}
