//! Constraints of the database, and its agreement with the code.

use database::migrate;
use diesel::{QueryableByName, sql_query, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use registry::Registry;
use service::Service;
use testkit::TestDb;

use crate::{feature::Feature, world::World};

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = sql_types::Text)]
    line: String,
}

async fn lines(connection: &mut AsyncPgConnection, sql: &str) -> Vec<String> {
    let rows: Vec<Line> = sql_query(sql).load(connection).await.unwrap();
    rows.into_iter().map(|row| row.line).collect()
}

/// Query for the complete schema.
const SCHEMA: &str = "\
    SELECT format('column %s.%s %s %s %s %s %s', table_name, column_name, data_type, collation_name, is_nullable, column_default, generation_expression) AS line \
        FROM information_schema.columns WHERE table_schema = 'public' \
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' \
    UNION ALL SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint WHERE connamespace = 'public'::regnamespace \
    UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal \
    UNION ALL SELECT proname || prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace \
    UNION ALL SELECT format('%s %s', relname, relacl) FROM pg_class WHERE relnamespace = 'public'::regnamespace \
    ORDER BY line";

#[tokio::test(flavor = "multi_thread")]
async fn up_down_up_restores_the_schema() {
    let db = TestDb::of::<Registry>().await;
    let mut owner = db.connect_as_owner().await;
    let before = lines(&mut owner, SCHEMA).await;
    assert!(before.iter().any(|line| line.contains("entities_parent")));
    migrate::revert_all(&db.owner_url, Registry::migrations()).await.unwrap();
    let left = lines(&mut owner, SCHEMA).await;
    assert_eq!(left.iter().find(|line| !line.contains("__diesel_schema_migrations")), None);
    migrate::run(&db.owner_url, Registry::migrations()).await.unwrap();
    assert_eq!(lines(&mut owner, SCHEMA).await, before);
}

/// One line per column of the code's tables: `table.column Type`, in the order of the database.
fn columns_of_the_code() -> Vec<String> {
    let (mut columns, mut table, mut sql_name) = (Vec::new(), String::new(), None);
    for line in include_str!("../../src/schema.rs").lines().map(str::trim) {
        if let Some((name, _)) = line.split_once(" (").filter(|_| line.ends_with('{')) {
            name.clone_into(&mut table);
        } else if let Some(name) = line.strip_prefix("#[sql_name = \"") {
            sql_name = name.strip_suffix("\"]");
        } else if let Some((name, kind)) = line.split_once(" -> ") {
            columns.push(format!(
                "{table}.{} {}",
                sql_name.take().unwrap_or(name),
                kind.trim_end_matches(',')
            ));
        }
    }
    columns
}

#[tokio::test]
async fn code_and_database_have_the_same_tables() {
    let db = TestDb::of::<Registry>().await;
    let found = lines(
        &mut db.connect().await,
        "SELECT format('%s.%s %s', table_name, column_name, CASE is_nullable WHEN 'YES' THEN 'Nullable<' || kind || '>' ELSE kind END) AS line \
         FROM information_schema.columns, LATERAL (SELECT CASE udt_name \
             WHEN 'text' THEN 'Text' WHEN 'timestamptz' THEN 'Timestamptz' WHEN 'uuid' THEN 'Uuid' WHEN 'jsonb' THEN 'Jsonb' \
             WHEN 'bool' THEN 'Bool' WHEN 'int4' THEN 'Integer' WHEN '_text' THEN 'Array<Text>' ELSE udt_name END AS kind) AS known \
         WHERE table_schema = 'public' AND table_name NOT IN ('__diesel_schema_migrations', 'audit_log', 'outbox', 'idempotency_keys', 'counters') \
         ORDER BY table_name, ordinal_position",
    )
    .await;
    let mut known = columns_of_the_code();
    // The columns of each table keep their order.
    known.sort_by_key(|column| column.split('.').next().unwrap().to_owned());
    assert!(known.len() > 80, "{known:?}");
    assert_eq!(known, found);
}

