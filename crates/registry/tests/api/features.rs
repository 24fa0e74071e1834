//! Features of an entity, and what provisioning reports of them.

use domain::{Error, Kind};
use futures_util::future::join_all;
use reqwest::Method;
use rpc::registry as r;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    templates::{Answers, Templates},
    world::{World, faults, ids, text},
};

/// A feature of an entity in an environment, as tests speak of it.
#[derive(Clone)]
pub(crate) struct Feature {
    platform: String,
    entity: String,
    id: String,
    environment: String,
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

    fn path(&self, more: &str) -> String {
        format!("/api/v1/platforms/{}/entities/{}/{more}", self.platform, self.entity)
    }

    fn body(&self, version: &str) -> Value {
        json!({ "featureId": self.id, "version": version, "environment": self.environment })
    }

    /// Asks for it; gives the job.
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

    /// The job as provisioning names it; without a version it deactivates.
    fn job(&self, id: &str, version: Option<&str>) -> Option<r::FeatureJob> {
        let kind = if version.is_some() { "ACTIVATE_FEATURE" } else { "DEACTIVATE_FEATURE" };
        Some(r::FeatureJob {
            platform_id: self.platform.clone(),
            entity_id: self.entity.clone(),
            feature_id: self.id.clone(),
            environment: self.environment.clone(),
            job_id: id.to_owned(),
            r#type: kind.to_owned(),
            feature_version: version.map(str::to_owned),
        })
    }

    async fn begin(
        &self,
        world: &World,
        job: &str,
        version: Option<&str>,
    ) -> Result<r::BeginFeatureJobResponse, Error> {
        let message = r::BeginFeatureJobRequest { job: self.job(job, version) };
        let send = async |mut client: Client, request| client.begin_feature_job(request).await;
        world.call("provisioning", None, message, send).await
    }

    async fn end(
        &self,
        world: &World,
        job: &str,
        version: Option<&str>,
        told: r::EndFeatureJobRequest,
    ) -> Result<(), Error> {
        let message = r::EndFeatureJobRequest { job: self.job(job, version), ..told };
        let send = async |mut client: Client, request| client.end_feature_job(request).await;
        world.call("provisioning", None, message, send).await.map(drop)
    }

    /// Provisioning does what was asked.
    pub(crate) async fn complete(&self, world: &World, job: &str, version: &str) {
        self.begin(world, job, Some(version)).await.unwrap();
        self.end(world, job, Some(version), done(&self.id)).await.unwrap();
    }

    async fn remove(&self, world: &World, job: &str, gives_up_data: bool) {
        self.begin(world, job, None).await.unwrap();
        let told = r::EndFeatureJobRequest { gives_up_data, ..Default::default() };
        self.end(world, job, None, told).await.unwrap();
    }
}

type Client = r::registry_client::RegistryClient<tonic::transport::Channel>;

fn done(feature: &str) -> r::EndFeatureJobRequest {
    r::EndFeatureJobRequest {
        service_url: Some(format!("https://{feature}.example")),
        cf_deployment_id: Some("d-1".to_owned()),
        ..Default::default()
    }
}

fn undone(before: Option<&str>) -> r::EndFeatureJobRequest {
    r::EndFeatureJobRequest {
        error: Some("worker: no quota".to_owned()),
        own_version_before: before.map(str::to_owned),
        ..Default::default()
    }
}

async fn billing(world: &World) -> Feature {
    let platform = world.platform("a").await;
    let entity = world.tenant(&platform, "t").await;
    Feature::new(&platform, &entity, "billing", "prod")
}

async fn build(world: &World, feature: &Feature, id: &str) -> Value {
    let builds = world.get(&format!("/api/v1/platforms/{}/builds", feature.platform)).await.expect(200);
    builds["data"].as_array().unwrap().iter().find(|build| build["id"] == id).unwrap().clone()
}

