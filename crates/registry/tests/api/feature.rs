//! A feature of an entity, and the reports of provisioning about it.

use domain::{Error, job::JobType, resource::Environment};
use rpc::{enum_number, registry as r};
use serde_json::{Value, json};

use crate::world::{World, text};

/// A feature of an entity in an environment.
#[derive(Clone)]
pub(crate) struct Feature {
    pub(crate) platform: String,
    pub(crate) entity: String,
    pub(crate) id: String,
    pub(crate) environment: String,
}

impl Feature {
    pub(crate) fn new(platform: &str, entity: &str, id: &str, environment: &str) -> Self {
        let owned = str::to_owned;
        Self {
            platform: owned(platform),
            entity: owned(entity),
            id: owned(id),
            environment: owned(environment),
        }
    }

    pub(crate) fn path(&self, more: &str) -> String {
        format!("/api/v1/platforms/{}/entities/{}/{more}", self.platform, self.entity)
    }

    pub(crate) fn body(&self, version: &str) -> Value {
        json!({ "featureId": self.id, "version": version, "environment": self.environment })
    }

    /// Requests the activation and returns the job.
    pub(crate) async fn activate(&self, world: &World, version: &str) -> String {
        let answer = world.post(&self.path("features/activate"), self.body(version)).await.expect(202);
        text(&answer, "provisionJobId")
    }

    pub(crate) async fn deactivate(&self, world: &World) -> String {
        let body = json!({ "featureId": self.id, "environment": self.environment });
        let answer = world.post(&self.path("features/deactivate"), body).await.expect(200);
        assert_eq!(answer, json!({ "featureId": self.id, "status": "deactivating" }));
        let build = world.get(&format!("/api/v1/platforms/{}/builds", self.platform)).await.expect(200);
        text(&build["data"][0], "id")
    }

    pub(crate) async fn get(&self, world: &World) -> Value {
        let path = format!("features/{}?env={}", self.id, self.environment);
        world.get(&self.path(&path)).await.expect(200)
    }

    pub(crate) async fn manifest(&self, world: &World) -> Value {
        world.get(&self.path(&format!("manifest?env={}", self.environment))).await.expect(200)
    }

    /// The job as provisioning identifies it; without a version, a deactivation.
    pub(crate) fn job(&self, id: &str, version: Option<&str>) -> Option<r::FeatureJob> {
        let kind = if version.is_some() { JobType::ActivateFeature } else { JobType::DeactivateFeature };
        Some(r::FeatureJob {
            platform_id: self.platform.clone(),
            entity_id: self.entity.clone(),
            feature_id: self.id.clone(),
            environment: enum_number(Environment::parse(&self.environment).unwrap()),
            job_id: id.to_owned(),
            r#type: enum_number(kind),
            feature_version: version.map(str::to_owned),
        })
    }

    pub(crate) async fn begin(
        &self,
        world: &World,
        job: &str,
        version: Option<&str>,
    ) -> Result<r::BeginFeatureJobResponse, Error> {
        let message = r::BeginFeatureJobRequest { job: self.job(job, version), waits: false };
        let send = async |mut client: Client, request| client.begin_feature_job(request).await;
        world.call("provisioning", None, message, send).await
    }

    pub(crate) async fn end(
        &self,
        world: &World,
        job: &str,
        version: Option<&str>,
        report: r::EndFeatureJobRequest,
    ) -> Result<(), Error> {
        let message = r::EndFeatureJobRequest { job: self.job(job, version), ..report };
        let send = async |mut client: Client, request| client.end_feature_job(request).await;
        world.call("provisioning", None, message, send).await.map(drop)
    }

    /// Lets provisioning complete the request.
    pub(crate) async fn complete(&self, world: &World, job: &str, version: &str) {
        self.begin(world, job, Some(version)).await.unwrap();
        self.end(world, job, Some(version), done(&self.id)).await.unwrap();
    }

    pub(crate) async fn remove(&self, world: &World, job: &str, gives_up_data: bool) {
        self.begin(world, job, None).await.unwrap();
        let report = r::EndFeatureJobRequest { gives_up_data, ..Default::default() };
        self.end(world, job, None, report).await.unwrap();
    }
}

type Client = r::registry_client::RegistryClient<rpc::SignedChannel>;

pub(crate) fn done(feature: &str) -> r::EndFeatureJobRequest {
    r::EndFeatureJobRequest {
        service_url: Some(format!("https://{feature}.example")),
        cf_deployment_id: Some("d-1".to_owned()),
        ..Default::default()
    }
}

pub(crate) fn undone(before: Option<&str>) -> r::EndFeatureJobRequest {
    r::EndFeatureJobRequest {
        error: Some("worker: no quota".to_owned()),
        own_version_before: before.map(str::to_owned),
        ..Default::default()
    }
}

pub(crate) async fn billing(world: &World) -> Feature {
    let platform = world.platform("a").await;
    let entity = world.tenant(&platform, "t").await;
    Feature::new(&platform, &entity, "billing", "prod")
}

pub(crate) async fn build(world: &World, feature: &Feature, id: &str) -> Value {
    let builds = world.get(&format!("/api/v1/platforms/{}/builds", feature.platform)).await.expect(200);
    builds["data"].as_array().unwrap().iter().find(|build| build["id"] == id).unwrap().clone()
}