#[tokio::test]
async fn constraints_reject_what_the_code_never_writes() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    let (tenant, stranger) = (world.tenant(&platform, "t").await, world.tenant(&other, "t").await);
    let resource = world.resource(&platform, &tenant, "x").await;
    let foreign_stack = world.stack(&other, &stranger, "main").await;
    Feature::new(&platform, &tenant, "billing", "prod").activate(&world, "1.0.0").await;
    let mut connection = world.db.connect().await;
    for (sql, constraint) in [
        (
            format!("UPDATE entities SET platform_id = '{other}', slug = 'u' WHERE id = '{tenant}'"),
            "resources_entity",
        ),
        (format!("UPDATE entities SET type = 'subtenant' WHERE id = '{tenant}'"), "entities_tree"),
        (format!("UPDATE entities SET deleted_at = now() WHERE id = '{tenant}'"), "entities_deleted_at"),
        (
            format!("UPDATE resources SET entity_id = '{stranger}' WHERE id = '{resource}'"),
            "resources_entity",
        ),
        (
            format!("UPDATE resources SET stack_id = '{foreign_stack}' WHERE id = '{resource}'"),
            "resources_stack",
        ),
        (format!("UPDATE resources SET status = 'deleted' WHERE id = '{resource}'"), "resources_deleted_at"),
        (format!("UPDATE platforms SET status = 'deleted' WHERE id = '{platform}'"), "platforms_deleted_at"),
        (format!("UPDATE stacks SET tenant_id = '{tenant}' WHERE id = '{foreign_stack}'"), "stacks_tenant"),
        (format!("UPDATE stacks SET template_id = 't' WHERE id = '{foreign_stack}'"), "stacks_template"),
        (format!("UPDATE stacks SET is_live = false WHERE id = '{foreign_stack}'"), "stacks_active"),
        (format!("UPDATE stacks SET status = 'pending' WHERE id = '{foreign_stack}'"), "stacks_wanted"),
        (
            format!("UPDATE feature_activations SET entity_id = '{stranger}' WHERE entity_id = '{tenant}'"),
            "feature_activations_entity",
        ),
        (
            format!(
                "UPDATE feature_activations SET stack_id = '{foreign_stack}' WHERE entity_id = '{tenant}'"
            ),
            "feature_activations_stack",
        ),
        (
            format!("UPDATE feature_activations SET status = 'active' WHERE entity_id = '{tenant}'"),
            "feature_activations_active",
        ),
    ] {
        let error = sql_query(&sql).execute(&mut connection).await.unwrap_err().to_string();
        assert!(error.contains(constraint), "{sql}: {error}");
    }
}

#[tokio::test]
async fn lists_and_filters_use_an_index() {
    let db = TestDb::of::<Registry>().await;
    // On an empty table, every index costs the same.
    let stacks = "SET session_replication_role = replica; \
        INSERT INTO stacks (id, tenant_id, platform_id, name, is_default, template_id, template_name, template_version, \
            status, created_at, updated_at, is_live, shared) \
        SELECT 's' || n, 'e' || n % 50, 'p' || n % 20, 's' || n, false, 't', 't' || n % 50, '1.0.0', 'active', \
            now() - n * interval '1 minute', now(), true, '{}' FROM generate_series(1, 2000) n; ANALYZE stacks";
    db.connect_as_superuser().await.batch_execute(stacks).await.unwrap();
    let mut app = db.connect().await;
    // With few rows, PostgreSQL prefers a sequential scan. This checks that an index could serve the query without a
    // sort.
    for setting in ["enable_seqscan", "enable_sort"] {
        sql_query(format!("SET {setting} = off")).execute(&mut app).await.unwrap();
    }
    let newest = "ORDER BY created_at DESC, id DESC LIMIT 51";
    for (sql, index) in [
        (format!("platforms WHERE deleted_at IS NULL {newest}"), "platforms_newest"),
        (format!("lifecycle_events WHERE platform_id = 'p' {newest}"), "lifecycle_events_newest"),
        (format!("entities WHERE platform_id = 'p' AND deleted_at IS NULL {newest}"), "entities_newest"),
        (
            format!("entities WHERE platform_id = 'p' AND type = 'tenant' AND deleted_at IS NULL {newest}"),
            "entities_newest_by_type",
        ),
        (
            "entities WHERE platform_id = 'p' AND parent_id = 'e' AND deleted_at IS NULL".to_owned(),
            "entities_children",
        ),
        (format!("stacks WHERE platform_id = 'p' AND deleted_at IS NULL {newest}"), "stacks_newest"),
        (
            format!("stacks WHERE tenant_id = 'e' AND deleted_at IS NULL {newest}"),
            "stacks_newest_by_tenant",
        ),
        (
            "stacks WHERE platform_id = 'p' AND template_name = 't' AND deleted_at IS NULL".to_owned(),
            "stacks_of_template",
        ),
        (format!("resources WHERE platform_id = 'p' AND deleted_at IS NULL {newest}"), "resources_newest"),
        (
            format!("resources WHERE entity_id = 'e' AND deleted_at IS NULL {newest}"),
            "resources_newest_by_entity",
        ),
        (format!("builds WHERE platform_id = 'p' {newest}"), "builds_newest"),
        (
            format!("builds WHERE platform_id = 'p' AND environment = 'prod' {newest}"),
            "builds_newest_by_environment",
        ),
        (
            format!("dns_records WHERE platform_id = 'p' AND stack_id = 'default' {newest}"),
            "dns_records_newest",
        ),
        (format!("feature_activations WHERE entity_id = 'e' {newest}"), "feature_activations_newest"),
        (
            "feature_activations WHERE entity_id = 'e' AND environment = 'prod' AND live_version IS NOT NULL \
             ORDER BY feature_id"
                .to_owned(),
            "feature_activations_one",
        ),
        (
            "feature_activations WHERE platform_id = 'p' AND stack_id = 's' AND feature_id = 'f' \
             AND environment = 'prod' AND entity_id <> 'e'"
                .to_owned(),
            "feature_activations_of_service",
        ),
        (
            "feature_activations WHERE took_ms IS NOT NULL ORDER BY activated_at DESC LIMIT 100".to_owned(),
            "feature_activations_took",
        ),
        ("manifests WHERE entity_id = 'e' AND environment = 'prod'".to_owned(), "manifests_pkey"),
        (format!("audit_log WHERE TRUE {newest}"), "audit_log_newest"),
        (format!("audit_log WHERE platform_id = 'p' {newest}"), "audit_log_by_platform"),
    ] {
        let plan = plan(&mut app, &sql).await;
        let named = plan.contains(&format!("using {index} ")) || plan.contains(&format!("on {index} "));
        assert!(named && !plan.contains("Sort"), "{sql}: {plan}");
    }
}

