//! Templates that depend on templates.

use crate::catalogue::{Catalogue, depending, fault_paths};

async fn with(names: &[&str]) -> Catalogue {
    let catalogue = Catalogue::start().await;
    for name in names {
        catalogue.create(name).await;
    }
    catalogue
}

#[tokio::test]
async fn a_circle_is_refused_at_the_dependency_that_closes_it() {
    let catalogue = with(&["a", "b", "c", "d"]).await;
    catalogue.try_publish("a", depending("1.0.0", &["b"])).await.expect(201);
    catalogue.try_publish("b", depending("1.0.0", &["c", "d"])).await.expect(201);
    let refused = catalogue.try_publish("c", depending("1.0.0", &["d", "a", "c", "b"])).await;
    let expected = [1, 2, 3].map(|place| format!("/stackDefinition/dependsOn/{place}/template"));
    assert_eq!(fault_paths(refused), expected);
    assert!(catalogue.versions("c").await.is_empty());
}

#[tokio::test]
async fn a_template_may_be_reached_by_two_ways() {
    let catalogue = with(&["top", "left", "right", "bottom"]).await;
    catalogue.try_publish("bottom", depending("1.0.0", &[])).await.expect(201);
    catalogue.try_publish("left", depending("1.0.0", &["bottom"])).await.expect(201);
    catalogue.try_publish("right", depending("1.0.0", &["bottom", "left"])).await.expect(201);
    catalogue.try_publish("top", depending("1.0.0", &["left", "right", "of-elsewhere"])).await.expect(201);
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
