//! The real process, killed at every step boundary.
//!
//! A trigger in the service's own database holds the write that a step boundary consists of: that it begins
//! (`in_progress`: nothing is done yet), or that it is done (`completed`: the effect is there, unrecorded). While it
//! is held the process is killed, and another is started.

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use super::system::{Place, Up, eventually};

const HELD: i64 = 4711;

/// Holds writes of steps in one database.
pub(crate) struct Gate(tokio_postgres::Client);

impl Gate {
    pub(crate) async fn open(place: &Place, database: &str) -> Self {
        let read = |path: &str| fs::read_to_string(place.data().join(path)).unwrap().trim().to_owned();
        let (port, password) = (read("postgres/port"), read("secrets/postgres"));
        let url = format!("host=127.0.0.1 port={port} user=nno password={password} dbname={database}");
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        Self(client)
    }

    pub(crate) async fn install(&self) {
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS gate (name text, status text); GRANT SELECT ON gate TO public; \
             CREATE OR REPLACE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF NEW.status <> OLD.status AND EXISTS (SELECT 1 FROM gate WHERE (name, status) = (NEW.name, NEW.status)) \
                 THEN PERFORM pg_advisory_xact_lock({HELD}); END IF; RETURN NEW; END $$; \
             CREATE OR REPLACE TRIGGER hold BEFORE UPDATE ON saga_steps FOR EACH ROW EXECUTE FUNCTION hold();"
        );
        self.0.batch_execute(&sql).await.unwrap();
    }

    /// From now on the write of this step and status waits.
    pub(crate) async fn hold(&self, step: &str, status: &str) {
        let sql = format!("SELECT pg_advisory_lock({HELD}); INSERT INTO gate VALUES ('{step}', '{status}')");
        self.0.batch_execute(&sql).await.unwrap();
    }

    pub(crate) async fn someone_waits(&self) -> bool {
        let sql = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        !self.0.query(sql, &[]).await.unwrap().is_empty()
    }

    pub(crate) async fn let_go(&self) {
        self.0.batch_execute("DELETE FROM gate; SELECT pg_advisory_unlock_all()").await.unwrap();
    }
}

async fn onboard(up: &Up, slug: &str) -> String {
    let body = json!({ "platformName": "Acme", "slug": slug, "tier": "starter" });
    let (status, started) = up.ask(Method::POST, "/api/v1/onboarding", Some(body)).await.unwrap();
    assert_eq!(status, 201, "{started}");
    started["onboardingId"].as_str().unwrap().to_owned()
}

pub(crate) async fn get(up: &Up, path: &str) -> Value {
    let (status, body) = up.ask(Method::GET, path, None).await.unwrap();
    assert_eq!(status, 200, "{body}");
    body
}

/// One platform, no orphan, nothing double.
async fn assert_whole(place: &Place, up: &Up, onboarding: &str) {
    let mut session = Value::Null;
    eventually("the onboarding ends", async || {
        session = get(up, &format!("/api/v1/onboarding/{onboarding}")).await;
        session["status"] != "in_progress"
    })
    .await;
    assert_eq!(session["status"], "completed", "{session}");
    let id = session["platformId"].as_str().unwrap();
    assert_eq!(get(up, &format!("/api/v1/platforms/{id}")).await["status"], "active");
    let events = get(up, &format!("/api/v1/platforms/{id}/lifecycle")).await;
    let to: Vec<_> = events["data"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|one| one["toStatus"].as_str().unwrap())
        .collect();
    assert_eq!(to, ["pending", "provisioning", "active"], "each happened once");
    let resources = get(up, &format!("/api/v1/platforms/{id}/resources")).await;
    assert_eq!(resources["data"].as_array().unwrap().len(), 2, "{resources}");
    assert!(resources["data"].as_array().unwrap().iter().all(|one| one["status"] == "active"), "{resources}");
    let builds = get(up, &format!("/api/v1/platforms/{id}/builds")).await;
    assert_eq!(builds["data"].as_array().unwrap().len(), 1, "{builds}");
    let jobs = get(up, &format!("/api/v1/provisioning/jobs?platformId={id}")).await;
    assert_eq!(jobs["data"].as_array().unwrap().len(), 1, "{jobs}");
    assert_eq!(jobs["data"][0]["status"], "COMPLETED");
    // Real things on disk: one of each, named after this platform.
    let made = |kind: &str| {
        let entries = fs::read_dir(place.data().join("provider").join(kind)).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(id)).count()
    };
    assert_eq!([made("d1"), made("worker"), made("git_repository")], [1, 1, 1]);
}

/// Kills the process at both boundaries of every step of a service's sagas.
async fn killed_at_every_boundary(database: &str, steps: &[&str]) {
    let place = Place::new();
    let mut up = place.up().await;
    Gate::open(&place, database).await.install().await;
    for step in steps {
        for status in ["in_progress", "completed"] {
            let gate = Gate::open(&place, database).await;
            gate.hold(step, status).await;
            let onboarding = onboard(&up, &format!("{step}-{status}").replace('_', "-")).await;
            eventually(&format!("{step} is about to be {status}"), async || gate.someone_waits().await).await;
            up.kill().await;
            gate.let_go().await;
            drop(gate);
            up = place.up().await;
            assert_whole(&place, &up, &onboarding).await;
        }
    }
    let platforms = get(&up, "/api/v1/platforms").await;
    assert_eq!(platforms["pagination"]["total"], 2 * steps.len(), "one platform for each onboarding");
    up.stop().await;
}

#[tokio::test]
async fn killed_at_every_step_of_an_onboarding() {
    let steps = ["create_platform", "provision_infra", "setup_repo", "deploy_services", "verify"];
    killed_at_every_boundary("nno_onboarding", &steps).await;
}

#[tokio::test]
async fn killed_at_every_step_of_a_job() {
    killed_at_every_boundary("nno_provisioning", &["auth_database", "auth_worker", "auth_secret", "dns"])
        .await;
}
