//! Properties of every list, tested with platforms and entities.

use serde_json::{Value, json};

use crate::world::{World, ids};

/// Returns the ids on all pages of a list, and the sizes of the pages.
async fn all_pages(world: &World, path: &str, limit: usize) -> (Vec<String>, Vec<usize>) {
    let (mut found, mut sizes, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = world.get(&format!("{path}?limit={limit}{cursor}")).await.expect(200);
        sizes.push(ids(&page).len());
        found.extend(ids(&page));
        let more = page["pagination"]["hasMore"].as_bool().unwrap();
        assert_eq!(more, page["pagination"]["nextCursor"].is_string());
        if !more {
            return (found, sizes);
        }
        cursor = format!("&cursor={}", page["pagination"]["nextCursor"].as_str().unwrap());
    }
}

#[tokio::test]
async fn pages_are_complete_and_newest_first() {
    let world = World::start().await;
    let mut created = Vec::new();
    for n in 0..7 {
        created.push(world.platform(&format!("p{n}")).await);
    }
    // With equal times, the id decides the order, and page boundaries neither drop nor repeat an object.
    world.sql("UPDATE platforms SET created_at = date_trunc('day', created_at) WHERE slug <> 'p6'").await;
    let mut expected = created[..6].to_vec();
    expected.sort_by(|a, b| b.cmp(a));
    expected.insert(0, created[6].clone());
    let (found, sizes) = all_pages(&world, "/api/v1/platforms", 3).await;
    assert_eq!((found, sizes), (expected.clone(), vec![3, 3, 1]));
    assert_eq!(all_pages(&world, "/api/v1/platforms", 7).await, (expected, vec![7]));
}

#[tokio::test]
async fn inserts_and_deletes_do_not_shift_pages() {
    let world = World::start().await;
    let mut created = Vec::new();
    for n in 0..4 {
        created.push(world.platform(&format!("p{n}")).await);
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let first = world.get("/api/v1/platforms?limit=2").await.expect(200);
    assert_eq!(ids(&first), [created[3].clone(), created[2].clone()]);
    world.delete(&format!("/api/v1/platforms/{}", created[2])).await.expect(200);
    world.platform("new").await;
    let cursor = first["pagination"]["nextCursor"].as_str().unwrap();
    let second = world.get(&format!("/api/v1/platforms?limit=2&cursor={cursor}")).await.expect(200);
    assert_eq!(ids(&second), [created[1].clone(), created[0].clone()]);
    assert_eq!(second["pagination"]["hasMore"], false);
}

#[tokio::test]
async fn limit_is_validated_and_capped() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    world
        .sql(&format!(
            "INSERT INTO entities SELECT 'e' || lpad(n::text, 9, '0'), '{platform}', NULL, 'tenant', 'E', 'e-' || n, 'active', now(), now(), NULL, 1, '{{}}' \
             FROM generate_series(1, 120) n"
        ))
        .await;
    let path = format!("/api/v1/platforms/{platform}/entities");
    for (query, size) in [
        ("", 50),
        ("?limit=1", 1),
        ("?limit=100", 100),
        ("?limit=101", 100),
        ("?limit=99999999999999999999", 100),
    ] {
        assert_eq!(ids(&world.get(&format!("{path}{query}")).await.expect(200)).len(), size, "{query}");
    }
    for bad in ["0", "-1", "1.5", "ten", "", "%00"] {
        let answer = world.get(&format!("{path}?limit={bad}")).await;
        assert_eq!(crate::world::faults(answer), ["limit"], "{bad}");
    }
}

#[tokio::test]
async fn cursor_of_a_different_list_or_filter_is_rejected() {
    let world = World::start().await;
    let (one, two) = (world.platform("a").await, world.platform("b").await);
    for platform in [&one, &two] {
        for n in 0..2 {
            world.tenant(platform, &format!("t{n}")).await;
        }
    }
    let entities = |platform: &str| format!("/api/v1/platforms/{platform}/entities");
    let page = world.get(&format!("{}?limit=1", entities(&one))).await.expect(200);
    let cursor = page["pagination"]["nextCursor"].as_str().unwrap().to_owned();
    world.get(&format!("{}?limit=1&cursor={cursor}", entities(&one))).await.expect(200);
    for path in [
        format!("{}?cursor={cursor}", entities(&two)),
        format!("{}?type=tenant&cursor={cursor}", entities(&one)),
        format!("/api/v1/platforms?cursor={cursor}"),
        "/api/v1/platforms?cursor=".to_owned(),
        "/api/v1/platforms?cursor=abc".to_owned(),
        "/api/v1/platforms?cursor=%F0%9F%A6%80".to_owned(),
    ] {
        world.get(&path).await.expect_error(400, "INVALID_CURSOR");
    }
}

#[tokio::test]
async fn list_totals_are_exact() {
    let world = World::start().await;
    let created = futures_util::future::join_all((0..20).map(|n| {
        let world = &world;
        async move { world.platform(&format!("p{n}")).await }
    }))
    .await;
    let total =
        async || world.get("/api/v1/platforms?limit=1").await.expect(200)["pagination"]["total"].clone();
    assert_eq!(total().await, json!(20));
    for id in &created[..5] {
        world.delete(&format!("/api/v1/platforms/{id}")).await.expect(200);
    }
    world
        .post("/api/v1/platforms", json!({ "name": "A", "slug": "p19" }))
        .await
        .expect_error(409, "ALREADY_EXISTS");
    assert_eq!(total().await, json!(15));
}

#[tokio::test]
async fn unknown_objects_get_404() {
    let world = World::start().await;
    let id = world.platform("a").await;
    for path in [
        "/api/v1/nothing",
        "/api/v1/platforms/aaaaaaaaaa",
        "/api/v1/platforms/NO",
        "/",
        "/api/v1/resources/nothing",
    ] {
        world.get(path).await.expect_error(404, "NOT_FOUND");
    }
    for (path, allowed) in [
        ("/api/v1/platforms".to_owned(), json!(["GET", "HEAD", "OPTIONS", "POST"])),
        (format!("/api/v1/platforms/{id}"), json!(["GET", "HEAD", "OPTIONS", "PATCH", "DELETE"])),
        (format!("/api/v1/resources/platforms/{id}/resources"), json!(["GET", "HEAD", "OPTIONS"])),
    ] {
        let answer = world.send(reqwest::Method::PUT, &path, &Value::Null, &[]).await;
        let allow = answer.header("allow").unwrap().to_owned();
        assert_eq!(answer.expect_error(405, "METHOD_NOT_ALLOWED")["allowed"], allowed, "{path}");
        assert_eq!(
            allow,
            allowed
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one.as_str().unwrap())
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
}
