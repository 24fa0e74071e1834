//! Query plans of all statements of the registry: none may scan a growing table.
//!
//! The tests run every operation on a database of a million rows, through a [`Tap`] that captures the plan of every
//! statement. Each statement is planned with its values and as a generic plan, with outdated and with fresh statistics.

use std::{collections::BTreeMap, fmt::Write};

use diesel::{QueryableByName, sql_query, sql_types as t};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use registry::Registry;
use reqwest::Method;
use rpc::registry as r;
use serde_json::{Value, json};
use testkit::{
    Response, TestDb,
    tap::{Plan, Tap},
};

use crate::{
    every_operation::{Fixture, templates},
    operation::{Operation, operations},
    world::{World, ids},
};

/// Number of rows per table.
const ROWS: i64 = 80_000;
/// Number of platforms that own the rows.
const PLATFORMS: i64 = 800;

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = t::Text)]
    table: String,
    #[diesel(sql_type = t::Text)]
    column: String,
    #[diesel(sql_type = t::Text)]
    kind: String,
    /// True if an index contains the column and no constraint restricts its values.
    #[diesel(sql_type = t::Bool)]
    free: bool,
}

/// Query for the writable columns of all tables.
const COLUMNS: &str = "\
    SELECT relname::text AS table, attname::text AS column, atttypid::regtype::text AS kind, \
        EXISTS (SELECT 1 FROM pg_index WHERE indrelid = r.oid AND attnum = ANY (indkey::int2[]) \
            AND NOT EXISTS (SELECT 1 FROM pg_constraint c \
                WHERE conrelid = r.oid AND contype = 'c' AND attnum = ANY (conkey) \
                AND (NOT indisunique OR pg_get_constraintdef(c.oid) LIKE '%ARRAY[%'))) AS free \
    FROM pg_class r JOIN pg_attribute a ON a.attrelid = r.oid AND attnum > 0 AND NOT attisdropped \
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> '__diesel_schema_migrations' \
        AND attgenerated = '' AND attidentity = '' \
    ORDER BY relname, attnum";

impl Column {
    /// SQL expression for the column in row `row_number`, based on the row `r`. Unique where an index requires it.
    fn value(&self) -> String {
        let Self { table: _, column, kind, free } = self;
        match (column.as_str(), kind.as_str(), free) {
            ("platform_id", ..) => format!("lpad((row_number % {PLATFORMS})::text, 10, '0')"),
            // Lists across all platforms decode this column, so it must contain valid values.
            ("hostname", ..) => "'h' || row_number || '.example'".to_owned(),
            (_, "uuid", true) => "lpad(to_hex(row_number), 32, '0')::uuid".to_owned(),
            (_, "text", true) => "lpad(row_number::text, 10, '0')".to_owned(),
            (_, "timestamp with time zone", true) => "now() - row_number * interval '1 second'".to_owned(),
            (_, "smallint", true) => "(row_number % 16)::smallint".to_owned(),
            _ => format!("r.{column}"),
        }
    }
}

/// Fills every table with copies of one of its rows, and returns the tables.
async fn fill(db: &TestDb) -> Vec<String> {
    let mut superuser = db.connect_as_superuser().await;
    let columns: Vec<Column> = sql_query(COLUMNS).load(&mut superuser).await.unwrap();
    let mut tables: BTreeMap<&str, Vec<&Column>> = BTreeMap::new();
    for column in &columns {
        tables.entry(&column.table).or_default().push(column);
    }
    // Skips foreign keys, because the referenced rows do not exist.
    let mut sql = "SET session_replication_role = replica;".to_owned();
    for (table, columns) in &tables {
        let names: Vec<&str> = columns.iter().map(|column| column.column.as_str()).collect();
        let values: Vec<String> = columns.iter().map(|column| column.value()).collect();
        write!(
            sql,
            "INSERT INTO {table} ({}) SELECT {} FROM (SELECT * FROM {table} LIMIT 1) r, generate_series(1, {ROWS}) row_number;",
            names.join(", "),
            values.join(", ")
        )
        .unwrap();
    }
    // Creating an index at once is faster than growing it.
    let indexes = plain_indexes(&mut superuser).await;
    let drop: Vec<String> = indexes.iter().map(|index| format!("DROP INDEX {};", index.name)).collect();
    let make: Vec<String> = indexes.iter().map(|index| format!("{};", index.sql)).collect();
    superuser.batch_execute(&format!("{}{sql}{}", drop.concat(), make.concat())).await.unwrap();
    for table in tables.keys() {
        let rows = number(&mut superuser, &format!("SELECT count(*) FROM {table}")).await;
        assert!(rows >= ROWS, "{table} has no row to copy; add one to the fixture");
    }
    tables.into_keys().map(str::to_owned).collect()
}

