//! Search of templates.

use diesel_async::SimpleAsyncConnection;
use serde_json::{Value, json};
use stack_registry::StackRegistry;
use testkit::{TestDb, TestService, tap::Tap};

use crate::catalogue::{Catalogue, fault_paths, template};

async fn filled() -> Catalogue {
    let catalogue = Catalogue::start().await;
    for (name, display, description, domain) in [
        ("storefront", "Online Shop", "Catalog, cart & checkout", Some("commerce")),
        ("help-desk", "Helpdesk", "Tickets (by mail/chat) and their 3rd-party answers", Some("support")),
        ("identity", "Identity", "Accounts and sessions. \u{dc}bersicht", None),
    ] {
        let mut body = template(name);
        body["displayName"] = json!(display);
        body["description"] = json!(description);
        if let Some(domain) = domain {
            body["domain"] = json!(domain);
        }
        catalogue.post("/api/v1/stacks", body).await.expect(201);
    }
    catalogue
}

#[tokio::test]
async fn search_matches_prefixes_of_words() {
    let catalogue = filled().await;
    for (search, found) in [
        ("shop", &["storefront"][..]),
        ("SHO", &["storefront"]),
        ("store", &["storefront"]),
        ("front", &[]),
        ("c", &["help-desk", "storefront"]),
        ("check%20cart", &["storefront"]),
        ("cart%20tickets", &[]),
        ("desk", &["help-desk"]),
        ("help-desk", &["help-desk"]),
        ("chat", &["help-desk"]),
        ("mail%2Fchat", &["help-desk"]),
        ("3r", &["help-desk"]),
        ("sessions.", &["identity"]),
        ("%C3%BCber", &["identity"]),
        ("%27%29%20%7C%20%21s", &["identity", "storefront"]),
    ] {
        assert_eq!(catalogue.names(&format!("?search={search}")).await, found, "{search}");
    }
    let rename = json!({ "displayName": "Mall" });
    catalogue.patch("/api/v1/stacks/storefront", rename).await.expect(200);
    assert_eq!(catalogue.names("?search=mall").await, ["storefront"]);
    assert_eq!(catalogue.names("?search=shop").await, [""; 0]);
}

#[tokio::test]
async fn filters_match_domain_and_labels_of_the_latest_version() {
    let catalogue = filled().await;
    assert_eq!(catalogue.names("?domain=commerce").await, ["storefront"]);
    assert_eq!(catalogue.names("?domain=comm").await, [""; 0]);
    catalogue.label("storefront", "1.0.0", json!({ "tier": "gold", "zone/a": "x=y" })).await;
    catalogue.label("help-desk", "1.0.0", json!({ "tier": "" })).await;
    for (query, found) in [
        ("?label=tier", &["help-desk", "storefront"][..]),
        ("?label=tier=gold", &["storefront"]),
        ("?label=tier=", &["help-desk"]),
        ("?label=zone/a=x%3Dy", &["storefront"]),
        ("?label=tie", &[]),
        ("?label=tier=silver", &[]),
        ("?label=tier&domain=support", &["help-desk"]),
        ("?label=tier&domain=support&search=shop", &[]),
        ("?label=tier&domain=commerce&search=shop", &["storefront"]),
    ] {
        assert_eq!(catalogue.names(query).await, found, "{query}");
    }
    // Neither a pre-release nor an older version is the latest.
    catalogue.label("storefront", "2.0.0-rc.1", json!({ "tier": "silver" })).await;
    catalogue.label("storefront", "0.9.0", json!({ "tier": "silver" })).await;
    assert_eq!(catalogue.names("?label=tier=silver").await, [""; 0]);
    catalogue.label("storefront", "2.0.0", json!({ "tier": "silver" })).await;
    assert_eq!(catalogue.names("?label=tier=silver").await, ["storefront"]);
    assert_eq!(catalogue.names("?label=zone/a").await, [""; 0]);
    catalogue.deprecate("storefront", "2.0.0").await;
    assert_eq!(catalogue.names("?label=zone/a").await, ["storefront"]);
    for version in ["1.0.0", "0.9.0", "2.0.0-rc.1"] {
        catalogue.deprecate("storefront", version).await;
    }
    assert_eq!(catalogue.names("?label=tier").await, ["help-desk"]);
    catalogue.patch("/api/v1/stacks/help-desk", json!({ "status": "deprecated" })).await.expect(200);
    assert_eq!(catalogue.names("?label=tier").await, [""; 0], "the list contains only active templates");
    catalogue.patch("/api/v1/stacks/help-desk", json!({ "status": "active" })).await.expect(200);
    assert_eq!(catalogue.names("?label=tier").await, ["help-desk"]);
}

