//! The benchmark sends the registry's statements to PostgreSQL directly. Its ratios are valid only if both are the
//! same.

use std::{fs, path::Path};

use regex::Regex;
use registry::Registry;
use serde_json::json;
use testkit::{TestDb, tap::Tap};

use crate::world::World;

/// Removes from a statement what varies between calls: values in any notation, and their types.
fn shape(statement: &str) -> String {
    let mut shape = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    for (pattern, one) in [
        (r"--.*", ""),
        (r"'[^']*'", "?"),
        (r"::[a-z]+(?:\[\])?", ""),
        (r"\$\d+|\B:[a-z]+\b", "?"),
        (r"\b(?:now|gen_random_uuid)\(\)", "?"),
        (r"\b(?:NULL|TRUE|FALSE|true|false)\b", "?"),
        (r"\bIS (NOT )?\?", "IS ${1}NULL"),
        (r"to_timestamp\([^)]*\)", "?"),
        (r"\b\d+\b", "?"),
        (r"\? \|\| \?", "?"),
        (r"ARRAY\[\?(?:, \?)*\]", "?"),
        (r";$", ""),
    ] {
        shape = Regex::new(pattern).unwrap().replace_all(&shape, one).trim().to_owned();
    }
    shape
}

/// Returns the shapes of the statements that pgbench sends for an operation.
fn benchmark_statements(operation: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/sql");
    let text = fs::read_to_string(folder.join(format!("{operation}.sql"))).unwrap();
    let sent = |line: &&str| !line.starts_with('\\') && !line.starts_with("--");
    text.lines().filter(sent).map(shape).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn benchmark_sends_the_statements_of_the_registry() {
    let db = TestDb::of::<Registry>().await;
    let (tap, url) = Tap::on(&db).await;
    let world = World::on(db, json!({ "database": { "url": url, "recount_every": "1000days" } })).await;
    let platform = world.platform("shop").await;
    world.platform("next").await;
    let tenant = world.tenant(&platform, "one").await;
    let first = world.get("/api/v1/platforms?limit=1").await.expect(200);
    let cursor = first["pagination"]["nextCursor"].as_str().unwrap();
    for (operation, path) in [
        ("get", format!("/api/v1/platforms/{platform}")),
        ("page", format!("/api/v1/platforms?limit=50&cursor={cursor}")),
        ("manifest", format!("/api/v1/platforms/{platform}/entities/{tenant}/manifest")),
    ] {
        tap.take();
        world.get(&path).await.expect(200);
        assert_same(&tap, operation);
    }
    let key = [("Idempotency-Key", "once")];
    let body = json!({ "name": "Bench", "slug": "bench", "tier": "starter" });
    tap.take();
    world.post_with("/api/v1/platforms", body, &key).await.expect(201);
    assert_same(&tap, "create");
}

/// Compares only the statements on the tables themselves: PostgreSQL adds the same internal ones for pgbench.
#[track_caller]
fn assert_same(tap: &Tap, operation: &str) {
    let mut sent: Vec<String> = tap.take().iter().map(|plan| shape(&plan.statement)).collect();
    // PostgreSQL checks foreign keys with its own statements.
    sent.retain(|statement| !statement.starts_with("SELECT ? FROM ONLY"));
    let mut benchmark = benchmark_statements(operation);
    sent.sort();
    benchmark.sort();
    assert_eq!(sent, benchmark, "{operation}");
}

#[test]
fn statement_shape_has_no_values() {
    let one = shape("SELECT a.b FROM a WHERE a.c = $1 AND d IS NULL  LIMIT $2");
    assert_eq!(one, shape("SELECT a.b FROM a WHERE a.c = 'x' AND d IS NULL LIMIT 51;"));
    assert_ne!(one, shape("SELECT a.b FROM a WHERE a.e = 'x' AND d IS NULL LIMIT 51;"));
    assert_ne!(one, shape("SELECT a.b FROM a WHERE a.c = 'x' AND d IS NOT NULL LIMIT 51;"));
}