#[tokio::test]
async fn it_is_recorded_at_once_while_provisioning_is_away() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let answer = world.post(&feature.path("features/activate"), feature.body("1.2.0")).await.expect(202);
    let (id, job) = (text(&answer, "activationId"), text(&answer, "provisionJobId"));
    let expected = json!({ "activationId": id, "featureId": "billing", "status": "pending", "provisionJobId": job,
        "estimatedDurationSeconds": null });
    assert_eq!(answer, expected);
    assert_eq!(Uuid::parse_str(&job).unwrap().get_version_num(), 7);

    let read = feature.get(&world).await;
    let fields = json!({ "id": id, "platformId": feature.platform, "entityId": feature.entity,
        "featureId": "billing", "featureVersion": "1.2.0", "environment": "prod", "status": "pending", "error": null,
        "activatedAt": null, "deactivatedAt": null, "createdAt": read["createdAt"], "updatedAt": read["updatedAt"] });
    assert_eq!(read, fields);
    let by_id = world.get(&feature.path(&format!("features/{id}"))).await;
    assert!(by_id.header("etag").is_some());
    assert_eq!(by_id.expect(200), read);
    let list = world.get(&feature.path("features")).await.expect(200);
    assert_eq!((&list["data"], &list["pagination"]["total"]), (&json!([read]), &json!(1)));

    let started = build(&world, &feature, &job).await;
    assert_eq!(
        (&started["buildStatus"], &started["triggeredBy"], &started["environment"]),
        (&json!("building"), &json!("feature_activation"), &json!("prod"))
    );
    let sent = format!(
        "SELECT count(*) FROM outbox WHERE destination = 'provisioning' AND id = '{job}' AND type = 'provisioning.job' \
         AND data = '{}'::jsonb",
        json!({ "type": "ACTIVATE_FEATURE", "platformId": feature.platform, "input": {
            "entityId": feature.entity, "featureId": "billing", "featureVersion": "1.2.0", "environment": "prod" } })
    );
    assert_eq!(world.number(&sent).await, 1);
    let audit =
        world.get(&format!("/api/v1/platforms/{}/audit?entity={id}", feature.platform)).await.expect(200);
    assert_eq!(audit["data"][0]["action"], "feature.requested");
    assert_eq!(audit["data"][0]["after"]["featureVersion"], "1.2.0");
}

#[tokio::test]
async fn asked_again_it_is_the_same_and_another_version_is_an_upgrade() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let ask = async |version: &str| {
        world.post(&feature.path("features/activate"), feature.body(version)).await.expect(202)
    };
    let first = ask("1.0.0").await;
    let writes = world.writes().await;
    assert_eq!(ask("1.0.0").await, first);
    assert_eq!(world.writes().await, writes, "nothing is new");
    feature.complete(&world, &text(&first, "provisionJobId"), "1.0.0").await;
    let again = ask("1.0.0").await;
    assert_eq!((&again["status"], &again["provisionJobId"]), (&json!("active"), &first["provisionJobId"]));
    assert_eq!(again["estimatedDurationSeconds"], Value::Null, "nothing is left to wait for");

    let upgrade = ask("2.0.0").await;
    assert_eq!((&upgrade["activationId"], &upgrade["status"]), (&first["activationId"], &json!("pending")));
    assert_ne!(upgrade["provisionJobId"], first["provisionJobId"]);
    assert_eq!(upgrade["estimatedDurationSeconds"], 1, "the median of one that took less than a second");
    assert_eq!(ask("2.0.0").await, upgrade);
    let other = Feature { environment: "stg".to_owned(), ..feature.clone() };
    other.activate(&world, "1.0.0").await;
    assert_eq!(world.number("SELECT count(*) FROM feature_activations").await, 2);
    let list = world.get(&feature.path("features?limit=1")).await.expect(200);
    assert_eq!((&list["data"][0]["environment"], &list["pagination"]["total"]), (&json!("stg"), &json!(2)));
    let cursor = text(&list["pagination"], "nextCursor");
    let rest = world.get(&feature.path(&format!("features?limit=1&cursor={cursor}"))).await.expect(200);
    assert_eq!(ids(&rest), [text(&first, "activationId")]);
}

