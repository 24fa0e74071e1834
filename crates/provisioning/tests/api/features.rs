//! Features, from the request at the registry to what the provider has, and back.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{Error, Kind};
use futures_util::future::join_all;
use provisioning::providers::{
    Provider, ResourceKind, Target,
    fake::{Action, Calls, Operation, Rule, Stage},
};
use saga::{Interpose, Point, Verdict};
use serde_json::{Value, json};

use crate::{
    jobs::refuse,
    system::{Registered, System},
};

const STEPS: [&str; 5] = ["begin", "database", "worker", "dns", "report"];
const REMOVAL: [&str; 5] = ["begin", "dns", "worker", "data", "report"];

/// Where the jobs are interfered with now: step, whether it is being undone, point, and what happens.
type Trouble = Arc<Mutex<Option<(&'static str, bool, Point, fn() -> Verdict)>>>;

fn troubled() -> (Trouble, Interpose) {
    let trouble = Trouble::default();
    let now = Arc::clone(&trouble);
    let interpose: Interpose = Arc::new(move |step, undo, point| {
        let mut now = now.lock().unwrap();
        match *now {
            Some((at, undoing, when, verdict)) if (at, undoing, when) == (step, undo, point) => {
                // Who dies once is succeeded by one who lives.
                if matches!(verdict(), Verdict::Die) {
                    *now = None;
                }
                verdict()
            }
            _ => Verdict::Go,
        }
    });
    (trouble, interpose)
}

fn broken() -> Verdict {
    Verdict::Fail(Error::new(Kind::Unprocessable, "broken on purpose"))
}

/// An entity of the system with the feature `billing` in production.
struct Shop<'s> {
    system: &'s System,
    platform: String,
    entity: String,
}

impl<'s> Shop<'s> {
    async fn new(system: &'s System, slug: &str) -> Self {
        let platform = system.platform(slug).await;
        Self::beside(system, &platform, "t").await
    }

    async fn beside(system: &'s System, platform: &str, slug: &str) -> Self {
        let body = json!({ "name": "Tenant", "slug": slug, "type": "tenant" });
        let path = format!("/api/v1/platforms/{platform}/entities");
        let made = system.registry.post(&path, body).await.expect(201);
        Self { system, platform: platform.to_owned(), entity: made["id"].as_str().unwrap().to_owned() }
    }

    fn path(&self, more: &str) -> String {
        format!("/api/v1/platforms/{}/entities/{}/{more}", self.platform, self.entity)
    }

    async fn activate(&self, version: &str) -> String {
        let body = json!({ "featureId": "billing", "version": version, "environment": "prod" });
        let answer = self.system.registry.post(&self.path("features/activate"), body).await.expect(202);
        answer["provisionJobId"].as_str().unwrap().to_owned()
    }

    async fn deactivate(&self, delete_data: bool) {
        let body = json!({ "featureId": "billing", "environment": "prod", "deleteData": delete_data });
        self.system.registry.post(&self.path("features/deactivate"), body).await.expect(200);
    }

