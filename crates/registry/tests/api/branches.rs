//! Lists for callers who see only one subtree: the amount read depends on the size of the subtree, not of the platform.

use diesel::{
    QueryableByName, sql_query,
    sql_types::{BigInt, Text},
};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use registry::Registry;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{
    TestDb,
    tap::{Plan, Tap},
};

use crate::{
    plans::{analyze, create_trees, full_scans, keep_statistics, replica_of, tapped_registry},
    world::{World, ids},
};

/// Root of the caller's subtree: a chain of entities, each with nine leaves except the last.
const ROOT: &str = "t000070100";
/// Root of another subtree, which has many resources.
const FULL: &str = "t000080100";
/// Number of entities in each subtree.
const BRANCH: usize = 151;
/// Number of additional resources of the other root.
const MANY: usize = 5_000;
/// Maximum number of rows that a request may read: a page, and a few rows per entry to determine its owner. The
/// platform has a hundred thousand entities, and a fifth as many of every other type.
const MAX_ROWS_READ: u64 = 1_200;
/// Tables that grow.
const TABLES: [&str; 7] =
    ["entities", "resources", "stacks", "dns_records", "custom_domains", "counters", "subtree_members"];

/// Gives each entity of some trees a resource with a host name and a domain, and a stack. One entity gets many
/// resources.
async fn fill_trees(db: &TestDb, platform: &str) {
    // Only a fifth of the trees, because each row is a member of up to sixteen subtrees.
    let some = "(SELECT id FROM entities WHERE substr(id, 6, 1) IN ('7', '8') AND id LIKE 't%')";
    let id = |kind: u8| format!("md5('{kind}' || e.id)::uuid");
    let (resource, record, domain) = (id(1), id(2), id(3));
    let resources = |id: &str, name: &str, at: &str, of: &str| {
        format!(
            "INSERT INTO resources (id, platform_id, entity_id, stack_id, resource_type, service_name, environment, \
                 cf_name, status, created_at, updated_at) \
             SELECT {id}, '{platform}', e.id, 'default', 'worker', 'auth', 'prod', {name}, 'active', {at}, now() \
             FROM {of};"
        )
    };
    let many = format!("(SELECT '{FULL}' AS id) e, generate_series(1, {MANY}) n");
    let sql = [
        "SET session_replication_role = replica;".to_owned(),
        resources(&resource, "e.id", "now()", &format!("{some} e")),
        resources("md5('4' || n)::uuid", "'many-' || n", "now() - n * interval '1ms'", &many),
        format!(
            "INSERT INTO dns_records (id, platform_id, stack_id, hostname, target_type, resource_id, environment, status, \
                 created_at, updated_at) \
             SELECT {record}, '{platform}', 'default', e.id || '.example', 'worker', {resource}, 'prod', 'active', now(), now() \
             FROM {some} e;"
        ),
        format!(
            "INSERT INTO custom_domains (id, platform_id, dns_record_id, hostname, target_dns, ssl_status, status, \
                 created_at, updated_at, due_at) \
             SELECT {domain}, '{platform}', {record}, e.id || '.test', e.id || '.example', 'pending', 'pending', now(), now(), now() \
             FROM {some} e;"
        ),
        format!(
            "INSERT INTO stacks (id, tenant_id, platform_id, name, is_default, status, created_at, updated_at, is_live, shared) \
             SELECT reverse(e.id), e.id, '{platform}', 'main', false, 'active', now(), now(), true, '{{}}' FROM {some} e;"
        ),
        format!(
            "INSERT INTO counters (key, shard, n) SELECT 'resources:{platform}:' || e.id, 0, \
                 CASE WHEN e.id = '{FULL}' THEN {MANY} + 1 ELSE 1 END FROM {some} e \
             ON CONFLICT (key, shard) DO UPDATE SET n = excluded.n;"
        ),
        // The triggers were disabled.
        "SELECT fill_subtree_members(); DELETE FROM counters WHERE key LIKE '%\\_under:%';".to_owned(),
        "INSERT INTO counters (key, shard, n) \
             SELECT CASE list WHEN 'resource' THEN 'resources_under:' ELSE 'entities_under:' END || platform_id || ':' || ancestor_id, \
                 0, count(*) FROM subtree_members WHERE list IN ('resource', 'subtenant') AND member_id <> ancestor_id \
             GROUP BY list, platform_id, ancestor_id;"
            .to_owned(),
    ];
    db.connect_as_superuser().await.batch_execute(&sql.concat()).await.unwrap();
}

/// Returns the complete list for a caller of the subtree, page by page. Checks that no request reads too much.
async fn walk(world: &World, tap: &Tap, scope: &Value, path: &str, about: &str) -> (Vec<String>, Value) {
    let tables = TABLES.map(str::to_owned);
    let (mut found, mut cursor) = (Vec::new(), String::new());
    let mark = if path.contains('?') { '&' } else { '?' };
    loop {
        tap.take();
        let path = format!("{path}{mark}limit=100{cursor}");
        let page = world.send_as(scope, Method::GET, &path, &Value::Null).await.expect(200);
        let plans = tap.take();
        let read: u64 = plans.iter().map(Plan::rows_read).sum();
        let report = || {
            let describe = |plan: &Plan| format!("{}: {}\n{:#}", plan.rows_read(), plan.statement, plan.root);
            plans.iter().map(describe).collect::<Vec<_>>().join("\n")
        };
        assert!(read > 0 && read <= MAX_ROWS_READ, "{about}: {path} reads {read}:\n{}", report());
        let all = full_scans(&plans, &tables);
        assert!(all.is_empty(), "{about}: {path}: {all:?}");
        found.extend(ids(&page));
        let next = page.pointer("/pagination/nextCursor").unwrap_or(&page["cursor"]);
        match next.as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (found, page["pagination"]["total"].clone()),
        }
    }
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = Text)]
    id: String,
}