#[tokio::test]
async fn sixty_four_at_once_get_one_answer() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let (path, body) = (feature.path("features/activate"), feature.body("1.0.0"));
    let answers = join_all((0..64).map(|_| world.post(&path, body.clone()))).await;
    let first = answers[0].body.clone();
    for answer in answers {
        assert_eq!(answer.expect(202), first);
    }
    for (table, rows) in
        [("feature_activations", 1), ("builds", 1), ("outbox WHERE destination IS NOT NULL", 1)]
    {
        assert_eq!(world.number(&format!("SELECT count(*) FROM {table}")).await, rows, "{table}");
    }
    let list = world.get(&feature.path("features")).await.expect(200);
    assert_eq!(list["pagination"]["total"], 1);
}

#[tokio::test]
async fn from_pending_to_active_to_deactivated() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let job = feature.activate(&world, "1.0.0").await;
    for _ in 0..2 {
        let begun = feature.begin(&world, &job, Some("1.0.0")).await.unwrap();
        let expected = r::BeginFeatureJobResponse {
            stack_id: "default".to_owned(),
            owner_id: feature.platform.clone(),
            has_service: true,
            version: Some("1.0.0".to_owned()),
            ..Default::default()
        };
        assert_eq!(begun, expected);
        assert_eq!(feature.get(&world).await["status"], "provisioning");
    }
    for _ in 0..2 {
        feature.end(&world, &job, Some("1.0.0"), done("billing")).await.unwrap();
        let now = feature.get(&world).await;
        assert_eq!((&now["status"], now["activatedAt"].is_string()), (&json!("active"), true));
    }
    let ended = build(&world, &feature, &job).await;
    assert_eq!((&ended["buildStatus"], &ended["cfDeploymentId"]), (&json!("success"), &json!("d-1")));

    let removal = feature.deactivate(&world).await;
    assert_eq!(feature.manifest(&world).await["features"], json!([]), "no one is led to it any more");
    let begun = feature.begin(&world, &removal, None).await.unwrap();
    assert_eq!((begun.version, begun.version_before.as_deref()), (None, Some("1.0.0")));
    for _ in 0..2 {
        feature.remove(&world, &removal, false).await;
        let now = feature.get(&world).await;
        assert_eq!((&now["status"], now["deactivatedAt"].is_string()), (&json!("deactivated"), true));
    }
    assert_eq!(build(&world, &feature, &removal).await["buildStatus"], "success");
    let actions =
        world.get(&format!("/api/v1/platforms/{}/audit?entity=feature", feature.platform)).await.expect(200);
    let actions: Vec<_> =
        actions["data"].as_array().unwrap().iter().rev().map(|entry| text(entry, "action")).collect();
    let expected = ["requested", "provisioning", "activated", "deactivating", "deactivated"];
    assert_eq!(actions, expected.map(|verb| format!("feature.{verb}")), "each once");

    let again = feature.activate(&world, "1.0.0").await;
    let begun = feature.begin(&world, &again, Some("1.0.0")).await.unwrap();
    assert!(begun.has_data, "its data was kept");
}

#[tokio::test]
async fn what_is_not_active_is_not_deactivated() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let body = json!({ "featureId": "billing", "environment": "prod" });
    let path = feature.path("features/deactivate");
    world.post(&path, body.clone()).await.expect_error(404, "NOT_FOUND");
    let job = feature.activate(&world, "1.0.0").await;
    for status in ["pending", "provisioning"] {
        let details = world.post(&path, body.clone()).await.expect_error(409, "INVALID_TRANSITION");
        assert_eq!((&details["from"], &details["event"]), (&json!(status), &json!("deactivate")));
        feature.begin(&world, &job, Some("1.0.0")).await.unwrap();
    }
    feature.end(&world, &job, Some("1.0.0"), undone(None)).await.unwrap();
    let details = world.post(&path, body.clone()).await.expect_error(409, "INVALID_TRANSITION");
    assert_eq!((&details["from"], &details["allowed"]), (&json!("failed"), &json!(["activate"])));
    let job = feature.activate(&world, "1.0.0").await;
    feature.complete(&world, &job, "1.0.0").await;
    feature.deactivate(&world).await;
    world.post(&path, body).await.expect_error(409, "INVALID_TRANSITION");
}