#[derive(QueryableByName)]
struct Index {
    #[diesel(sql_type = t::Text)]
    name: String,
    #[diesel(sql_type = t::Text)]
    sql: String,
}

/// Returns the indexes that do not belong to constraints.
async fn plain_indexes(c: &mut AsyncPgConnection) -> Vec<Index> {
    let sql = "SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS sql FROM pg_index i \
        JOIN pg_class r ON r.oid = i.indrelid WHERE r.relnamespace = 'public'::regnamespace \
        AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid)";
    sql_query(sql).load(c).await.unwrap()
}

async fn number(c: &mut AsyncPgConnection, sql: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = t::BigInt)]
        n: i64,
    }
    sql_query(format!("SELECT ({sql}) AS n")).get_result::<Row>(c).await.unwrap().n
}

/// Disables the automatic collection of statistics.
pub(crate) async fn keep_statistics(db: &TestDb) {
    let stop = "DO $$ DECLARE t regclass; BEGIN \
        FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP \
            EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = false)', t); \
        END LOOP; END $$";
    db.connect_as_superuser().await.batch_execute(stop).await.unwrap();
}

pub(crate) async fn analyze(db: &TestDb) {
    db.connect_as_superuser().await.batch_execute("ANALYZE").await.unwrap();
}

/// Returns a registry on `db` with a tapped connection, and the settings for further ones.
pub(crate) async fn tapped_registry(db: TestDb) -> (World, Tap, Value) {
    let (tap, url) = Tap::on(&db).await;
    // The recount of whole lists is not part of these tests.
    let mut set =
        json!({ "database": { "url": url, "recount_every": "1000days", "statement_timeout": "60s" } });
    runtime::config::merge(&mut set, templates().await);
    (World::on(db, set.clone()).await, tap, set)
}

/// Returns another registry on the same database, whose new connections use the current settings.
pub(crate) async fn replica_of(world: &World, set: &Value) -> World {
    world.replica(set.clone()).await
}

/// Runs every operation; writes are dry runs.
async fn dry_run_all(fixture: &Fixture, world: &World) {
    for Operation { method, path, body, .. } in operations() {
        let path = format!("/api/v1{}", fixture.fill(&path));
        let mark = if path.contains('?') { '&' } else { '?' };
        let path = if method == Method::GET { path } else { format!("{path}{mark}dryRun=true") };
        let answer = world.send(method.clone(), &path, &fixture.body(&body), &[]).await;
        assert!(succeeds_as_dry_run(&answer), "{method} {path} {}", answer.body);
    }
}

/// Runs some calls of services that no operation makes.
async fn call_all(fixture: &Fixture, world: &World) {
    let due = r::ClaimDomainsRequest { limit: 8, pause: 60_000 };
    world.call("provisioning", None, due, async |mut c, m| c.claim_domains(m).await).await.unwrap();
    let resources = r::ListResourcesRequest { platform_id: fixture.fill("{p}") };
    world.call("provisioning", None, resources, async |mut c, m| c.list_resources(m).await).await.unwrap();
    let usage = r::TemplateUsageRequest { template_id: "t-1".to_owned() };
    world.call("stack-registry", None, usage, async |mut c, m| c.template_usage(m).await).await.unwrap();
    let stack = r::ExplainStackRequest { platform_id: fixture.fill("{p}"), stack_id: fixture.fill("{gone}") };
    world.call("onboarding", None, stack, async |mut c, m| c.explain_stack(m).await).await.unwrap();
    let quota = r::CheckQuotaRequest { owner_user_id: "user:ada".to_owned(), tier: r::Tier::Starter.into() };
    world.call("onboarding", None, quota, async |mut c, m| c.check_quota(m).await).await.unwrap();
    let slug = r::CheckSlugRequest { slug: "p".to_owned() };
    world.call("onboarding", None, slug, async |mut c, m| c.check_slug(m).await).await.unwrap();
}