    /// The activation once it is in one of these statuses.
    async fn when(&self, statuses: &[&str]) -> Value {
        let path = self.path("features/billing");
        for _ in 0..3000 {
            let now = self.system.registry.get(&path).await.expect(200);
            if statuses.contains(&now["status"].as_str().unwrap()) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never {statuses:?}: {}", self.system.registry.get(&path).await.body)
    }

    async fn active(&self, version: &str) -> Value {
        let now = self.when(&["active", "failed"]).await;
        assert_eq!((&now["status"], &now["featureVersion"]), (&json!("active"), &json!(version)), "{now}");
        now
    }

    async fn manifest(&self) -> Value {
        self.system.registry.get(&self.path("manifest")).await.expect(200)["features"].clone()
    }

    fn name(&self) -> String {
        format!("{}-default-billing", self.platform)
    }

    /// What of the service the provider has, by kind.
    async fn live(&self) -> Vec<String> {
        let live = self.system.provider.live().await.unwrap();
        let mut kinds: Vec<_> =
            live.into_iter().filter(|one| one.name.contains(&self.platform)).map(|one| one.kind).collect();
        kinds.sort();
        kinds
    }

    /// What the worker runs, in the provider's words.
    async fn deployment(&self) -> Value {
        let target = Target::plain(ResourceKind::Worker, self.name()).unwrap();
        self.system.provider.observe(&target).await.unwrap().unwrap().details["deployment"].clone()
    }

    async fn builds(&self) -> Vec<Value> {
        let path = format!("/api/v1/platforms/{}/builds", self.platform);
        let builds = self.system.registry.get(&path).await.expect(200);
        builds["data"].as_array().unwrap().iter().map(|build| build["buildStatus"].clone()).collect()
    }

    async fn hosts(&self) -> usize {
        let path = format!("/api/v1/platforms/{}/stacks/default/dns", self.platform);
        self.system.registry.get(&path).await.expect(200)["data"].as_array().unwrap().len()
    }

    /// Nothing is left of the service, wherever one looks.
    async fn assert_nothing_left(&self, why: &str) {
        assert_eq!(self.live().await, [""; 0], "{why}");
        assert!(self.system.resources(&self.platform).await.is_empty(), "{why}");
        assert_eq!((self.hosts().await, self.manifest().await), (0, json!([])), "{why}");
    }

    /// The service is whole, and nothing was made twice.
    async fn assert_whole(&self, why: &str) {
        assert_eq!(self.live().await, ["d1", "dns_record", "worker"], "{why}");
        let resources = self.system.resources(&self.platform).await;
        let mut names: Vec<_> =
            resources.iter().map(|one| (one["cfName"].as_str().unwrap(), &one["status"])).collect();
        names.sort_unstable_by_key(|(name, _)| *name);
        let (name, data, active) = (self.name(), format!("{}-db", self.name()), json!("active"));
        assert_eq!(names, [(name.as_str(), &active), (data.as_str(), &active)], "{why}");
        assert_eq!(self.hosts().await, 1, "{why}");
        assert_eq!(self.system.provider.doubles().await.unwrap(), [""; 0], "{why}");
    }
}

#[tokio::test]
async fn asked_for_while_provisioning_is_away_it_comes_and_goes() {
    let registered = Registered::start().await;
    let body = json!({ "name": "Acme", "slug": "acme" });
    let platform = registered.registry.post("/api/v1/platforms", body).await.expect(201);
    let platform = platform["id"].as_str().unwrap();
    let body = json!({ "name": "Tenant", "slug": "first", "type": "tenant" });
    let path = format!("/api/v1/platforms/{platform}/entities");
    let entity = registered.registry.post(&path, body).await.expect(201)["id"].as_str().unwrap().to_owned();
    let body = json!({ "featureId": "billing", "version": "1.0.0", "environment": "prod" });
    let asked =
        registered.registry.post(&format!("{path}/{entity}/features/activate"), body).await.expect(202);
    assert_eq!(asked["status"], "pending");

    let system = registered.provision(None).await;
    let shop = Shop { system: &system, platform: platform.to_owned(), entity };
    shop.active("1.0.0").await;
    shop.assert_whole("at first").await;
    let url = format!("https://billing.svc.default.{platform}.nno.localhost");
    let shown = json!([{ "id": "billing", "version": "1.0.0", "package": "@neutrino-io/feature-billing",
        "serviceUrl": url, "status": "active" }]);
    assert_eq!(shop.manifest().await, shown);
    let job = system.job_in(asked["provisionJobId"].as_str().unwrap(), "COMPLETED").await;
    let steps: Vec<_> = job["steps"].as_array().unwrap().iter().map(|step| step["name"].clone()).collect();
    assert_eq!((&job["type"], json!(steps)), (&json!("ACTIVATE_FEATURE"), json!(STEPS)));
    assert_eq!(shop.builds().await, ["success"]);

    shop.deactivate(false).await;
    shop.when(&["deactivated"]).await;
    assert_eq!((shop.live().await, shop.hosts().await), (vec!["d1".to_owned()], 0), "its data is kept");
    shop.activate("1.0.0").await;
    shop.active("1.0.0").await;
    shop.assert_whole("again").await;
    let made = system.provider.made_again().await.unwrap();
    assert!(made.iter().all(|identity| !identity.starts_with("d1/")), "the data is the same: {made:?}");

    shop.deactivate(true).await;
    shop.when(&["deactivated"]).await;
    shop.assert_nothing_left("at last").await;
    assert_eq!(shop.builds().await, ["success"; 4]);
}

#[tokio::test]
async fn every_step_that_fails_for_good_is_undone() {
    let (trouble, interpose) = troubled();
    let system = Registered::start().await.provision(Some(interpose)).await;
    for (n, step) in STEPS.into_iter().enumerate() {
        for point in [Point::AfterIntent, Point::AfterEffect] {
            let why = format!("{step} {point:?}");
            *trouble.lock().unwrap() = Some((step, false, point, broken));
            let shop = Shop::new(&system, &format!("p-{n}-{}", point as u8)).await;
            let job = shop.activate("1.0.0").await;
            let now = shop.when(&["failed"]).await;
            assert!(now["error"].as_str().unwrap().contains("broken on purpose"), "{why}: {now}");
            system.job_in(&job, "ROLLED_BACK").await;
            shop.assert_nothing_left(&why).await;
            // A build that its last step had ended well has failed after all; one that never began has failed too.
            assert_eq!(shop.builds().await, ["failed"], "{why}");
            *trouble.lock().unwrap() = None;
            shop.activate("1.0.0").await;
            shop.active("1.0.0").await;
            shop.assert_whole(&why).await;
        }
    }
}

#[tokio::test]
async fn an_upgrade_that_fails_leaves_what_ran() {
    let (trouble, interpose) = troubled();
    let system = Registered::start().await.provision(Some(interpose)).await;
    let shop = Shop::new(&system, "acme").await;
    shop.activate("1.0.0").await;
    shop.active("1.0.0").await;
    let (deployed, shown) = (shop.deployment().await, shop.manifest().await);
    for step in STEPS {
        *trouble.lock().unwrap() = Some((step, false, Point::AfterEffect, broken));
        let job = shop.activate("2.0.0").await;
        system.job_in(&job, "ROLLED_BACK").await;
        let now = shop.active("1.0.0").await;
        assert!(now["error"].as_str().unwrap().contains("broken on purpose"), "{step}: {now}");
        assert_eq!(
            (shop.deployment().await, shop.manifest().await),
            (deployed.clone(), shown.clone()),
            "{step}"
        );
        shop.assert_whole(step).await;
    }
    *trouble.lock().unwrap() = None;
    shop.activate("2.0.0").await;
    let now = shop.active("2.0.0").await;
    assert_eq!(now["error"], Value::Null);
    assert_ne!(shop.deployment().await, deployed);
    // What the operator takes back is the version before.
    let job = shop.activate("3.0.0").await;
    shop.active("3.0.0").await;
    system.job_in(&job, "COMPLETED").await;
    system.provisioning.post(&format!("/api/v1/provision/jobs/{job}/cancel"), json!({})).await.expect(200);
    system.job_in(&job, "ROLLED_BACK").await;
    shop.active("2.0.0").await;
    shop.assert_whole("taken back").await;
}

#[tokio::test]
async fn every_step_twice_leaves_one_of_everything() {
    let twice: Interpose =
        Arc::new(|_, _, point| if point == Point::AfterIntent { Verdict::Twice } else { Verdict::Go });
    let system = Registered::start().await.provision(Some(twice)).await;
    let shop = Shop::new(&system, "twice").await;
    shop.activate("1.0.0").await;
    shop.active("1.0.0").await;
    shop.assert_whole("made twice").await;
    assert_eq!(shop.builds().await, ["success"]);
    shop.deactivate(true).await;
    shop.when(&["deactivated"]).await;
    shop.assert_nothing_left("removed twice").await;
    system.provider.follow([refuse(ResourceKind::DnsRecord, Operation::Ensure)]).await.unwrap();
    shop.activate("1.0.0").await;
    shop.when(&["failed"]).await;
    shop.assert_nothing_left("undone twice").await;
}

#[tokio::test]
async fn a_runner_that_dies_is_succeeded() {
    let (trouble, interpose) = troubled();
    let system = Registered::start().await.provision(Some(interpose)).await;
    let shop = Shop::new(&system, "dies").await;
    for (activation, removal) in STEPS.into_iter().zip(REMOVAL) {
        *trouble.lock().unwrap() = Some((activation, false, Point::AfterEffect, || Verdict::Die));
        shop.activate("1.0.0").await;
        shop.active("1.0.0").await;
        shop.assert_whole(activation).await;
        *trouble.lock().unwrap() = Some((removal, false, Point::AfterEffect, || Verdict::Die));
        shop.deactivate(true).await;
        shop.when(&["deactivated"]).await;
        shop.assert_nothing_left(removal).await;
    }
}

#[tokio::test]
async fn a_removal_that_fails_is_undone_and_one_that_is_done_can_be_taken_back() {
    let (trouble, interpose) = troubled();
    let system = Registered::start().await.provision(Some(interpose)).await;
    let shop = Shop::new(&system, "acme").await;
    shop.activate("1.0.0").await;
    shop.active("1.0.0").await;
    let (deployed, shown) = (shop.deployment().await, shop.manifest().await);
    let newest = async |status: &str| {
        let list = format!("/api/v1/provision/jobs?platformId={}", shop.platform);
        let jobs = system.provisioning.get(&list).await.expect(200);
        assert_eq!(jobs["data"][0]["type"], "DEACTIVATE_FEATURE");
        system.job_in(jobs["data"][0]["id"].as_str().unwrap(), status).await
    };
    for step in REMOVAL {
        *trouble.lock().unwrap() = Some((step, false, Point::AfterEffect, broken));
        shop.deactivate(false).await;
        let now = shop.active("1.0.0").await;
        assert!(now["error"].as_str().unwrap().contains("broken on purpose"), "{step}: {now}");
        newest("ROLLED_BACK").await;
        shop.assert_whole(step).await;
        assert_eq!(
            (shop.deployment().await, shop.manifest().await),
            (deployed.clone(), shown.clone()),
            "{step}"
        );
        assert_eq!(shop.builds().await[0], "failed", "{step}");
    }
    *trouble.lock().unwrap() = None;
    shop.deactivate(false).await;
    shop.when(&["deactivated"]).await;
    assert_eq!(shop.live().await, ["d1"]);
    let job = newest("COMPLETED").await;
    let path = format!("/api/v1/provision/jobs/{}/cancel", job["id"].as_str().unwrap());
    system.provisioning.post(&path, json!({})).await.expect(200);
    newest("ROLLED_BACK").await;
    shop.active("1.0.0").await;
    shop.assert_whole("taken back").await;
    assert_eq!((shop.deployment().await, shop.manifest().await), (deployed, shown));
}

#[tokio::test]
async fn cancelled_at_whatever_moment_it_fails_and_leaves_nothing() {
    let system = System::start().await;
    for pause in [0, 5, 20, 60, 150] {
        let shop = Shop::new(&system, &format!("p-{pause}")).await;
        let job = shop.activate("1.0.0").await;
        let path = format!("/api/v1/provision/jobs/{job}");
        while system.provisioning.get(&path).await.status == 404 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
        system.provisioning.post(&format!("{path}/cancel"), json!({})).await.expect(200);
        system.job_in(&job, "ROLLED_BACK").await;
        let now = shop.when(&["failed"]).await;
        assert!(now["error"].as_str().unwrap().contains("cancelled by operator"), "{now}");
        shop.assert_nothing_left(&pause.to_string()).await;
        assert_eq!(shop.builds().await, ["failed"]);
    }
}

#[tokio::test]
async fn a_newer_request_waits_for_the_older_and_wins() {
    let system = System::start().await;
    let shop = Shop::new(&system, "acme").await;
    let slow = Action::Hang { stage: Stage::BeforeEffect, duration: Some(Duration::from_millis(700)) };
    let rule = Rule::new(slow).on(Operation::Ensure).kind(ResourceKind::Worker).calls(Calls::Nth(1));
    system.provider.follow([rule]).await.unwrap();
    let old = shop.activate("1.0.0").await;
    shop.when(&["provisioning"]).await;
    let new = shop.activate("2.0.0").await;
    let waiting = async {
        for _ in 0..500 {
            let job = system.provisioning.get(&format!("/api/v1/provision/jobs/{new}")).await;
            if job.status == 200 && job.body["steps"][0]["waitingFor"] == "another job for the same feature" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it did not wait")
    };
    waiting.await;
    system.job_in(&new, "COMPLETED").await;
    system.job_in(&old, "COMPLETED").await;
    shop.active("2.0.0").await;
    shop.assert_whole("upgraded").await;
    assert_eq!(shop.manifest().await[0]["version"], "2.0.0");
    assert_eq!(shop.builds().await, ["success"; 2]);
}

#[tokio::test]
async fn entities_share_a_service_until_the_last_gives_it_up() {
    let system = System::start().await;
    let first = Shop::new(&system, "acme").await;
    let others = join_all((0..5).map(|n| {
        let slug = format!("t-{n}");
        let (system, platform) = (&system, &first.platform);
        async move { Shop::beside(system, platform, &slug).await }
    }))
    .await;
    let shops: Vec<&Shop<'_>> = std::iter::once(&first).chain(&others).collect();
    join_all(shops.iter().map(|shop| shop.activate("1.0.0"))).await;
    join_all(shops.iter().map(|shop| shop.active("1.0.0"))).await;
    first.assert_whole("shared").await;
    let deployed = first.deployment().await;
    first.activate("2.0.0").await;
    first.active("2.0.0").await;
    let upgraded = first.deployment().await;
    assert_ne!(upgraded, deployed);
    assert_eq!(others[0].manifest().await[0]["version"], "1.0.0");
    first.deactivate(true).await;
    first.when(&["deactivated"]).await;
    first.assert_whole("the others run it, and their data is there").await;
    assert_eq!(first.deployment().await, deployed, "no one runs more than this now");
    join_all(others.iter().map(|shop| shop.deactivate(true))).await;
    join_all(others.iter().map(|shop| shop.when(&["deactivated"]))).await;
    first.assert_nothing_left("all gave it up").await;
}

#[tokio::test]
async fn an_operator_s_own_jobs_and_what_is_wrong_with_them() {
    let system = System::start().await;
    let shop = Shop::new(&system, "acme").await;
    let place = json!({ "platformId": shop.platform, "entityId": shop.entity, "featureId": "billing",
        "featureVersion": "1.0.0", "environment": "prod" });
    let queue = async |what: &str, body: Value| {
        let path = format!("/api/v1/provision/feature/{what}");
        let queued = system.provisioning.post(&path, body).await.expect(202);
        assert_eq!(queued["status"], "QUEUED");
        queued["jobId"].as_str().unwrap().to_owned()
    };
    system.job_in(&queue("activate", place.clone()).await, "COMPLETED").await;
    shop.active("1.0.0").await;
    shop.assert_whole("by the operator").await;
    let mut removal = place.clone();
    removal["deleteData"] = json!(true);
    system.job_in(&queue("deactivate", removal.clone()).await, "COMPLETED").await;
    shop.when(&["deactivated"]).await;
    shop.assert_nothing_left("by the operator").await;
    // Nothing is there to be deactivated, or to activate it for.
    let job = system.job_in(&queue("deactivate", removal).await, "ROLLED_BACK").await;
    assert!(job["error"].as_str().unwrap().contains("INVALID_TRANSITION"), "{job}");
    let mut stranger = place.clone();
    stranger["entityId"] = json!("aaaaaaaaaa");
    let job = system.job_in(&queue("activate", stranger).await, "ROLLED_BACK").await;
    assert!(job["error"].as_str().unwrap().contains("NOT_FOUND"), "{job}");

    let bad = json!({ "featureId": "A", "featureVersion": "1.0.0", "environment": "moon" });
    let answer = system.provisioning.post("/api/v1/provision/feature/activate", bad).await;
    let details = answer.expect_error(400, "VALIDATION_ERROR");
    let mut paths: Vec<_> =
        details["fields"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths, ["entityId", "environment", "featureId", "platformId"]);
}

#[tokio::test]
async fn what_a_platform_takes_down_with_it() {
    let system = System::start().await;
    let shop = Shop::new(&system, "acme").await;
    shop.activate("1.0.0").await;
    shop.active("1.0.0").await;
    let path = format!("/api/v1/platforms/{}", shop.platform);
    system.registry.post(&format!("{path}/suspend"), json!({})).await.expect(200);
    system.registry.post(&format!("{path}/delete"), json!({})).await.expect(200);
    for _ in 0..1500 {
        if shop.live().await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("left: {:?}", shop.live().await)
}