#[tokio::test]
async fn a_failure_is_told_and_a_failed_upgrade_leaves_what_ran() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let job = feature.activate(&world, "1.0.0").await;
    feature.begin(&world, &job, Some("1.0.0")).await.unwrap();
    for _ in 0..2 {
        feature.end(&world, &job, Some("1.0.0"), undone(None)).await.unwrap();
        let now = feature.get(&world).await;
        assert_eq!((&now["status"], &now["error"]), (&json!("failed"), &json!("worker: no quota")));
    }
    assert_eq!(build(&world, &feature, &job).await["buildStatus"], "failed");
    let late = feature.end(&world, &job, Some("1.0.0"), done("billing")).await.unwrap_err();
    assert_eq!(late.kind(), Kind::InvalidTransition);
    assert_eq!(build(&world, &feature, &job).await["buildStatus"], "failed");

    // The same version again is a new try.
    let job = feature.activate(&world, "1.0.0").await;
    assert_eq!(feature.get(&world).await["error"], Value::Null);
    feature.complete(&world, &job, "1.0.0").await;
    let upgrade = feature.activate(&world, "2.0.0").await;
    let begun = feature.begin(&world, &upgrade, Some("2.0.0")).await.unwrap();
    assert_eq!((begun.version.as_deref(), begun.version_before.as_deref()), (Some("2.0.0"), Some("1.0.0")));
    feature.end(&world, &upgrade, Some("2.0.0"), undone(begun.own_version_before.as_deref())).await.unwrap();
    let now = feature.get(&world).await;
    assert_eq!(
        (&now["status"], &now["featureVersion"], &now["error"]),
        (&json!("active"), &json!("1.0.0"), &json!("worker: no quota"))
    );
    assert_eq!(build(&world, &feature, &upgrade).await["buildStatus"], "failed");
}

#[tokio::test]
async fn a_job_that_is_undone_after_its_end_takes_back_what_it_did() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let first = feature.activate(&world, "1.0.0").await;
    feature.complete(&world, &first, "1.0.0").await;
    let upgrade = feature.activate(&world, "2.0.0").await;
    feature.complete(&world, &upgrade, "2.0.0").await;
    feature.end(&world, &upgrade, Some("2.0.0"), undone(Some("1.0.0"))).await.unwrap();
    let now = feature.get(&world).await;
    assert_eq!((&now["status"], &now["featureVersion"]), (&json!("active"), &json!("1.0.0")));
    assert_eq!(feature.manifest(&world).await["features"][0]["version"], "1.0.0");

    let third = feature.activate(&world, "3.0.0").await;
    feature.complete(&world, &third, "3.0.0").await;
    feature.end(&world, &third, Some("3.0.0"), undone(None)).await.unwrap();
    assert_eq!(feature.get(&world).await["status"], "failed");
    assert_eq!(feature.manifest(&world).await["features"], json!([]));

    let job = feature.activate(&world, "1.0.0").await;
    feature.complete(&world, &job, "1.0.0").await;
    let removal = feature.deactivate(&world).await;
    feature.remove(&world, &removal, false).await;
    feature.end(&world, &removal, None, undone(Some("1.0.0"))).await.unwrap();
    assert_eq!(feature.get(&world).await["status"], "active");
    assert_eq!(feature.manifest(&world).await["features"][0]["version"], "1.0.0");
}

#[tokio::test]
async fn a_late_report_of_an_old_job_changes_nothing_but_its_build() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let old = feature.activate(&world, "1.0.0").await;
    feature.begin(&world, &old, Some("1.0.0")).await.unwrap();
    let new = feature.activate(&world, "2.0.0").await;
    assert!(feature.begin(&world, &old, Some("1.0.0")).await.unwrap().superseded);
    feature.end(&world, &old, Some("1.0.0"), done("old")).await.unwrap();
    let now = feature.get(&world).await;
    assert_eq!((&now["status"], &now["featureVersion"]), (&json!("pending"), &json!("2.0.0")));
    assert_eq!(build(&world, &feature, &old).await["buildStatus"], "success");
    feature.complete(&world, &new, "2.0.0").await;
    feature.end(&world, &old, Some("1.0.0"), undone(None)).await.unwrap();
    let now = feature.get(&world).await;
    assert_eq!((&now["status"], &now["featureVersion"]), (&json!("active"), &json!("2.0.0")));
    assert_eq!(feature.manifest(&world).await["features"][0]["serviceUrl"], "https://billing.example");
}

