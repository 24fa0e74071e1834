//! Dependencies between templates.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::catalogue::{Catalogue, depending, fault_paths, version};

/// Templates with a version 0.1.0 without dependencies.
async fn with(names: &[&str]) -> Catalogue {
    let catalogue = Catalogue::start().await;
    for name in names {
        catalogue.create(name).await;
        catalogue.publish(name, "0.1.0").await;
    }
    catalogue
}

/// Version that depends on one template.
fn on(template: &str, range: &str) -> Value {
    let mut body = version("1.0.0");
    body["stackDefinition"]["dependsOn"] = json!([{ "template": template, "versionRange": range }]);
    body
}

#[tokio::test]
async fn dependency_must_match_an_active_version() {
    let catalogue = with(&["top", "base", "gone"]).await;
    catalogue.create("empty").await;
    for published in ["1.2.0", "2.0.0-rc.1"] {
        catalogue.publish("base", published).await;
    }
    catalogue.publish("base", "1.9.0").await;
    catalogue.deprecate("base", "1.9.0").await;
    catalogue.patch("/api/v1/stacks/gone", json!({ "status": "deprecated" })).await.expect(200);
    for (template, range, field) in [
        ("nowhere", "*", "template"),
        ("gone", "*", "template"),
        ("empty", "*", "versionRange"),
        ("base", "^1.3", "versionRange"),
        ("base", "^2", "versionRange"),
        ("top", "*", "template"),
    ] {
        let rejected = catalogue.try_publish("top", on(template, range)).await;
        assert_eq!(
            fault_paths(rejected),
            [format!("/stackDefinition/dependsOn/0/{field}")],
            "{template} {range}"
        );
    }
    let mut all = on("nowhere", "*");
    all["stackDefinition"]["dependsOn"] = json!([
        { "template": "nowhere", "versionRange": "*" },
        { "template": "base", "versionRange": "^1" },
        { "template": "base", "versionRange": "^3" },
    ]);
    let rejected = catalogue.try_publish("top", all).await.expect_error(400, "VALIDATION_ERROR");
    let messages: Vec<&str> = rejected["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["message"].as_str().unwrap())
        .collect();
    let range = "must contain an active version of 'base': the newest is 1.2.0";
    assert_eq!(messages, ["is not a known template", range]);
    assert_eq!(catalogue.versions("top").await.len(), 1);
    for (n, range) in ["^1", ">=1.2, <2", "=2.0.0-rc.1", "0.1"].into_iter().enumerate() {
        let mut body = on("base", range);
        body["version"] = json!(format!("1.{n}.0"));
        catalogue.try_publish("top", body).await.expect(201);
    }
}

#[tokio::test]
async fn cycle_is_a_fault_of_the_dependency_that_closes_it() {
    let catalogue = with(&["a", "b", "c", "d"]).await;
    catalogue.try_publish("a", depending("1.0.0", &["b"])).await.expect(201);
    catalogue.try_publish("b", depending("1.0.0", &["c", "d"])).await.expect(201);
    let rejected = catalogue.try_publish("c", depending("1.0.0", &["d", "a", "c", "b"])).await;
    let expected = [1, 2, 3].map(|index| format!("/stackDefinition/dependsOn/{index}/template"));
    assert_eq!(fault_paths(rejected), expected);
    assert_eq!(catalogue.versions("c").await.len(), 1);
}

#[tokio::test]
async fn template_can_be_reached_by_two_paths() {
    let catalogue = with(&["top", "left", "right", "bottom"]).await;
    catalogue.try_publish("bottom", depending("1.0.0", &[])).await.expect(201);
    catalogue.try_publish("left", depending("1.0.0", &["bottom"])).await.expect(201);
    catalogue.try_publish("right", depending("1.0.0", &["bottom", "left"])).await.expect(201);
    catalogue.try_publish("top", depending("1.0.0", &["left", "right"])).await.expect(201);
}

#[tokio::test]
async fn deprecated_versions_add_no_dependency() {
    let catalogue = with(&["a", "b"]).await;
    catalogue.try_publish("a", depending("1.0.0", &["b"])).await.expect(201);
    catalogue.try_publish("a", depending("2.0.0", &[])).await.expect(201);
    fault_paths(catalogue.try_publish("b", depending("1.0.0", &["a"])).await);
    catalogue.deprecate("a", "1.0.0").await;
    catalogue.try_publish("b", depending("1.0.0", &["a"])).await.expect(201);
}

#[tokio::test]
async fn existing_cycle_does_not_block_the_search() {
    let catalogue = with(&["a", "b", "c"]).await;
    catalogue.try_publish("a", depending("1.0.0", &["b"])).await.expect(201);
    // Inserted without the service, which would reject the cycle from b to a.
    let sql = "INSERT INTO stack_versions SELECT gen_random_uuid(), id, '1.0.0', '', true, '{}', '{a}', '1.0.0', 'active', now(), now() \
               FROM stack_templates WHERE name = 'b'";
    diesel_async::RunQueryDsl::execute(diesel::sql_query(sql), &mut catalogue.db.connect().await)
        .await
        .unwrap();
    catalogue.try_publish("c", depending("1.0.0", &["a"])).await.expect(201);
}

#[tokio::test]
async fn one_of_two_concurrent_publishes_that_close_a_cycle_is_rejected() {
    let catalogue = with(&["a", "b"]).await;
    for round in 1..=10 {
        let version = format!("{round}.0.0");
        let (one, other) = tokio::join!(
            catalogue.try_publish("a", depending(&version, &["b"])),
            catalogue.try_publish("b", depending(&version, &["a"])),
        );
        let (one, other) = (one.status.as_u16(), other.status.as_u16());
        let winner = match (one, other) {
            (201, 400) => "a",
            (400, 201) => "b",
            both => panic!("{both:?}"),
        };
        catalogue.deprecate(winner, &version).await;
    }
}

#[tokio::test]
async fn one_of_many_concurrent_publishes_that_close_a_cycle_is_rejected() {
    let names: Vec<String> = (0..8).map(|n| format!("t{n}")).collect();
    let catalogue = with(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for round in 1..=4 {
        let version = format!("{round}.0.0");
        let next = |n: usize| [names[(n + 1) % names.len()].as_str()];
        let publish = names
            .iter()
            .enumerate()
            .map(|(n, name)| catalogue.try_publish(name, depending(&version, &next(n))));
        let (created, rejected): (Vec<_>, Vec<_>) =
            join_all(publish).await.into_iter().zip(&names).partition(|(answer, _)| answer.status == 201);
        assert_eq!((created.len(), rejected.len()), (7, 1));
        for (answer, _) in rejected {
            assert_eq!(fault_paths(answer), ["/stackDefinition/dependsOn/0/template"]);
        }
        for (_, name) in created {
            catalogue.deprecate(name, &version).await;
        }
    }
}
