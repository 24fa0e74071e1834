//! Removal of a platform's infrastructure: the objects that it destroys and those that it leaves.

use provisioning::providers::{Owner, Provider, ResourceKind, Target};
use serde_json::{Value, json};

use crate::{shop::Shop, system::System};

/// Registers a resource directly in the database, as an older version could have stored it.
async fn register(system: &System, platform: &str, entity: &str, kind: &str, name: &str) {
    let sql = format!(
        "INSERT INTO resources (id, platform_id, entity_id, stack_id, resource_type, service_name, environment, \
             cf_name, status, created_at, updated_at) \
         VALUES (gen_random_uuid(), '{platform}', '{entity}', 'default', '{kind}', 'w', 'prod', $name${name}$name$, \
             'active', now(), now())"
    );
    use diesel_async::SimpleAsyncConnection;
    system.registry.db.connect_as_owner().await.batch_execute(&sql).await.unwrap();
}

/// Removes the platform and returns its job.
async fn take_down(system: &System, platform: &str) -> Value {
    let path = format!("/api/v1/platforms/{platform}");
    for event in ["cancel", "delete"] {
        system.registry.post(&format!("{path}/{event}"), json!({})).await.expect(200);
    }
    for _ in 0..1500 {
        let jobs = system.provisioning.get("/api/v1/provision/jobs?limit=100").await.expect(200);
        let found = jobs["data"].as_array().unwrap().iter().find(|job| {
            job["type"] == "DEPROVISION_PLATFORM"
                && job["platformId"] == platform
                && !matches!(job["status"].as_str(), Some("PENDING" | "RUNNING"))
        });
        if let Some(job) = found {
            return job.clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the job does not end: {}", system.provisioning.get("/api/v1/provision/jobs?limit=100").await.body)
}

/// Returns the output of the step `resources` of a job.
async fn output(system: &System, job: &Value) -> Value {
    use diesel::{QueryableByName, sql_query, sql_types::Jsonb};
    use diesel_async::RunQueryDsl;
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Jsonb)]
        output: Value,
    }
    let sql = format!(
        "SELECT output FROM saga_steps WHERE saga_id = '{}' AND name = 'resources'",
        job["id"].as_str().unwrap()
    );
    let row: Row = sql_query(sql).get_result(&mut system.provisioning.db.connect().await).await.unwrap();
    row.output
}

#[tokio::test]
async fn takedown_leaves_objects_of_other_platforms() {
    let system = System::start().await;
    let victim = Shop::new(&system, "victim").await;
    victim.activate("1.0.0").await;
    victim.active("1.0.0").await;
    let database = format!("{}-db", victim.name());
    // The victim unregisters its database, which continues to exist.
    let row =
        system.resources(&victim.platform).await.into_iter().find(|one| one["cfName"] == json!(database));
    let id = row.unwrap()["id"].as_str().unwrap().to_owned();
    system.registry.delete(&format!("/api/v1/platforms/{}/resources/{id}", victim.platform)).await;

    let thief = Shop::new(&system, "thief").await;
    register(&system, &thief.platform, &thief.entity, "d1", &database).await;
    let job = take_down(&system, &thief.platform).await;
    assert_eq!(job["status"], "COMPLETED", "{job}");
    let owner = Owner::of(&domain::PlatformId::parse(&victim.platform).unwrap());
    let target = Target::plain(&owner, ResourceKind::D1, &database).unwrap();
    let found = system.provider.observe(&target).await.unwrap();
    assert_eq!(
        found.and_then(|found| found.owner).map(|found| found.is(&owner)),
        Some(true),
        "the database was destroyed"
    );
    let output = output(&system, &job).await;
    assert_eq!(
        output["skipped"],
        json!([{ "name": database, "reason": "The object was not created for this platform." }])
    );
}

#[tokio::test]
async fn takedown_skips_names_that_no_provider_accepts() {
    let system = System::start().await;
    let shop = Shop::new(&system, "acme").await;
    shop.activate("1.0.0").await;
    shop.active("1.0.0").await;
    let names = ["..", "A b", "../../x", "a/b", "*", "a'b", &"x".repeat(256)].map(str::to_owned);
    for name in &names {
        register(&system, &shop.platform, &shop.entity, "kv", name).await;
    }
    let job = take_down(&system, &shop.platform).await;
    assert_eq!(job["status"], "COMPLETED", "{job}");
    let output = output(&system, &job).await;
    let skipped: Vec<_> =
        output["skipped"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    for name in &names {
        assert!(skipped.contains(&json!(name)), "{name}: {output}");
    }
    assert_eq!(shop.live().await, [""; 0]);
    // The names can be registered again.
    let other = Shop::new(&system, "other").await;
    for name in &names {
        register(&system, &other.platform, &other.entity, "kv", name).await;
    }
}
