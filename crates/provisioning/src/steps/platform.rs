//! PROVISION_PLATFORM: the auth worker of a platform, its database, its secret, its host names.

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
    fault,
    made::{self, Host, Made, Wanted},
};
use crate::{
    App,
    providers::{Bundle, Owner, ResourceKind, Spec, Target, parse_resource_name},
};

/// What the job is told.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Input {
    pub(crate) environment: Environment,
    pub(crate) entity_id: Option<EntityId>,
    pub(crate) plan_tier: Option<Tier>,
    pub(crate) billing_email: Option<String>,
}

const SERVICE: &str = "auth";
const WORKER: StepKey<Made> = StepKey::new("auth_worker");
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

/// What the steps are about.
struct About {
    platform: PlatformId,
    input: Input,
}

impl About {
    fn of(cx: &StepCx) -> Result<Self> {
        Ok(Self { platform: cx.subject.parse().map_err(Error::internal)?, input: cx.input()? })
    }

    /// What belongs to the platform as a whole carries the platform's own id.
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

    fn wanted(&self, kind: ResourceType, spec: Spec) -> Result<Wanted> {
        Ok(Wanted {
            platform: self.platform.clone(),
            entity: self.entity(),
            kind,
            stack: StackId::default_stack(),
            service: service()?,
            known: false,
            environment: self.input.environment,
            target: Target::new(&self.owner(), made::kind_of(kind), self.name(kind)?, spec).map_err(fault)?,
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
    type Output = Made;

    fn key(&self) -> StepKey<Made> {
        StepKey::new("auth_database")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<Made>> {
        let wanted = About::of(cx)?.wanted(ResourceType::D1, Spec::Plain)?;
        Ok(Progress::Done(made::ensure(app, cx, &wanted).await?))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let wanted = About::of(cx)?.wanted(ResourceType::D1, Spec::Plain)?;
        made::destroy(app, cx, &wanted.platform, &wanted.target).await
    }
}

struct Worker;

#[async_trait]
impl Step<App> for Worker {
    type Output = Made;

    fn key(&self) -> StepKey<Made> {
        WORKER
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<Made>> {
        let about = About::of(cx)?;
        let database = parse_resource_name(&about.name(ResourceType::D1)?).map_err(fault)?;
        let files = BTreeMap::from([(ENTRY.to_owned(), CODE.to_vec())]);
        let bundle = Bundle::new(ENTRY, files).map_err(fault)?.bind("DB", ResourceKind::D1, database);
        let wanted = about.wanted(ResourceType::Worker, Spec::Bundle(bundle))?;
        Ok(Progress::Done(made::ensure(app, cx, &wanted).await?))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let wanted = About::of(cx)?.wanted(ResourceType::Worker, Spec::Plain)?;
        made::destroy(app, cx, &wanted.platform, &wanted.target).await
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
        let (owner, worker) = (About::of(cx)?.owner(), cx.output(WORKER)?);
        // No one needs to know the value, so no one ever does: the provider draws it.
        let target = Target::secret(&owner, worker.name, SECRET, None).map_err(fault)?;
        app.provider.ensure(&target).await.map_err(fault)?;
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
        let about = About::of(cx)?;
        let target = Target::secret(&about.owner(), about.name(ResourceType::Worker)?, SECRET, None);
        app.provider.destroy(&target.map_err(fault)?).await.map_err(fault)?;
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
        let (about, worker) = (About::of(cx)?, cx.output(WORKER)?);
        let mut records = Vec::new();
        for (environment, name) in about.hosts(&app.base_domain)? {
            records.push(name.to_string());
            let (platform, stack) = (about.platform.clone(), StackId::default_stack());
            let host = Host { platform, stack, environment, name, worker: worker.clone() };
            made::ensure_host(app, cx, &host).await?;
        }
        Ok(Progress::Done(records))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let about = About::of(cx)?;
        let names: Vec<_> = about.hosts(&app.base_domain)?.into_iter().map(|(_, name)| name).collect();
        made::destroy_hosts(app, cx, &about.platform, &names).await
    }
}