#[tokio::test]
async fn audit_filters_use_an_index() {
    let db = TestDb::of::<Registry>().await;
    let mut app = db.connect().await;
    sql_query(
        "INSERT INTO audit_log SELECT gen_random_uuid(), 'p' || n % 200, 'u' || n % 500, 'user', \
         CASE WHEN n % 997 = 0 THEN 'a.rare' ELSE 'a.' || n % 3 END, 'e' || n % 7, 'i' || n % 5000, NULL, NULL, '{}', \
         now() - n * interval '1 minute' FROM generate_series(1, 20000) n",
    )
    .execute(&mut app)
    .await
    .unwrap();
    sql_query("ANALYZE audit_log").execute(&mut db.connect_as_owner().await).await.unwrap();
    for (filter, index) in [
        ("platform_id = 'p7' AND action = 'a.1'", "audit_log_by_platform_action"),
        ("platform_id = 'p7' AND entity_type = 'e3'", "audit_log_by_platform_type"),
        ("entity_id = 'i7'", "audit_log_by_entity"),
        ("actor_id = 'u7'", "audit_log_by_actor"),
        ("action = 'a.rare'", "audit_log_by_action"),
    ] {
        for rest in ["ORDER BY created_at DESC, id DESC LIMIT 51", "LIMIT 10001"] {
            let plan = plan(&mut app, &format!("audit_log WHERE {filter} {rest}")).await;
            assert!(plan.contains(&format!(" {index} ")), "{filter} {rest}: {plan}");
        }
    }
}

#[tokio::test]
async fn descendants_are_read_without_scanning_the_tree() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let tenants = "SELECT 't' || lpad(n::text, 9, '0') AS id, n FROM generate_series(1, 4000) n";
    let common = "'active', now(), now(), NULL::timestamptz";
    world
        .sql(&format!(
            "INSERT INTO entities SELECT id, '{platform}', NULL, 'tenant', 'T', 't-' || n, {common}, 1, '{{}}' FROM ({tenants}) t"
        ))
        .await;
    world
        .sql(&format!(
            "INSERT INTO entities SELECT 's' || lpad(n::text, 9, '0'), '{platform}', id, 'subtenant', 'S', 's-' || n, {common}, 2, ARRAY[id] FROM ({tenants}) t"
        ))
        .await;
    let analyze = "ANALYZE entities, subtree_members";
    sql_query(analyze).execute(&mut world.db.connect_as_owner().await).await.unwrap();
    let members = "subtree_members WHERE ancestor_id = 't000000007' AND depth IS NOT NULL \
         ORDER BY depth, created_at, member_id";
    let plan = plan(&mut world.db.connect().await, members).await;
    assert!(plan.contains(" subtree_members_by_depth "), "{plan}");
    let branch =
        world.get(&format!("/api/v1/platforms/{platform}/entities/t000000007/descendants")).await.expect(200);
    assert_eq!(crate::world::ids(&branch), ["s000000007"]);
}

async fn plan(connection: &mut AsyncPgConnection, sql: &str) -> String {
    #[derive(QueryableByName)]
    struct Plan {
        #[diesel(sql_type = sql_types::Text, column_name = "QUERY PLAN")]
        line: String,
    }
    let lines: Vec<Plan> = sql_query(format!("EXPLAIN SELECT * FROM {sql}")).load(connection).await.unwrap();
    lines.iter().map(|plan| format!("{} ", plan.line)).collect()
}