#[tokio::test]
async fn a_job_that_provisioning_was_given_itself_is_taken_up() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let id = || Uuid::now_v7().to_string();
    let none = feature.begin(&world, &id(), None).await.unwrap_err();
    assert_eq!(none.kind(), Kind::NotFound);
    let job = id();
    feature.complete(&world, &job, "1.0.0").await;
    assert_eq!(feature.get(&world).await["status"], "active");
    assert_eq!(build(&world, &feature, &job).await["buildStatus"], "success");
    let asked = world.post(&feature.path("features/activate"), feature.body("1.0.0")).await.expect(202);
    assert_eq!(asked["provisionJobId"], job, "it is active already");
    feature.remove(&world, &id(), false).await;
    assert_eq!(feature.get(&world).await["status"], "deactivated");
    let refused = feature.begin(&world, &id(), None).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::InvalidTransition);
    let elsewhere = Feature { entity: "aaaaaaaaaa".to_owned(), ..feature.clone() };
    let refused = elsewhere.begin(&world, &id(), Some("1.0.0")).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::NotFound);
    elsewhere.end(&world, &id(), Some("1.0.0"), undone(None)).await.unwrap();
}

#[tokio::test]
async fn entities_of_a_stack_share_a_service_and_its_data() {
    let world = World::start().await;
    let one = billing(&world).await;
    let two = Feature { entity: world.tenant(&one.platform, "u").await, ..one.clone() };
    let job = one.activate(&world, "2.0.0").await;
    one.complete(&world, &job, "2.0.0").await;
    let job = two.activate(&world, "1.0.0").await;
    let begun = two.begin(&world, &job, Some("1.0.0")).await.unwrap();
    assert_eq!((begun.version.as_deref(), begun.version_before.as_deref()), (Some("2.0.0"), Some("2.0.0")));
    assert_eq!((begun.own_version_before, begun.has_data, begun.shares_data), (None, true, true));
    two.end(&world, &job, Some("1.0.0"), done("billing")).await.unwrap();
    let removal = one.deactivate(&world).await;
    let begun = one.begin(&world, &removal, None).await.unwrap();
    assert_eq!((begun.version.as_deref(), begun.shares_data), (Some("1.0.0"), true));
    one.remove(&world, &removal, true).await;
    let removal = two.deactivate(&world).await;
    let begun = two.begin(&world, &removal, None).await.unwrap();
    assert_eq!((begun.version, begun.shares_data), (None, false), "the other gave its data up");
}

#[tokio::test]
async fn a_stack_s_definition_says_which_package_and_whether_there_is_a_service() {
    let templates = Templates::start(Answers::Shop("active", Some("1.0.0"))).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    let (tenant, bare) = (world.tenant(&platform, "t").await, world.tenant(&platform, "bare").await);
    let sub = world.subtenant(&platform, "s", &tenant).await;
    let body = json!({ "tenantId": tenant, "name": "main", "templateId": "shop" });
    let stack =
        text(&world.post(&format!("/api/v1/platforms/{platform}/stacks"), body).await.expect(201), "id");
    for (entity, id, in_stack, package, service) in [
        (&tenant, "cart", true, "@shop/cart", true),
        (&sub, "cart", true, "@shop/cart", true),
        (&tenant, "theme", true, "@shop/theme", false),
        (&tenant, "other", false, "@neutrino-io/feature-other", true),
        (&bare, "cart", false, "@neutrino-io/feature-cart", true),
    ] {
        let feature = Feature::new(&platform, entity, id, "prod");
        let job = feature.activate(&world, "1.0.0").await;
        let begun = feature.begin(&world, &job, Some("1.0.0")).await.unwrap();
        let (of, owner) = if in_stack { (stack.as_str(), &tenant) } else { ("default", &platform) };
        assert_eq!(
            (begun.stack_id.as_str(), &begun.owner_id, begun.has_service),
            (of, owner, service),
            "{id}"
        );
        let url = service.then(|| format!("https://{id}.example"));
        let told = r::EndFeatureJobRequest { service_url: url.clone(), ..Default::default() };
        feature.end(&world, &job, Some("1.0.0"), told).await.unwrap();
        let shown = feature.manifest(&world).await;
        let shown =
            shown["features"].as_array().unwrap().iter().find(|shown| shown["id"] == id).unwrap().clone();
        let expected = json!({ "id": id, "version": "1.0.0", "package": package, "serviceUrl": url, "status": "active" });
        assert_eq!(shown, expected);
    }
}