/// Returns the ids from a query in list order.
async fn newest_first(world: &World, rows: &str) -> Vec<String> {
    let sql = format!("SELECT id::text FROM {rows} ORDER BY created_at DESC, rows.id DESC");
    let rows: Vec<Id> = sql_query(sql).load(&mut world.db.connect().await).await.unwrap();
    rows.into_iter().map(|row| row.id).collect()
}

/// Lists of a caller of one subtree: path, source of their rows, and the total if the list has one.
fn lists(base: &str) -> Vec<(String, String, Option<usize>)> {
    let of = |column: &str, root: &str| {
        format!("{column} = '{root}' OR {column} IN (SELECT id FROM entities WHERE '{root}' = ANY (path))")
    };
    let resources = format!("resources rows WHERE {}", of("entity_id", ROOT));
    let records = format!("dns_records rows WHERE resource_id IN (SELECT id FROM {resources})");
    let domains = format!("custom_domains rows WHERE dns_record_id IN (SELECT id FROM {records})");
    vec![
        (format!("{base}/entities"), format!("entities rows WHERE {}", of("id", ROOT)), Some(BRANCH)),
        (format!("{base}/entities?type=tenant"), format!("entities rows WHERE id = '{ROOT}'"), Some(1)),
        (format!("{base}/stacks"), format!("stacks rows WHERE {}", of("tenant_id", ROOT)), None),
        (format!("{base}/stacks?tenantId={ROOT}"), format!("stacks rows WHERE tenant_id = '{ROOT}'"), None),
        // Nothing outside the subtree is visible.
        (format!("{base}/stacks?tenantId={FULL}"), "stacks rows WHERE false".to_owned(), None),
        (format!("{base}/stacks/default/dns"), records, None),
        (format!("{base}/domains"), domains, None),
        (format!("{base}/resources"), resources, Some(BRANCH)),
        (
            format!("{base}/entities/{ROOT}/resources"),
            format!("resources rows WHERE entity_id = '{ROOT}'"),
            Some(1),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn list_reads_only_as_much_as_its_caller_sees() {
    let db = TestDb::of::<Registry>().await;
    keep_statistics(&db).await;
    db.set("auto_explain.log_analyze", "on").await;
    db.set("auto_explain.log_timing", "off").await;
    let (world, tap, set) = tapped_registry(db).await;
    let platform = world.platform("shop").await;
    world.tenant(&platform, "one").await;
    analyze(&world.db).await;
    create_trees(&world.db, &platform).await;
    fill_trees(&world.db, &platform).await;

    let base = format!("/api/v1/platforms/{platform}");
    let full_rows = format!(
        "resources rows WHERE entity_id = '{FULL}' OR entity_id LIKE 't00008%' AND right(entity_id, 4) > '0109'"
    );
    let (scope, full_scope) = (json!({ "entity": [platform, ROOT] }), json!({ "entity": [platform, FULL] }));
    for statistics in ["outdated", "fresh"] {
        if statistics == "fresh" {
            analyze(&world.db).await;
        }
        for mode in ["force_custom_plan", "force_generic_plan"] {
            world.db.set("plan_cache_mode", mode).await;
            let replica = replica_of(&world, &set).await;
            let about = format!("{statistics}, {mode}");
            for (path, rows, total) in lists(&base) {
                let (found, listed_total) = walk(&replica, &tap, &scope, &path, &about).await;
                assert_eq!(found, newest_first(&world, &rows).await, "{about}: {path}");
                assert!(
                    total.is_none_or(|total| found.len() == total && listed_total == total),
                    "{about}: {path}: {listed_total}"
                );
            }
            let (found, listed_total) =
                walk(&replica, &tap, &full_scope, &format!("{base}/resources"), &about).await;
            assert_eq!(found, newest_first(&world, &full_rows).await, "{about}");
            assert_eq!((found.len(), listed_total), (BRANCH + MANY, json!(BRANCH + MANY)), "{about}");
        }
    }
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    ids: i64,
    #[diesel(sql_type = BigInt)]
    total: i64,
}

/// The functions read as the owner of the tables, so row-level security does not apply to them.
#[tokio::test(flavor = "multi_thread")]
async fn pages_and_totals_of_ungranted_subtrees_are_empty() {
    let world = World::start().await;
    let platform = world.platform("shop").await;
    let (own, other) = (world.tenant(&platform, "own").await, world.tenant(&platform, "other").await);
    let mut connection = world.db.connect_without_rls_context().await;
    for (granted, requested, expected) in [
        (vec![], vec![&own], 0),
        (vec![&own], vec![&other], 0),
        (vec![&own], vec![&own, &other], 0),
        (vec![&own], vec![&own], 1),
        (vec![&own, &other], vec![&own, &other], 2),
    ] {
        let list = |ids: &[&String]| ids.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(",");
        connection.batch_execute(&format!("SET nno.entities TO '{}'", list(&granted))).await.unwrap();
        let found: Found = sql_query(format!(
            "SELECT (SELECT count(*) FROM subtree_page('{{{0}}}', '{{tenant}}', 'infinity', '', 10)) AS ids, \
                 subtree_total('{{{0}}}', NULL, '{{tenant}}') AS total",
            list(&requested)
        ))
        .get_result(&mut connection)
        .await
        .unwrap();
        assert_eq!(
            (found.ids, found.total),
            (expected, expected),
            "granted {granted:?}, requested {requested:?}"
        );
    }
}