/// Not every operation succeeds as a dry run: a restore requires a suspension, for example.
fn succeeds_as_dry_run(answer: &Response) -> bool {
    answer.status.is_success() || answer.body.pointer("/error/code") == Some(&json!("INVALID_TRANSITION"))
}

/// Runs every operation twice under one key, so that the second response comes from the stored answer.
async fn repeat_all(fixture: &Fixture, world: &World) {
    for (n, Operation { method, path, body, .. }) in operations().into_iter().enumerate() {
        let (path, key) = (format!("/api/v1{}", fixture.fill(&path)), format!("key-{n}"));
        for _ in 0..2 {
            let headers = [("Idempotency-Key", key.as_str())];
            let answer = world.send(method.clone(), &path, &fixture.body(&body), &headers).await;
            assert!(answer.status.is_success(), "{method} {path} {}", answer.body);
        }
    }
}

/// Returns the plans that scan a table, or an index without a condition.
pub(crate) fn full_scans(plans: &[Plan], tables: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for plan in plans {
        for node in plan.nodes() {
            let kind = node["Node Type"].as_str().unwrap_or_default();
            let of = node["Relation Name"].as_str().unwrap_or_default();
            let grows = tables.iter().any(|table| table == of);
            if grows && kind == "Seq Scan" {
                found.push(format!("{of} scanned completely, filter {}: {}", node["Filter"], plan.statement));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn no_operation_scans_a_growing_table() {
    let db = TestDb::of::<Registry>().await;
    keep_statistics(&db).await;
    let (world, tap, set) = tapped_registry(db).await;
    let once = [("Idempotency-Key", "once")];
    world.post_with("/api/v1/platforms", json!({ "name": "K", "slug": "kept" }), &once).await.expect(201);
    let fixture = Fixture::with_world(world).await;
    let db = &fixture.world.db;
    analyze(db).await;
    let tables = fill(db).await;
    tap.take();
    let (mut bad, mut captured) = (Vec::new(), 0);
    for statistics in ["outdated", "fresh"] {
        if statistics == "fresh" {
            analyze(db).await;
        }
        for mode in ["force_custom_plan", "force_generic_plan"] {
            db.set("plan_cache_mode", mode).await;
            let world = replica_of(&fixture.world, &set).await;
            tap.take();
            dry_run_all(&fixture, &world).await;
            // A service reads all rows of a platform. If PostgreSQL estimates that these are all rows of the table, it
            // may scan the table.
            if statistics == "fresh" {
                call_all(&fixture, &world).await;
            }
            let plans = tap.take();
            captured += plans.len();
            bad.extend(
                full_scans(&plans, &tables).into_iter().map(|one| format!("{statistics}, {mode}: {one}")),
            );
        }
    }
    repeat_all(&fixture, &replica_of(&fixture.world, &set).await).await;
    let plans = tap.take();
    assert!(
        plans.iter().any(|plan| plan.statement.contains("idempotency_keys WHERE caller")),
        "replays are captured"
    );
    assert!(captured > 500, "{captured}");
    bad.extend(full_scans(&plans, &tables));
    assert!(bad.is_empty(), "{} statements:\n{}", bad.len(), bad.join("\n"));
}

/// Number of trees of a platform. Each is a chain to the deepest level with leaves at every node: 16 × 10 entities.
const TREES: i64 = 625;

/// Gives a platform 100,000 entities on 16 levels.
pub(crate) async fn create_trees(db: &TestDb, platform: &str) {
    let id = |tree: &str, level: &str, leaf: &str| {
        format!(
            "'t' || lpad({tree}::text, 5, '0') || lpad(({level})::text, 2, '0') || lpad({leaf}::text, 2, '0')"
        )
    };
    // Leaf 0 is the node of the chain, and the parent of all entities on the next level.
    let path = format!(
        "ARRAY(SELECT {} FROM generate_series(1, level - 1) above ORDER BY above)",
        id("tree", "above", "0")
    );
    let sql = format!(
        "INSERT INTO entities (id, platform_id, parent_id, type, name, slug, status, created_at, updated_at, deleted_at, depth, path) \
         SELECT {own}, '{platform}', CASE WHEN level > 1 THEN {parent} END, \
             CASE WHEN level = 1 THEN 'tenant' ELSE 'subtenant' END, 'E', {own}, 'active', now(), now(), NULL, level, {path} \
         FROM generate_series(1, {TREES}) tree, generate_series(1, 16) level, generate_series(0, 9) leaf",
        own = id("tree", "level", "leaf"),
        parent = id("tree", "level - 1", "0"),
    );
    let mut superuser = db.connect_as_superuser().await;
    superuser.batch_execute("SET session_replication_role = replica").await.unwrap();
    superuser.batch_execute(&sql).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn branch_of_a_hundred_thousand_entities_is_one_indexed_statement() {
    let db = TestDb::of::<Registry>().await;
    keep_statistics(&db).await;
    let (world, tap, set) = tapped_registry(db).await;
    let platform = world.platform("shop").await;
    world.tenant(&platform, "one").await;
    analyze(&world.db).await;
    create_trees(&world.db, &platform).await;
    // The triggers were disabled.
    world.db.connect_as_superuser().await.batch_execute("SELECT fill_subtree_members()").await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM entities").await, 100_001);
    let entities = format!("/api/v1/platforms/{platform}/entities");
    for statistics in ["outdated", "fresh"] {
        if statistics == "fresh" {
            analyze(&world.db).await;
        }
        for mode in ["force_custom_plan", "force_generic_plan"] {
            world.db.set("plan_cache_mode", mode).await;
            let world = replica_of(&world, &set).await;
            let about = format!("{statistics}, {mode}");
            tap.take();
            let above = world.get(&format!("{entities}/t000071605/ancestors")).await.expect(200);
            let chain: Vec<String> = (1..16).rev().map(|level| format!("t00007{level:02}00")).collect();
            assert_eq!(ids(&above), chain);
            one_indexed(&tap.take(), "ANY($", &["entities_pkey", "entities_of_platform"], &about);

            let below = world.get(&format!("{entities}/t000071200/descendants")).await.expect(200);
            let below = ids(&below);
            assert_eq!(
                (below.len(), below[0].as_str(), below[39].as_str()),
                (40, "t000071300", "t000071609")
            );
            one_indexed(&tap.take(), "subtree_members", &["entities_pkey"], &about);
            let tree = world.get(&format!("{entities}/t000070100/descendants")).await.expect(200);
            assert_eq!(ids(&tree).len(), 150);
        }
    }
}

/// Checks that exactly one statement contains `mark`, and that it uses one of the indexes.
fn one_indexed(plans: &[Plan], mark: &str, indexes: &[&str], about: &str) {
    let entity_plans = || plans.iter().filter(|plan| plan.statement.contains("\"entities\""));
    let branch: Vec<&Plan> = entity_plans().filter(|plan| plan.statement.contains(mark)).collect();
    assert_eq!(branch.len(), 1, "{about}: {branch:?}");
    let used = branch[0].indexes();
    assert!(indexes.iter().any(|index| used.contains(index)), "{about}: {used:?} {}", branch[0].root);
    assert!(entity_plans().count() <= 2, "{about}: at most one more statement, for the entity itself");
    let read = full_scans(plans, &["entities".to_owned()]);
    assert!(read.is_empty(), "{about}: {read:?}");
}
