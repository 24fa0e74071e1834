//! The service of a feature: its database, its worker, its host name.

use std::collections::BTreeMap;

use domain::{
    Error, HostName, Kind, PlatformId, Result, Version,
    resource::{ResourceType, host_name, resource_name},
};
use saga::StepCx;
use serde_json::json;

use super::{Asked, BEGIN, Plan, platform, turn};
use crate::{
    App,
    providers::{Bundle, ResourceKind, ResourceName, Spec, Target},
    steps::{
        fault,
        made::{self, Host, Made, Wanted},
    },
};

const ENTRY: &str = "index.js";
const WORKER: &str = include_str!("../../../feature-worker/index.js");

/// The service that a job works on.
pub(super) struct Service<'a> {
    app: &'a App,
    cx: &'a StepCx,
    platform: PlatformId,
    asked: Asked,
    pub(super) plan: Plan,
}

impl<'a> Service<'a> {
    /// None where the feature has no service.
    pub(super) fn of(app: &'a App, cx: &'a StepCx) -> Result<Option<Self>> {
        let service = Self { app, cx, platform: platform(cx)?, asked: cx.input()?, plan: cx.output(BEGIN)? };
        Ok(Some(service).filter(|service| service.plan.has_service))
    }

    /// The same to undo what was done to it; none where another job has worked on it since.
    pub(super) async fn to_undo(app: &'a App, cx: &'a StepCx) -> Result<Option<Self>> {
        match Self::of(app, cx)? {
            Some(service) if turn::is_ours(app, cx, &service.asked.thing(cx)).await? => Ok(Some(service)),
            _ => Ok(None),
        }
    }

    /// Whether the job is to delete data, and no one else's.
    pub(super) fn deletes_data(&self) -> bool {
        self.asked.delete_data && !self.plan.shares_data
    }

    fn name(&self, kind: ResourceType) -> Result<String> {
        let Asked { feature_id, environment, .. } = &self.asked;
        let name = resource_name(&self.platform, &self.plan.stack, feature_id, kind, *environment);
        name.map(|name| name.to_string()).map_err(|why| Error::invalid("featureId", why))
    }

    pub(super) fn host(&self) -> Result<HostName> {
        let Asked { feature_id, environment, .. } = &self.asked;
        let (stack, base) = (&self.plan.stack, &self.app.base_domain);
        host_name(feature_id, ResourceType::Worker, *environment, stack, &self.platform, base)
            .map_err(|why| Error::invalid("featureId", why))
    }

    fn wanted(&self, kind: ResourceType, spec: Spec, known: bool) -> Result<Wanted> {
        Ok(Wanted {
            platform: self.platform.clone(),
            stack: self.plan.stack.clone(),
            entity: self.plan.owner.clone(),
            kind,
            service: self.asked.feature_id.clone(),
            environment: self.asked.environment,
            target: Target::new(made::kind_of(kind), self.name(kind)?, spec).map_err(fault)?,
            known,
        })
    }

    pub(super) async fn ensure_database(&self) -> Result<Made> {
        let wanted = self.wanted(ResourceType::D1, Spec::Plain, self.plan.has_data)?;
        made::ensure(self.app, self.cx, &wanted).await
    }

    /// Has the worker run a version.
    pub(super) async fn ensure_worker(&self, version: &Version) -> Result<Made> {
        let database = ResourceName::try_from(self.name(ResourceType::D1)?).map_err(fault)?;
        let feature = json!({ "feature": self.asked.feature_id, "version": version });
        let code = format!("const FEATURE = {feature};\n{WORKER}").into_bytes();
        let bundle = Bundle::new(ENTRY, BTreeMap::from([(ENTRY.to_owned(), code)])).map_err(fault)?;
        let spec = Spec::Bundle(bundle.bind("DB", ResourceKind::D1, database));
        let wanted = self.wanted(ResourceType::Worker, spec, self.plan.version_before.is_some())?;
        made::ensure(self.app, self.cx, &wanted).await
    }

    /// Leads the host name to the worker.
    pub(super) async fn ensure_host(&self, worker: Made) -> Result<()> {
        let host = Host {
            platform: self.platform.clone(),
            stack: self.plan.stack.clone(),
            environment: self.asked.environment,
            name: self.host()?,
            worker,
        };
        made::ensure_host(self.app, self.cx, &host).await
    }

    pub(super) async fn destroy_database(&self) -> Result<()> {
        self.destroy(ResourceType::D1, self.name(ResourceType::D1)?).await
    }

    pub(super) async fn destroy_worker(&self) -> Result<()> {
        self.destroy(ResourceType::Worker, self.name(ResourceType::Worker)?).await
    }

    async fn destroy(&self, kind: ResourceType, name: String) -> Result<()> {
        let target = Target::plain(made::kind_of(kind), name).map_err(fault)?;
        made::destroy(self.app, self.cx, &self.platform, &target).await
    }

    pub(super) async fn destroy_host(&self) -> Result<()> {
        made::destroy_hosts(self.app, self.cx, &self.platform, &[self.host()?]).await
    }

    /// Removes all that the service keeps data in, whoever registered it.
    pub(super) async fn destroy_data(&self) -> Result<()> {
        self.destroy_database().await?;
        let listed = made::platform_things(self.app, self.cx, &self.platform).await?.resources;
        for resource in listed {
            let kind: ResourceType = rpc::parse("resource_type", &resource.resource_type)?;
            let runs = matches!(kind, ResourceType::Worker | ResourceType::Pages);
            let ours = resource.service_name == self.asked.feature_id.as_str()
                && resource.stack_id == self.plan.stack.as_str()
                && resource.environment == self.asked.environment.as_str();
            if ours && !runs {
                let target = Target::plain(made::kind_of(kind), resource.cf_name).map_err(fault)?;
                self.app.provider.destroy(&target).await.map_err(fault)?;
                made::unregister(self.app, self.cx, &self.platform, resource.id).await?;
            }
        }
        Ok(())
    }

    /// Brings the worker back to what ran before the job; a platform that is gone by now needs none.
    pub(super) async fn restore_worker(&self) -> Result<()> {
        let Some(version) = &self.plan.version_before else { return self.destroy_worker().await };
        let restored = match self.ensure_database().await {
            Ok(_) => self.ensure_worker(version).await,
            gone => gone,
        };
        unless_gone(restored.map(drop))
    }

    /// Brings the host name back to what it was before the job.
    pub(super) async fn restore_host(&self) -> Result<()> {
        if self.plan.version_before.is_none() {
            return self.destroy_host().await;
        }
        let name = self.name(ResourceType::Worker)?;
        let listed = made::platform_things(self.app, self.cx, &self.platform).await?.resources;
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
