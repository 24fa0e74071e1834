//! PROVISION_PLATFORM: creates the auth worker of a platform with its database, secret and host names.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::{
    EntityId, Error, HostName, PlatformId, Result, Slug, StackId,
    job::JobType,
    platform::Tier,
    resource::{Environment, ResourceType, SecretStatus, host_name, resource_name},
};
use rpc::{PeerCall, enum_number, registry::MarkSecretRequest};
use saga::{Definition, OnFailure, Progress, Step, StepCx, StepKey, StepName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    into_domain_error,
    registered::{self, Host, ResourceRef, ResourceSpec},
};
use crate::{
    App,
    providers::{Bundle, Owner, ResourceKind, Spec, Target, parse_resource_name},
};

/// Input of a PROVISION_PLATFORM job.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Input {
    pub(crate) environment: Environment,
    pub(crate) entity_id: Option<EntityId>,
    pub(crate) plan_tier: Option<Tier>,
    pub(crate) billing_email: Option<String>,
}

const SERVICE: &str = "auth";
const WORKER: StepKey<ResourceRef> = StepKey::new("auth_worker");
const SECRET: &str = "AUTH_SECRET";
const ENTRY: &str = "index.js";
const CODE: &[u8] = include_bytes!("../../auth-worker/index.js");

pub(crate) fn definition() -> Definition<App> {
    Definition {
        kind: JobType::ProvisionPlatform.as_str(),
        version: 1,
        steps: vec![Box::new(Database), Box::new(Worker), Box::new(Secret), Box::new(Dns)],
        on_failure: OnFailure::Undo,
    }
}

/// Platform and input of the job.
struct JobContext {
    platform: PlatformId,
    input: Input,
}

impl JobContext {
    fn of(cx: &StepCx) -> Result<Self> {
        Ok(Self { platform: cx.subject.parse().map_err(Error::internal)?, input: cx.input()? })
    }

    /// Returns the entity that owns the resources. Resources of the whole platform have the id of the platform.
    fn entity(&self) -> String {
        self.input.entity_id.as_ref().map_or_else(|| self.platform.to_string(), ToString::to_string)
    }

    fn owner(&self) -> Owner {
        Owner::of(&self.platform).in_stack(StackId::default_stack(), self.entity())
    }

    fn name(&self, kind: ResourceType) -> Result<String> {
        let name = resource_name(
            &self.platform,
            &StackId::default_stack(),
            &service()?,
            kind,
            self.input.environment,
        );
        Ok(name.map_err(Error::internal)?.to_string())
    }

    fn resource(&self, kind: ResourceType, spec: Spec) -> Result<ResourceSpec> {
        Ok(ResourceSpec {
            platform: self.platform.clone(),
            entity: self.entity(),
            kind,
            stack: StackId::default_stack(),
            service: service()?,
            exists: false,
            environment: self.input.environment,
            target: Target::new(&self.owner(), registered::kind_of(kind), self.name(kind)?, spec)
                .map_err(into_domain_error)?,
        })
    }

    fn hosts(&self, base: &HostName) -> Result<Vec<(Environment, HostName)>> {
        [Environment::Prod, Environment::Stg]
            .into_iter()
            .map(|env| {
                let host = host_name(
                    &service()?,
                    ResourceType::Worker,
                    env,
                    &StackId::default_stack(),
                    &self.platform,
                    base,
                );
                Ok((env, host.map_err(Error::internal)?))
            })
            .collect()
    }
}

fn service() -> Result<Slug> {
    Slug::parse(SERVICE).map_err(Error::internal)
}

struct Database;

#[async_trait]
impl Step<App> for Database {
    type Output = ResourceRef;

    fn key(&self) -> StepKey<ResourceRef> {
        StepKey::new("auth_database")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<ResourceRef>> {
        let spec = JobContext::of(cx)?.resource(ResourceType::D1, Spec::Plain)?;
        Ok(Progress::Done(registered::ensure(app, cx, &spec).await?))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let spec = JobContext::of(cx)?.resource(ResourceType::D1, Spec::Plain)?;
        registered::destroy(app, cx, &spec.platform, &spec.target).await
    }
}

struct Worker;

#[async_trait]
impl Step<App> for Worker {
    type Output = ResourceRef;

    fn key(&self) -> StepKey<ResourceRef> {
        WORKER
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<ResourceRef>> {
        let job = JobContext::of(cx)?;
        let database = parse_resource_name(&job.name(ResourceType::D1)?).map_err(into_domain_error)?;
        let files = BTreeMap::from([(ENTRY.to_owned(), CODE.to_vec())]);
        let bundle =
            Bundle::new(ENTRY, files).map_err(into_domain_error)?.bind("DB", ResourceKind::D1, database);
        let spec = job.resource(ResourceType::Worker, Spec::Bundle(bundle))?;
        Ok(Progress::Done(registered::ensure(app, cx, &spec).await?))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let spec = JobContext::of(cx)?.resource(ResourceType::Worker, Spec::Plain)?;
        registered::destroy(app, cx, &spec.platform, &spec.target).await
    }
}

struct Secret;

#[async_trait]
impl Step<App> for Secret {
    type Output = &'static str;

    fn key(&self) -> StepKey<&'static str> {
        StepKey::new("auth_secret")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<&'static str>> {
        let (owner, worker) = (JobContext::of(cx)?.owner(), cx.output(WORKER)?);
        // The provider generates the value, because nothing else needs to know it.
        let target = Target::secret(&owner, worker.name, SECRET, None).map_err(into_domain_error)?;
        app.provider.ensure(&target).await.map_err(into_domain_error)?;
        let message = MarkSecretRequest {
            platform_id: cx.subject.clone(),
            resource_id: worker.resource_id,
            secret_name: SECRET.to_owned(),
            status: enum_number(SecretStatus::Set),
        };
        let key = cx.key("mark");
        app.registry
            .call_with(&cx.ctx, PeerCall { idempotency_key: Some(&key), ..PeerCall::default() }, message)
            .await?;
        Ok(Progress::Done(SECRET))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let job = JobContext::of(cx)?;
        let target = Target::secret(&job.owner(), job.name(ResourceType::Worker)?, SECRET, None);
        app.provider.destroy(&target.map_err(into_domain_error)?).await.map_err(into_domain_error)?;
        Ok(())
    }
}

struct Dns;

#[async_trait]
impl Step<App> for Dns {
    type Output = Vec<String>;

    fn key(&self) -> StepKey<Vec<String>> {
        StepKey::new("dns")
    }

    fn needs(&self) -> Option<&'static [StepName]> {
        Some(const { &[WORKER.name()] })
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<Vec<String>>> {
        let (job, worker) = (JobContext::of(cx)?, cx.output(WORKER)?);
        let mut records = Vec::new();
        for (environment, name) in job.hosts(&app.base_domain)? {
            records.push(name.to_string());
            let (platform, stack) = (job.platform.clone(), StackId::default_stack());
            let host = Host { platform, stack, environment, name, worker: worker.clone() };
            registered::ensure_host(app, cx, &host).await?;
        }
        Ok(Progress::Done(records))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let job = JobContext::of(cx)?;
        let names: Vec<_> = job.hosts(&app.base_domain)?.into_iter().map(|(_, name)| name).collect();
        registered::destroy_hosts(app, cx, &job.platform, &names).await
    }
}
