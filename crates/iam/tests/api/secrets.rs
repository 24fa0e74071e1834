//! Only the response to the creation of a key contains its secret.

use diesel::{QueryableByName, sql_query, sql_types::Text};
use diesel_async::RunQueryDsl;
use domain::{ApiKey, Role};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{KEYS, World, body, text};

/// SHA-256 of `once`.
const DIGEST_OF_ONCE: &str = "200651a8b2d5912f692db89468a7d47d86a3ed6844f48f1b15f2be1d9c9a7e5e";

/// Content of the whole database as text.
async fn dump(world: &World) -> String {
    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = Text)]
        line: String,
    }
    let mut owner = world.db.connect_as_owner().await;
    let tables: Vec<Line> =
        sql_query("SELECT tablename::text AS line FROM pg_tables WHERE schemaname = 'public'")
            .load(&mut owner)
            .await
            .unwrap();
    assert!(tables.len() >= 7);
    let mut all = String::new();
    for table in tables {
        let rows: Vec<Line> = sql_query(format!("SELECT t::text AS line FROM {} t", table.line))
            .load(&mut owner)
            .await
            .unwrap();
        all.extend(rows.iter().map(|row| row.line.as_str()));
    }
    all
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn database_and_other_responses_do_not_contain_the_secret() {
    let world = World::start().await;
    let new = body(Role::Viewer, &world.all_of_own(), json!({ "name": "ci" }));
    let once = [("Idempotency-Key", "once")];
    let created = world.send(Method::POST, KEYS, &new, &once).await.expect(201);
    let key = ApiKey::parse(text(&created, "key")).unwrap();
    let secret = text(&created, "key").rsplit('_').next().unwrap().to_owned();
    let digest = hex(&key.secret_digest());
    crate::world::resolve(&world, text(&created, "key")).await.unwrap();
    let again = world.send(Method::POST, KEYS, &new, &once).await.expect(201);
    world.delete(&format!("{KEYS}/{}", text(&created, "id"))).await.expect(200);
    let mut responses: Vec<Value> = vec![again];
    for path in [KEYS, &format!("{KEYS}?includeRevoked=true"), "/api/v1/iam/audit"] {
        responses.push(world.get(path).await.expect(200));
    }
    for response in responses {
        let response = response.to_string();
        assert!(response.contains(text(&created, "id")) || response.contains("\"data\":[]"), "{response}");
        assert!(!response.contains(&secret) && !response.contains(&digest), "{response}");
    }
    let all = dump(&world).await;
    assert!(all.contains(text(&created, "id")) && all.contains("key.created"));
    assert!(all.contains(DIGEST_OF_ONCE), "the digest of the idempotency key");
    assert!(!all.contains(&secret));
    // Only the column for the digest contains it.
    assert_eq!(all.matches(&digest).count(), 1);
}