#[tokio::test]
async fn invalid_filters_are_reported_by_parameter() {
    let catalogue = filled().await;
    let paths = async |query: &str| fault_paths(catalogue.get(&format!("/api/v1/stacks?{query}")).await);
    assert_eq!(paths("search=&domain=&label=").await, ["search", "domain", "label"]);
    assert_eq!(paths("search=%2B").await, ["search"]);
    assert_eq!(paths(&format!("search={}", "a+".repeat(17))).await, ["search"]);
    assert_eq!(paths(&format!("domain={}", "a".repeat(257))).await, ["domain"]);
    assert_eq!(paths("label=%3Dgold").await, ["label"]);
    assert_eq!(paths("search=a%00").await, ["search"]);
    assert_eq!(paths("search=a&search=b").await.len(), 1);
    assert_eq!(catalogue.names("?colour=red").await.len(), 3, "unknown parameters are ignored");
}

/// Number of templates in the catalogue.
const ROWS: i64 = 50_000;

#[tokio::test(flavor = "multi_thread")]
async fn search_never_scans_the_whole_catalogue() {
    let db = TestDb::of::<StackRegistry>().await;
    let fill = format!(
        "INSERT INTO stack_templates SELECT gen_random_uuid(), 't' || n, 'Template ' || n, 'Number ' || n, NULL,              'domain' || n % 1000, NULL, 'active', now() - n * interval '1 second', now(),              jsonb_build_object('n', n::text, 'label' || n % 1000, '') FROM generate_series(1, {ROWS}) n; ANALYZE"
    );
    db.connect_as_superuser().await.batch_execute(&fill).await.unwrap();
    for mode in ["force_custom_plan", "force_generic_plan"] {
        db.set("plan_cache_mode", mode).await;
        let (tap, url) = Tap::on(&db).await;
        let set = json!({ "database": { "url": url, "recount_every": "1000days" } });
        let service = TestService::start_with::<StackRegistry>(set).await;
        for (query, found, index) in [
            ("search=t77", 111, "stack_templates_words"),
            ("search=number%20777", 11, "stack_templates_words"),
            ("domain=domain7", 50, "stack_templates_newest_by_domain"),
            ("label=label7", 50, "stack_templates_labels"),
            ("label=n%3D7777", 1, "stack_templates_labels"),
        ] {
            tap.take();
            let listed: Value = service.get(&format!("/api/v1/stacks?{query}")).await.expect(200);
            assert_eq!(listed["total"], found, "{query}");
            // Background workers run statements as well.
            let mut plans = tap.take();
            plans.retain(|plan| plan.statement.contains("stack_templates"));
            let [plan] = plans.as_slice() else { panic!("{query}: {plans:?}") };
            assert_eq!(plan.indexes(), [index], "{mode} {query}: {}", plan.root);
            let kinds: Vec<&Value> = plan.nodes().iter().map(|node| &node["Node Type"]).collect();
            assert!(!kinds.contains(&&json!("Seq Scan")), "{mode} {query}: {}", plan.root);
        }
        service.stop().await;
    }
}
