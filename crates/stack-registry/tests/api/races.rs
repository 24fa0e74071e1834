//! Concurrent requests.

use std::{cell::Cell, collections::HashSet};

use diesel::{QueryableByName, sql_query, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::catalogue::{Catalogue, version};

/// The expected `latest_version`, determined by the `semver` crate.
fn newest(versions: &[Value]) -> Option<String> {
    let active = versions.iter().filter(|one| one["status"] == "active");
    let parsed = active.map(|one| semver::Version::parse(one["version"].as_str().unwrap()).unwrap());
    parsed.max_by_key(|version| (version.pre.is_empty(), version.clone())).map(|version| version.to_string())
}

#[tokio::test]
async fn latest_version_is_correct_after_concurrent_publishes() {
    let catalogue = Catalogue::with_shop().await;
    let versions: Vec<String> = (0..32)
        .map(|n: u32| {
            // Stable versions and pre-releases, out of order.
            let minor = n * 13 % 32;
            if n.is_multiple_of(3) { format!("1.{minor}.0") } else { format!("2.{minor}.0-rc.{n}") }
        })
        .collect();
    let published = join_all(versions.iter().map(|one| catalogue.try_publish("shop", version(one)))).await;
    for answer in published {
        answer.expect(201);
    }
    let listed = catalogue.versions("shop").await;
    assert_eq!(listed.len(), 32);
    assert_eq!(catalogue.latest("shop").await, newest(&listed));
    assert_eq!(catalogue.latest("shop").await.as_deref(), Some("1.31.0"));
}

#[tokio::test]
async fn latest_version_is_correct_after_concurrent_deprecations() {
    let catalogue = Catalogue::with_shop().await;
    let names: Vec<String> = (0..16).map(|n| format!("1.{n}.0")).collect();
    for one in &names {
        catalogue.publish("shop", one).await;
    }
    let publish = (16..32).map(|n| catalogue.try_publish("shop", version(&format!("1.{}.0-rc.1", n % 20))));
    let paths: Vec<String> = names.iter().rev().map(|one| format!("/api/v1/stacks/shop/{one}")).collect();
    let deprecate = paths.iter().map(|path| catalogue.delete(path));
    let (published, deprecated) = tokio::join!(join_all(publish), join_all(deprecate));
    assert!(published.iter().all(|answer| answer.status == 201));
    assert!(deprecated.iter().all(|answer| answer.status == 200));
    let listed = catalogue.versions("shop").await;
    assert_eq!(listed.len(), 32);
    assert_eq!(catalogue.latest("shop").await, newest(&listed));
    assert_eq!(catalogue.latest("shop").await.as_deref(), Some("1.19.0-rc.1"));
}

#[derive(QueryableByName)]
struct Snapshot {
    #[diesel(sql_type = sql_types::Nullable<sql_types::Text>)]
    latest: Option<String>,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Jsonb>)]
    labels: Option<Value>,
    #[diesel(sql_type = sql_types::Jsonb)]
    versions: Value,
}

