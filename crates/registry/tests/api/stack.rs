//! A stack of the template `shop`, and the reports of provisioning about it.

use domain::{Error, job::JobType};
use rpc::{enum_number, registry as r};
use serde_json::{Value, json};
use testkit::Response;

use crate::world::{World, text};

pub(crate) const ACTIVATE: JobType = JobType::ActivateStack;
pub(crate) const DEACTIVATE: JobType = JobType::DeactivateStack;

type Client = r::registry_client::RegistryClient<rpc::SignedChannel>;

#[derive(Clone)]
pub(crate) struct Stack {
    pub(crate) platform: String,
    pub(crate) tenant: String,
    pub(crate) id: String,
}

impl Stack {
    /// Creates a stack with its own tenant. Its job has not started.
    pub(crate) async fn new(world: &World, platform: &str, slug: &str) -> Self {
        let tenant = world.tenant(platform, slug).await;
        Self::create(world, platform, &tenant, slug).await
    }

    pub(crate) async fn create(world: &World, platform: &str, tenant: &str, name: &str) -> Self {
        let body = json!({ "tenantId": tenant, "name": name, "templateId": "shop" });
        let created = world.post(&format!("/api/v1/platforms/{platform}/stacks"), body).await.expect(201);
        Self { platform: platform.to_owned(), tenant: tenant.to_owned(), id: text(&created, "id") }
    }

    /// Creates a stack that runs the newest version.
    pub(crate) async fn active(world: &World, platform: &str, slug: &str) -> Self {
        let stack = Self::new(world, platform, slug).await;
        stack.complete(world).await;
        stack
    }

    pub(crate) fn path(&self, more: &str) -> String {
        format!("/api/v1/platforms/{}/stacks/{}{more}", self.platform, self.id)
    }

    pub(crate) async fn get(&self, world: &World) -> Value {
        world.get(&self.path("")).await.expect(200)
    }

    /// Returns the last requested job.
    pub(crate) async fn job(&self, world: &World) -> String {
        text(&self.get(world).await, "provisionJobId")
    }

    pub(crate) async fn upgrade(&self, world: &World, version: &str) -> Response {
        world.post(&self.path("/upgrade"), json!({ "version": version })).await
    }

    pub(crate) async fn rollback(&self, world: &World) -> Response {
        world.post(&self.path("/rollback"), json!({})).await
    }

    /// Returns the tenant's manifest, by feature.
    pub(crate) async fn manifest(&self, world: &World) -> Vec<(String, String)> {
        let path = format!("/api/v1/platforms/{}/entities/{}/manifest", self.platform, self.tenant);
        let shown = world.get(&path).await.expect(200);
        let shown = shown["features"].as_array().unwrap();
        shown.iter().map(|one| (text(one, "id"), text(one, "version"))).collect()
    }

    fn message(&self, job: &str, kind: JobType) -> Option<r::StackJob> {
        Some(r::StackJob {
            platform_id: self.platform.clone(),
            stack_id: self.id.clone(),
            job_id: job.to_owned(),
            r#type: enum_number(kind),
        })
    }

    pub(crate) async fn begin(
        &self,
        world: &World,
        job: &str,
        kind: JobType,
    ) -> Result<r::BeginStackJobResponse, Error> {
        let message = r::BeginStackJobRequest { job: self.message(job, kind), waits: false };
        let send = async |mut client: Client, request| client.begin_stack_job(request).await;
        world.call("provisioning", None, message, send).await
    }

    pub(crate) async fn end(&self, world: &World, job: &str, error: Option<&str>) -> Result<(), Error> {
        let served = ["cart", "wish"].map(|feature| r::ServedFeature {
            feature_id: feature.to_owned(),
            service_url: format!("https://{feature}.example"),
        });
        let message = r::EndStackJobRequest {
            job: self.message(job, ACTIVATE),
            error: error.map(str::to_owned),
            served: served.into(),
        };
        let send = async |mut client: Client, request| client.end_stack_job(request).await;
        world.call("provisioning", None, message, send).await.map(drop)
    }

    /// Lets provisioning complete the last request.
    pub(crate) async fn complete(&self, world: &World) -> String {
        let job = self.job(world).await;
        self.begin(world, &job, ACTIVATE).await.unwrap();
        self.end(world, &job, None).await.unwrap();
        job
    }

    /// Lets provisioning fail the last request.
    pub(crate) async fn fail(&self, world: &World, why: &str) -> String {
        let job = self.job(world).await;
        self.begin(world, &job, ACTIVATE).await.unwrap();
        self.end(world, &job, Some(why)).await.unwrap();
        job
    }
}

/// Expected features of a manifest.
pub(crate) fn shows(features: &[(&str, &str)]) -> Vec<(String, String)> {
    features.iter().map(|(id, version)| ((*id).to_owned(), (*version).to_owned())).collect()
}
