//! The service of a feature: its database, its worker, its host name. It is the same whether the feature or its stack has
//! it made.

use std::collections::BTreeMap;

use domain::{
    Error, HostName, Kind, PlatformId, Result, Slug, StackId, Version,
    resource::{Environment, ResourceType, host_name, resource_name},
    stack,
};
use saga::StepCx;
use serde_json::json;

use super::{
    fault,
    made::{self, Host, Made, Wanted},
};
use crate::{
    App,
    providers::{Bundle, Owner, ResourceKind, Spec, Target, parse_resource_name},
};

const ENTRY: &str = "index.js";
const WORKER: &str = include_str!("../../feature-worker/index.js");

/// Where services are, and what they share there.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) platform: PlatformId,
    pub(crate) stack: StackId,
    /// Whose the resources are.
    pub(crate) owner: String,
    pub(crate) environment: Environment,
    pub(crate) shared: Vec<ResourceType>,
}

/// The service that a job works on.
pub(crate) struct Service<'a> {
    pub(crate) app: &'a App,
    pub(crate) cx: &'a StepCx,
    pub(crate) site: &'a Site,
    pub(crate) feature: &'a Slug,
}

impl Site {
    fn owner(&self) -> Owner {
        Owner::of(&self.platform).in_stack(&self.stack, &self.owner)
    }

    /// The name of a service's resource, by the rule.
    pub(crate) fn name(&self, service: &Slug, kind: ResourceType) -> Result<String> {
        let name = resource_name(&self.platform, &self.stack, service, kind, self.environment);
        name.map(|name| name.to_string()).map_err(|why| Error::invalid("featureId", why))
    }

    /// The name of what all services of the stack share.
    pub(crate) fn shared_name(&self, kind: ResourceType) -> Result<String> {
        self.name(&shared()?, kind)
    }

    fn wanted(&self, service: Slug, kind: ResourceType, spec: Spec, known: bool) -> Result<Wanted> {
        let name = self.name(&service, kind)?;
        Ok(Wanted {
            platform: self.platform.clone(),
            stack: self.stack.clone(),
            entity: self.owner.clone(),
            kind,
            service,
            environment: self.environment,
            target: Target::new(&self.owner(), made::kind_of(kind), name, spec).map_err(fault)?,
            known,
        })
    }

    /// Makes what all services share.
    pub(crate) async fn ensure_shared(
        &self,
        app: &App,
        cx: &StepCx,
        kind: ResourceType,
        known: bool,
    ) -> Result<Made> {
        made::ensure(app, cx, &self.wanted(shared()?, kind, Spec::Plain, known)?).await
    }

    /// Removes a resource of the site, whether or not it was ever made or registered.
    pub(crate) async fn destroy(
        &self,
        app: &App,
        cx: &StepCx,
        kind: ResourceType,
        name: String,
    ) -> Result<()> {
        let target = Target::plain(&self.owner(), made::kind_of(kind), name).map_err(fault)?;
        made::destroy(app, cx, &self.platform, &target).await
    }
}

fn shared() -> Result<Slug> {
    Slug::parse(stack::SHARED).map_err(Error::internal)
}

/// What a worker knows a shared resource by.
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
        self.site.name(self.feature, kind)
    }

    pub(crate) fn host(&self) -> Result<HostName> {
        let Site { platform, stack, environment, .. } = self.site;
        host_name(self.feature, ResourceType::Worker, *environment, stack, platform, &self.app.base_domain)
            .map_err(|why| Error::invalid("featureId", why))
    }

    /// Where it is reached.
    pub(crate) fn url(&self) -> Result<String> {
        Ok(format!("https://{}", self.host()?))
    }

    /// Makes the database; one that is `known` need not be announced.
    pub(crate) async fn ensure_database(&self, known: bool) -> Result<Made> {
        let wanted = self.site.wanted(self.feature.clone(), ResourceType::D1, Spec::Plain, known)?;
        made::ensure(self.app, self.cx, &wanted).await
    }

    /// Has the worker run a version.
    pub(crate) async fn ensure_worker(&self, version: &Version, known: bool) -> Result<Made> {
        let resource = |name: String| parse_resource_name(&name).map_err(fault);
        let database = resource(self.name(ResourceType::D1)?)?;
        let feature = json!({ "feature": self.feature, "version": version });
        let code = format!("const FEATURE = {feature};\n{WORKER}").into_bytes();
        let bundle = Bundle::new(ENTRY, BTreeMap::from([(ENTRY.to_owned(), code)])).map_err(fault)?;
        let mut bundle = bundle.bind("DB", ResourceKind::D1, database);
        for kind in &self.site.shared {
            if let Some(binding) = binding(*kind) {
                let name = resource(self.site.shared_name(*kind)?)?;
                bundle = bundle.bind(binding, made::kind_of(*kind), name);
            }
        }
        let (feature, spec) = (self.feature.clone(), Spec::Bundle(bundle));
        let wanted = self.site.wanted(feature, ResourceType::Worker, spec, known)?;
        made::ensure(self.app, self.cx, &wanted).await
    }

    /// Leads the host name to the worker.
    pub(crate) async fn ensure_host(&self, worker: Made) -> Result<()> {
        let host = Host {
            platform: self.site.platform.clone(),
            stack: self.site.stack.clone(),
            environment: self.site.environment,
            name: self.host()?,
            worker,
        };
        made::ensure_host(self.app, self.cx, &host).await
    }

    pub(crate) async fn destroy_database(&self) -> Result<()> {
        self.destroy(ResourceType::D1).await
    }

    pub(crate) async fn destroy_worker(&self) -> Result<()> {
        self.destroy(ResourceType::Worker).await
    }

    async fn destroy(&self, kind: ResourceType) -> Result<()> {
        self.site.destroy(self.app, self.cx, kind, self.name(kind)?).await
    }

    pub(crate) async fn destroy_host(&self) -> Result<()> {
        made::destroy_hosts(self.app, self.cx, &self.site.platform, &[self.host()?]).await
    }

    /// Brings the worker back to what ran before the job; a platform that is gone by now needs none.
    pub(crate) async fn restore_worker(&self, before: Option<&Version>) -> Result<()> {
        let Some(version) = before else { return self.destroy_worker().await };
        let restored = match self.ensure_database(true).await {
            Ok(_) => self.ensure_worker(version, true).await,
            gone => gone,
        };
        unless_gone(restored.map(drop))
    }

    /// Brings the host name back to what it was before the job.
    pub(crate) async fn restore_host(&self, before: Option<&Version>) -> Result<()> {
        if before.is_none() {
            return self.destroy_host().await;
        }
        let name = self.name(ResourceType::Worker)?;
        let listed = made::platform_things(self.app, self.cx, &self.site.platform).await?.resources;
        let Some(worker) = listed.into_iter().find(|resource| resource.cf_name == name) else {
            return Ok(());
        };
        let worker = Made { resource_id: worker.id, name, deployment: None };
        unless_gone(self.ensure_host(worker).await)
    }
}

fn unless_gone(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        result => result,
    }
}
