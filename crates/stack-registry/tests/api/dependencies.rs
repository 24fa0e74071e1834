//! Templates that depend on templates.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::catalogue::{Catalogue, depending, fault_paths, version};

/// Templates that have a version 0.1.0 and depend on nothing.
async fn with(names: &[&str]) -> Catalogue {
    let catalogue = Catalogue::start().await;
    for name in names {
        catalogue.create(name).await;
        catalogue.publish(name, "0.1.0").await;
    }
    catalogue
}

/// A version that depends on one template.
fn on(template: &str, range: &str) -> Value {
    let mut body = version("1.0.0");
    body["stackDefinition"]["dependsOn"] = json!([{ "template": template, "versionRange": range }]);
    body
}

#[tokio::test]
async fn what_a_version_depends_on_is_there() {
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
        let refused = catalogue.try_publish("top", on(template, range)).await;
        assert_eq!(
            fault_paths(refused),
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
    let refused = catalogue.try_publish("top", all).await.expect_error(400, "VALIDATION_ERROR");
    let told: Vec<&str> = refused["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["message"].as_str().unwrap())
        .collect();
    let range = "no active version of 'base' lies in it: the newest is 1.2.0";
    assert_eq!(told, ["is not a known template", range]);
    assert_eq!(catalogue.versions("top").await.len(), 1);
    for (n, range) in ["^1", ">=1.2, <2", "=2.0.0-rc.1", "0.1"].into_iter().enumerate() {
        let mut body = on("base", range);
        body["version"] = json!(format!("1.{n}.0"));
        catalogue.try_publish("top", body).await.expect(201);
    }
}

#[tokio::test]
async fn a_circle_is_refused_at_the_dependency_that_closes_it() {
    let catalogue = with(&["a", "b", "c", "d"]).await;
    catalogue.try_publish("a", depending("1.0.0", &["b"])).await.expect(201);
    catalogue.try_publish("b", depending("1.0.0", &["c", "d"])).await.expect(201);
    let refused = catalogue.try_publish("c", depending("1.0.0", &["d", "a", "c", "b"])).await;
    let expected = [1, 2, 3].map(|place| format!("/stackDefinition/dependsOn/{place}/template"));
    assert_eq!(fault_paths(refused), expected);
    assert_eq!(catalogue.versions("c").await.len(), 1);
}

#[tokio::test]
async fn a_template_may_be_reached_by_two_ways() {
    let catalogue = with(&["top", "left", "right", "bottom"]).await;
    catalogue.try_publish("bottom", depending("1.0.0", &[])).await.expect(201);
    catalogue.try_publish("left", depending("1.0.0", &["bottom"])).await.expect(201);
    catalogue.try_publish("right", depending("1.0.0", &["bottom", "left"])).await.expect(201);
    catalogue.try_publish("top", depending("1.0.0", &["left", "right"])).await.expect(201);
}

#[tokio::test]
async fn only_active_versions_hold_an_edge() {
    let catalogue = with(&["a", "b"]).await;
    catalogue.try_publish("a", depending("1.0.0", &["b"])).await.expect(201);
    catalogue.try_publish("a", depending("2.0.0", &[])).await.expect(201);
    fault_paths(catalogue.try_publish("b", depending("1.0.0", &["a"])).await);
    catalogue.deprecate("a", "1.0.0").await;
    catalogue.try_publish("b", depending("1.0.0", &["a"])).await.expect(201);
}

#[tokio::test]
async fn a_circle_that_others_made_does_not_hold_up_the_search() {
    let catalogue = with(&["a", "b", "c"]).await;
    catalogue.try_publish("a", depending("1.0.0", &["b"])).await.expect(201);
    // Behind the back of the service: b leads back to a, which it would refuse.
    let sql = "INSERT INTO stack_versions SELECT gen_random_uuid(), id, '1.0.0', '', true, '{}', '{a}', '1.0.0', 'active', now(), now() \
               FROM stack_templates WHERE name = 'b'";
    diesel_async::RunQueryDsl::execute(diesel::sql_query(sql), &mut catalogue.db.connect().await)
        .await
        .unwrap();
    catalogue.try_publish("c", depending("1.0.0", &["a"])).await.expect(201);
}

#[tokio::test]
async fn of_two_that_would_close_a_circle_together_one_is_refused() {
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
async fn of_many_that_would_close_a_circle_together_one_is_refused() {
    let names: Vec<String> = (0..8).map(|n| format!("t{n}")).collect();
    let catalogue = with(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for round in 1..=4 {
        let version = format!("{round}.0.0");
        let next = |n: usize| [names[(n + 1) % names.len()].as_str()];
        let publish = names
            .iter()
            .enumerate()
            .map(|(n, name)| catalogue.try_publish(name, depending(&version, &next(n))));
        let (made, refused): (Vec<_>, Vec<_>) =
            join_all(publish).await.into_iter().zip(&names).partition(|(answer, _)| answer.status == 201);
        assert_eq!((made.len(), refused.len()), (7, 1));
        for (answer, _) in refused {
            assert_eq!(fault_paths(answer), ["/stackDefinition/dependsOn/0/template"]);
        }
        for (_, name) in made {
            catalogue.deprecate(name, &version).await;
        }
    }
}
