//! The worker that recounts the list counters.

use database::{Database, DatabaseSettings, Drift, Recount};
use diesel::sql_query;
use diesel_async::RunQueryDsl;
use registry::Registry;
use runtime::config;
use serde_json::json;
use service::Service;

use crate::{
    every_operation::{Fixture, templates},
    world::World,
};

impl World {
    fn recounter(&self) -> Recount {
        let set = json!({ "database": { "url": self.db.app_url } });
        let settings: service::Settings<<Registry as Service>::Settings> =
            config::with_overrides(Registry::DEFAULTS, set).unwrap();
        let database: DatabaseSettings = settings.database;
        Recount::new(Database::new("registry", &database).background().unwrap(), Registry::counter_sources())
    }
}

/// A registry whose own worker does not start during the test.
async fn world_without_recount() -> World {
    World::start_with(json!({ "database": { "recount_every": "1000days" } })).await
}

/// Runs a complete round and returns the drifts.
async fn round(recount: &Recount) -> Vec<Drift> {
    let mut found = Vec::new();
    while let Some(off) = recount.run_once().await.unwrap() {
        found.extend(off);
    }
    found.sort_by(|a, b| a.key.cmp(&b.key));
    found
}

/// Creates a platform with an object in every list.
async fn filled(world: &World, slug: &str) -> (String, String) {
    let platform = world.platform(slug).await;
    let tenant = world.tenant(&platform, "t").await;
    let deleted = world.subtenant(&platform, "s", &tenant).await;
    world.delete(&format!("/api/v1/platforms/{platform}/entities/{deleted}")).await.expect(200);
    world.resource(&platform, &tenant, &format!("{slug}-a")).await;
    world.resource(&platform, &platform, &format!("{slug}-b")).await;
    let on = json!({ "featureId": "billing", "version": "1.0.0", "environment": "prod" });
    let features = format!("/api/v1/platforms/{platform}/entities/{tenant}/features/activate");
    world.post(&features, on).await.expect(202);
    world.post(&format!("/api/v1/platforms/{platform}/suspend"), json!({})).await.expect(200);
    (platform, tenant)
}

#[tokio::test]
async fn every_counter_is_recounted_and_correct() {
    let mut settings = json!({ "database": { "recount_every": "1000days" } });
    config::merge(&mut settings, templates().await);
    let world = World::start_with(settings).await;
    for n in 0..20 {
        filled(&world, &format!("p{n}")).await;
    }
    // One object of every type, so that a counter without a source is noticed.
    let world = Fixture::with_world(world).await.world;
    world.delete(&format!("/api/v1/platforms/{}", world.platform("gone").await)).await.expect(200);
    let recount = world.recounter();
    assert_eq!(round(&recount).await, []);
    // All counters are off by one, and the round must report each of them.
    let counters = world.number("SELECT count(DISTINCT key) FROM counters").await;
    world.sql("INSERT INTO counters SELECT DISTINCT key, 99, 1 FROM counters").await;
    let found = round(&recount).await;
    assert_eq!(found.len() as i64, counters, "{found:?}");
    assert!(found.iter().all(|drift| drift.stored == drift.actual + 1));
    assert_eq!(round(&recount).await, [], "the counters were corrected");
}

#[tokio::test]
async fn lost_counter_is_restored() {
    let quick = json!({ "database": { "recount_every": "50ms" } });
    let world = World::start_with(quick).await;
    let (platform, tenant) = filled(&world, "a").await;
    world.sql(&format!("DELETE FROM counters WHERE key = 'entities:{platform}'")).await;
    world.sql(&format!("UPDATE counters SET n = n - 7 WHERE key = 'resources:{platform}:{tenant}'")).await;
    let total = async |path: &str| {
        let page = world.get(&format!("/api/v1/platforms/{platform}{path}")).await.expect(200);
        page["pagination"]["total"].as_i64().unwrap()
    };
    for _ in 0..500 {
        if (total("/entities").await, total(&format!("/entities/{tenant}/resources")).await) == (1, 1) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the counter was not corrected");
}

#[tokio::test]
async fn concurrent_writes_are_not_reported_as_drift() {
    let world = world_without_recount().await;
    let platform = world.platform("a").await;
    let recounts = [world.recounter(), world.recounter()];
    let write = async {
        for n in 0..40 {
            let id = world.tenant(&platform, &format!("t{n}")).await;
            if n % 3 == 0 {
                world.delete(&format!("/api/v1/platforms/{platform}/entities/{id}")).await.expect(200);
            }
        }
    };
    let count = async |recount: &Recount| {
        for _ in 0..10 {
            assert_eq!(round(recount).await, []);
        }
    };
    tokio::join!(write, count(&recounts[0]), count(&recounts[1]));
    // Two processes that count at once correct a drift only once.
    sql_query(format!("UPDATE counters SET n = n + 5 WHERE key = 'lifecycle:{platform}'"))
        .execute(&mut world.db.connect().await)
        .await
        .unwrap();
    let (one, two) = tokio::join!(round(&recounts[0]), round(&recounts[1]));
    assert!(one.len() + two.len() <= 1, "{one:?} {two:?}");
    round(&recounts[0]).await;
    let list = world.get(&format!("/api/v1/platforms/{platform}/lifecycle")).await.expect(200);
    assert_eq!(list["pagination"]["total"], 1);
}