#[tokio::test]
async fn what_is_refused() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let (other, path) = (world.platform("b").await, feature.path("features/activate"));
    let mut told =
        faults(world.post(&path, json!({ "featureId": "Not A Slug", "version": "1", "x": 1 })).await);
    told.sort();
    told.dedup();
    assert_eq!(told, ["environment", "featureId", "version", "x"]);
    for id in ["-a", "a-", &"x".repeat(42)] {
        let long = Feature { id: id.to_owned(), ..feature.clone() };
        assert_eq!(faults(world.post(&path, long.body("1.0.0")).await), ["featureId"], "{id}");
    }
    assert_eq!(faults(world.get(&feature.path("features/billing?env=moon")).await), ["env"]);
    let elsewhere = Feature { platform: other, ..feature.clone() };
    for feature in [elsewhere, Feature { entity: "aaaaaaaaaa".to_owned(), ..feature.clone() }] {
        world
            .post(&feature.path("features/activate"), feature.body("1.0.0"))
            .await
            .expect_error(404, "NOT_FOUND");
        for path in ["features", "features/billing", "manifest"] {
            world.get(&feature.path(path)).await.expect_error(404, "NOT_FOUND");
        }
    }
    world.get(&feature.path("features/billing")).await.expect_error(404, "NOT_FOUND");
    world.get(&feature.path(&format!("features/{}", Uuid::now_v7()))).await.expect_error(404, "NOT_FOUND");
    assert_eq!(world.number("SELECT count(*) FROM feature_activations").await, 0);
}

#[tokio::test]
async fn it_can_be_tried_and_is_refused_when_stale() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let path = feature.path("features/activate");
    let dry = world.post(&format!("{path}?dryRun=true"), feature.body("1.0.0")).await;
    assert_eq!((dry.header("dry-run"), &dry.body["status"]), (Some("true"), &json!("pending")));
    for table in ["feature_activations", "manifests", "builds", "outbox WHERE destination IS NOT NULL"] {
        assert_eq!(world.number(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
    let job = feature.activate(&world, "1.0.0").await;
    let read = world.get(&feature.path("features/billing")).await;
    let seen = read.header("etag").unwrap().to_owned();
    feature.complete(&world, &job, "1.0.0").await;
    let stale = [("If-Match", seen.as_str())];
    let upgrade = feature.body("2.0.0");
    world.send(Method::POST, &path, &upgrade, &stale).await.expect_error(412, "PRECONDITION_FAILED");
    let body = json!({ "featureId": "billing", "environment": "prod" });
    let away = feature.path("features/deactivate");
    world.send(Method::POST, &away, &body, &stale).await.expect_error(412, "PRECONDITION_FAILED");
    assert_eq!(feature.get(&world).await["status"], "active");
}

#[tokio::test]
async fn an_entity_with_features_is_not_deleted() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let path = format!("/api/v1/platforms/{}/entities/{}", feature.platform, feature.entity);
    let job = feature.activate(&world, "1.0.0").await;
    let refused = async || {
        let details = world.delete(&path).await.expect_error(409, "HAS_DEPENDENTS");
        assert_eq!(
            details["dependents"],
            json!({ "entities": 0, "stacks": 0, "resources": 0, "features": 1 })
        );
    };
    refused().await;
    feature.begin(&world, &job, Some("1.0.0")).await.unwrap();
    refused().await;
    feature.end(&world, &job, Some("1.0.0"), done("billing")).await.unwrap();
    refused().await;
    let removal = feature.deactivate(&world).await;
    refused().await;
    feature.remove(&world, &removal, false).await;
    world.delete(&path).await.expect(200);
}