/// Compares `latest_version` and labels with the versions in one snapshot, and returns the number of versions.
async fn check_snapshot(c: &mut AsyncPgConnection) -> usize {
    let sql = "SELECT t.latest_version AS latest, t.labels, coalesce(( \
                   SELECT jsonb_agg(jsonb_build_object('version', v.version, 'status', v.status)) \
                   FROM stack_versions v WHERE v.template_id = t.id), '[]') AS versions FROM stack_templates t";
    let snapshot: Snapshot = sql_query(sql).get_result(c).await.unwrap();
    let versions = snapshot.versions.as_array().unwrap();
    assert_eq!(snapshot.latest, newest(versions), "{versions:?}");
    let labels = snapshot.latest.map(|latest| json!({ "of": latest }));
    assert_eq!(snapshot.labels, labels, "labels of the latest version");
    versions.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_version_is_correct_at_every_moment() {
    let catalogue = Catalogue::with_shop().await;
    let done = Cell::new(false);
    let work = async {
        let worker = async |n: usize| {
            // Each worker publishes three versions and deprecates the first.
            for (step, pre) in ["", "", "-rc.1"].into_iter().enumerate() {
                let version = format!("{}.{}.{step}{pre}", n % 5, n * 13 % 32);
                catalogue.label("shop", &version, json!({ "of": version })).await;
                if step == 1 {
                    catalogue.deprecate("shop", &format!("{}.{}.0", n % 5, n * 13 % 32)).await;
                }
            }
        };
        join_all((0..32).map(worker)).await;
        done.set(true);
    };
    let in_the_database = async {
        let (mut c, mut seen) = (catalogue.db.connect().await, HashSet::new());
        while !done.get() {
            seen.insert(check_snapshot(&mut c).await);
        }
        check_snapshot(&mut c).await;
        seen.len()
    };
    let over_http = async {
        let mut reads = 0;
        while !done.get() {
            let detail = catalogue.detail("shop").await;
            assert_eq!(
                detail["template"]["latest_version"],
                *detail.pointer("/latestVersion/version").unwrap_or(&Value::Null)
            );
            assert_ne!(detail.pointer("/latestVersion/status"), Some(&json!("deprecated")));
            reads += 1;
        }
        reads
    };
    let ((), snapshots, reads) = tokio::join!(work, in_the_database, over_http);
    assert!(snapshots > 20 && reads > 5, "{snapshots} {reads}");
    let listed = catalogue.versions("shop").await;
    assert_eq!(listed.len(), 96);
    assert_eq!(listed.iter().filter(|one| one["status"] == "deprecated").count(), 32);
    assert_eq!(catalogue.latest("shop").await, newest(&listed));
    assert_eq!(catalogue.latest("shop").await.as_deref(), Some("4.25.1"));
}

#[tokio::test]
async fn one_of_many_concurrent_publishes_of_a_version_succeeds() {
    let catalogue = Catalogue::with_shop().await;
    let answers = join_all((0..16).map(|n| {
        let mut body = version("1.0.0");
        body["stackDefinition"]["displayName"] = json!(format!("By {n}"));
        catalogue.try_publish("shop", body)
    }))
    .await;
    let (created, rejected): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((created.len(), rejected.len()), (1, 15));
    for answer in rejected {
        answer.expect_error(409, "ALREADY_EXISTS");
    }
    let stored = catalogue.get("/api/v1/stacks/shop/1.0.0").await.expect(200);
    assert_eq!(stored["id"], created[0].body["id"]);
    assert_eq!(catalogue.count("audit_log WHERE action = 'stack_version.published'").await, 1);
}

#[tokio::test]
async fn no_version_is_published_after_a_concurrent_deprecation() {
    for _ in 0..5 {
        let catalogue = Catalogue::with_shop().await;
        let publish = (0..8).map(|n| catalogue.try_publish("shop", version(&format!("1.{n}.0"))));
        let deprecate = catalogue.patch("/api/v1/stacks/shop", json!({ "status": "deprecated" }));
        let (published, deprecated) = tokio::join!(join_all(publish), deprecate);
        deprecated.expect(200);
        let created = published.iter().filter(|answer| answer.status == 201).count();
        assert!(published.iter().all(|answer| answer.status == 201 || answer.status == 422));
        assert_eq!(catalogue.versions("shop").await.len(), created);
        // Outbox events get their numbers under the lock of the template, so an accepted publish has a lower number.
        let late = "outbox d JOIN outbox p ON p.seq > d.seq AND p.type = 'stack_version.published' \
                    WHERE d.type = 'stack_template.deprecated'";
        assert_eq!(catalogue.count(late).await, 0);
    }
}

#[tokio::test]
async fn one_of_many_concurrent_creations_of_a_template_succeeds() {
    let catalogue = Catalogue::start().await;
    let answers =
        join_all((0..16).map(|_| catalogue.post("/api/v1/stacks", crate::catalogue::template("shop")))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for answer in answers.into_iter().filter(|answer| answer.status != 201) {
        answer.expect_error(409, "ALREADY_EXISTS");
    }
}
