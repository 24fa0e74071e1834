//! smoke
use registry::Registry;
use testkit::TestService;
#[tokio::test]
async fn smoke() {
    let s = TestService::start::<Registry>().await;
    let p = s.post("/api/v1/platforms", serde_json::json!({"name": "a", "slug": "a"})).await.expect(201);
    println!("{p}");
    println!("{:?}", s.get("/api/v1/platforms?limit=1").await);
    println!("{:?}", s.get("/api/v1/platforms?limit=x").await);
    println!(
        "{:?}",
        s.get(&format!("/api/v1/platforms/{}?includeDeleted=true", p["id"].as_str().unwrap())).await
    );
    println!(
        "{:?}",
        s.post("/api/v1/platforms", serde_json::json!({"name": "a\u{0}", "slug": "b", "repoName": "x\u{0}"}))
            .await
    );
    println!(
        "{:?}",
        s.post("/api/v1/platforms", serde_json::json!({"name": "ab", "slug": "b", "repoName": "x\u{0}"}))
            .await
    );
}
