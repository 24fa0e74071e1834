//! Constraints that the database enforces regardless of the service.

use std::collections::HashSet;

use database::{Migrations, migrate};
use diesel::{QueryDsl, QueryableByName, sql_query, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::Version;
use proptest::{prelude::Strategy, strategy::ValueTree, test_runner::TestRunner};
use serde_json::Value;
use service::Service;
use stack_registry::{
    StackRegistry,
    schema::{stack_templates, stack_versions},
};
use testkit::TestDb;

use crate::catalogue::Catalogue;

async fn rejected(connection: &mut AsyncPgConnection, sql: &str) -> String {
    match sql_query(sql).execute(connection).await {
        Ok(rows) => panic!("{sql} changed {rows} rows"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn published_version_cannot_be_changed() {
    let catalogue = Catalogue::with_shop().await;
    catalogue.publish("shop", "1.0.0").await;
    let before = catalogue.versions("shop").await;
    let (mut app, mut owner) = (catalogue.db.connect().await, catalogue.db.connect_as_owner().await);
    let changes = [
        "stack_definition = '{}'",
        "version = '2.0.0'",
        "sort_key = ''",
        "stable = false",
        "depends_on = '{a}'",
        "nno_sdk_version = '3.0.0'",
        "published_at = now()",
        "created_at = now()",
        "id = gen_random_uuid()",
    ];
    for change in changes {
        let sql = format!("UPDATE stack_versions SET {change}");
        assert!(rejected(&mut app, &sql).await.contains("permission denied"), "{change}");
        assert!(rejected(&mut owner, &sql).await.contains("does not change"), "{change}");
    }
    for sql in
        ["DELETE FROM stack_versions", "TRUNCATE stack_versions CASCADE", "DELETE FROM stack_templates"]
    {
        assert!(rejected(&mut app, sql).await.contains("permission denied"), "{sql}");
    }
    assert_eq!(catalogue.versions("shop").await, before);

    sql_query("UPDATE stack_versions SET status = 'deprecated'").execute(&mut app).await.unwrap();
    for connection in [&mut app, &mut owner] {
        let back = rejected(connection, "UPDATE stack_versions SET status = 'active'").await;
        assert!(back.contains("stays deprecated"), "{back}");
    }
}

#[tokio::test]
async fn latest_version_must_belong_to_the_template() {
    let catalogue = Catalogue::with_shop().await;
    catalogue.create("blog").await;
    catalogue.publish("blog", "1.0.0").await;
    let mut app = catalogue.db.connect().await;
    let stray =
        rejected(&mut app, "UPDATE stack_templates SET latest_version = '1.0.0' WHERE name = 'shop'").await;
    assert!(stray.contains("stack_templates_latest_version"), "{stray}");
}

/// Ten thousand different versions, the same in every run.
fn many_versions() -> Vec<String> {
    let core = r"(0|[1-9]|1[0-9]|[1-9][0-9]{2,18})";
    let pre = r"(-[a-zA-Z0-9]{1,6}(\.(0|[1-9][0-9]{0,25}|[a-zA-Z0-9]{1,3})){0,4})?";
    let text = proptest::string::string_regex(&format!(r"{core}\.[0-9]\.[0-3]{pre}")).unwrap();
    let mut runner = TestRunner::deterministic();
    let mut valid = HashSet::new();
    while valid.len() < 10_000 {
        let any = text.new_tree(&mut runner).unwrap().current();
        if Version::parse(&any).is_ok() {
            valid.insert(any);
        }
    }
    valid.into_iter().collect()
}

#[tokio::test]
async fn order_in_postgresql_is_semver_precedence() {
    let catalogue = Catalogue::with_shop().await;
    let texts = many_versions();
    let keys: Vec<String> =
        texts.iter().map(|text| Version::parse(text).unwrap().sort_key().to_owned()).collect();
    sql_query(
        "INSERT INTO stack_versions SELECT gen_random_uuid(), t.id, v, key, v NOT LIKE '%-%', '{}', '{}', '1.0.0', 'active', now(), now() \
         FROM unnest($1, $2) AS input (v, key) CROSS JOIN stack_templates t",
    )
    .bind::<sql_types::Array<sql_types::Text>, _>(&texts)
    .bind::<sql_types::Array<sql_types::Text>, _>(&keys)
    .execute(&mut catalogue.db.connect().await)
    .await
    .unwrap();

    let mut expected: Vec<semver::Version> =
        texts.iter().map(|text| semver::Version::parse(text).unwrap()).collect();
    expected.sort_by(|a, b| b.cmp(a));
    let mut in_rust: Vec<Version> = texts.iter().map(|text| Version::parse(text).unwrap()).collect();
    in_rust.sort_by(|a, b| b.cmp(a));
    assert_eq!(
        in_rust.iter().map(Version::as_str).collect::<Vec<_>>(),
        expected.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "in Rust"
    );
    let listed = catalogue.versions("shop").await;
    assert_eq!(listed.len(), 10_000);
    let listed: Vec<&str> = listed.iter().map(|one| one["version"].as_str().unwrap()).collect();
    assert_eq!(listed, expected.iter().map(ToString::to_string).collect::<Vec<_>>());

    // Checks the column, because the default collation of this cluster may be byte order as well.
    let collated = "information_schema.columns WHERE column_name = 'sort_key' AND collation_name = 'C'";
    assert_eq!(catalogue.count(collated).await, 1);

    catalogue.publish("shop", "0.0.0-a").await;
    let newest = expected.iter().find(|version| version.pre.is_empty()).map(ToString::to_string);
    assert_eq!(catalogue.latest("shop").await, newest);
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = sql_types::Text)]
    line: String,
}

/// Parts of the schema, one per line.
async fn lines(connection: &mut AsyncPgConnection) -> Vec<String> {
    let sql = "SELECT format('column %s.%s %s %s %s %s', table_name, column_name, data_type, collation_name, is_nullable, column_default) AS line \
                   FROM information_schema.columns WHERE table_schema = 'public' \
               UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' \
               UNION ALL SELECT format('%s %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint WHERE connamespace = 'public'::regnamespace \
               UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal \
               UNION ALL SELECT proname || prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace \
               UNION ALL SELECT format('%s %s', relname, relacl) FROM pg_class WHERE relnamespace = 'public'::regnamespace \
               UNION ALL SELECT format('%s.%s %s', attrelid::regclass, attname, attacl) FROM pg_attribute WHERE attacl IS NOT NULL AND attrelid > 16384 \
               ORDER BY line";
    let rows: Vec<Line> = sql_query(sql).load(connection).await.unwrap();
    rows.into_iter().map(|row| row.line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_can_be_reverted_and_applied_again() {
    let db = TestDb::of::<StackRegistry>().await;
    let mut owner = db.connect_as_owner().await;
    let before = lines(&mut owner).await;
    assert!(before.iter().any(|line| line.contains("stack_versions_never_change")));
    let migrations = || -> Migrations { StackRegistry::migrations() };
    migrate::revert_all(&db.owner_url, migrations()).await.unwrap();
    let nothing = lines(&mut owner).await;
    let ours = |line: &&String| line.contains("stack_templates") || line.contains("stack_versions");
    assert_eq!(nothing.iter().find(ours), None);
    migrate::run(&db.owner_url, migrations()).await.unwrap();
    assert_eq!(lines(&mut owner).await, before);
}

#[tokio::test]
async fn schema_in_code_matches_the_database() {
    let db = TestDb::of::<StackRegistry>().await;
    let mut app = db.connect().await;
    let templates = diesel::debug_query::<diesel::pg::Pg, _>(
        &stack_templates::table.select(stack_templates::all_columns),
    )
    .to_string();
    let versions =
        diesel::debug_query::<diesel::pg::Pg, _>(&stack_versions::table.select(stack_versions::all_columns))
            .to_string();
    for (table, sql) in [("stack_templates", templates), ("stack_versions", versions)] {
        let selected = sql.split(" FROM ").next().unwrap().trim_start_matches("SELECT ").replace('"', "");
        let in_code: Vec<&str> =
            selected.split(", ").map(|column| column.split('.').next_back().unwrap()).collect();
        let sql = format!(
            "SELECT column_name::text AS line FROM information_schema.columns WHERE table_name = '{table}' ORDER BY ordinal_position"
        );
        let rows: Vec<Line> = sql_query(sql).load(&mut app).await.unwrap();
        assert_eq!(in_code, rows.iter().map(|row| row.line.as_str()).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn lists_use_an_index() {
    let catalogue = Catalogue::with_shop().await;
    catalogue.publish("shop", "1.0.0").await;
    let mut app = catalogue.db.connect().await;
    // With few rows, the planner prefers a sequential scan. The test checks that an index without a sort is usable.
    sql_query("SET enable_seqscan = off").execute(&mut app).await.unwrap();
    sql_query("SET enable_bitmapscan = off").execute(&mut app).await.unwrap();
    for (sql, index) in [
        (
            "SELECT * FROM stack_templates WHERE status = 'active' ORDER BY created_at DESC, id DESC",
            "stack_templates_newest",
        ),
        (
            "SELECT * FROM stack_versions WHERE template_id = gen_random_uuid() ORDER BY sort_key DESC",
            "stack_versions_highest",
        ),
        (
            "SELECT version FROM stack_versions WHERE template_id = gen_random_uuid() AND status = 'active' \
             ORDER BY stable DESC, sort_key DESC LIMIT 1",
            "stack_versions_latest",
        ),
    ] {
        #[derive(QueryableByName)]
        struct Plan {
            #[diesel(sql_type = sql_types::Json, column_name = "QUERY PLAN")]
            plan: Value,
        }
        // An index condition cannot contain a volatile function.
        let sql = sql.replace("gen_random_uuid()", "'00000000-0000-0000-0000-000000000000'");
        let found: Plan =
            sql_query(format!("EXPLAIN (FORMAT JSON) {sql}")).get_result(&mut app).await.unwrap();
        let plan = found.plan.to_string();
        assert!(plan.contains(index) && !plan.contains("Sort"), "{plan}");
    }
}
