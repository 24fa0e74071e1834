//! Constraints that the database enforces regardless of the service.

use database::migrate;
use diesel::{QueryDsl, QueryableByName, sql_query, sql_types::Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use iam::{
    Iam,
    schema::{bindings, keys, revocations},
};
use serde_json::json;
use service::Service;
use testkit::TestDb;

use crate::world::alone;

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

async fn lines(connection: &mut AsyncPgConnection, sql: &str) -> Vec<String> {
    let rows: Vec<Line> = sql_query(sql).load(connection).await.unwrap();
    rows.into_iter().map(|row| row.line).collect()
}

async fn rejected(connection: &mut AsyncPgConnection, sql: &str) -> String {
    match sql_query(sql).execute(connection).await {
        Ok(rows) => panic!("{sql} changed {rows} rows"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn serving_role_cannot_change_grants() {
    let iam = alone().await;
    iam.post("/api/v1/iam/keys", json!({ "name": "ci", "role": "viewer" })).await.expect(201);
    iam.post("/api/v1/iam/bindings", json!({ "subject": "ann", "role": "viewer" })).await.expect(201);
    let mut app = iam.db.connect().await;
    for sql in [
        "UPDATE keys SET role = 'operator'",
        "UPDATE keys SET secret_digest = decode(repeat('00', 32), 'hex')",
        "UPDATE keys SET expires_at = NULL",
        "DELETE FROM keys",
        "TRUNCATE keys",
        "UPDATE bindings SET role = 'operator'",
        "TRUNCATE bindings",
        "DELETE FROM audit_log",
    ] {
        assert!(rejected(&mut app, sql).await.contains("permission denied"), "{sql}");
    }
}

#[tokio::test]
async fn invalid_grants_violate_constraints() {
    let iam = alone().await;
    let mut owner = iam.db.connect_as_owner().await;
    for (role, platform, entity, line) in [
        ("'king'", "NULL", "NULL", "'{}'"),
        ("'operator'", "'aaaaaaaaaa'", "NULL", "'{}'"),
        ("'viewer'", "NULL", "'entity0001'", "'{entity0001}'"),
        ("'viewer'", "'aaaaaaaaaa'", "'entity0001'", "'{}'"),
        ("'viewer'", "'aaaaaaaaaa'", "'entity0001'", "'{entity0002,entity0001}'"),
        ("'viewer'", "'aaaaaaaaaa'", "NULL", "'{entity0001}'"),
    ] {
        let binding = format!(
            "INSERT INTO bindings VALUES (gen_random_uuid(), 'ann', {role}, {platform}, {entity}, {line}, 'x', now())"
        );
        let key = format!(
            "INSERT INTO keys VALUES (gen_random_uuid(), decode(repeat('00', 32), 'hex'), 'ci', {role}, {platform}, \
             {entity}, {line}, 'x', now())"
        );
        for sql in [binding, key] {
            assert!(rejected(&mut owner, &sql).await.contains("violates check constraint"), "{sql}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_can_be_reverted_and_applied_again() {
    let db = TestDb::of::<Iam>().await;
    let mut owner = db.connect_as_owner().await;
    let all = "SELECT format('column %s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default) AS line \
                   FROM information_schema.columns WHERE table_schema = 'public' \
               UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' \
               UNION ALL SELECT format('%s %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint WHERE connamespace = 'public'::regnamespace \
               UNION ALL SELECT format('%s %s', relname, relacl) FROM pg_class WHERE relnamespace = 'public'::regnamespace \
               ORDER BY line";
    let before = lines(&mut owner, all).await;
    assert!(before.iter().any(|line| line.contains("bindings_once")));
    migrate::revert_all(&db.owner_url, Iam::migrations()).await.unwrap();
    let nothing = lines(&mut owner, all).await;
    assert!(!nothing.iter().any(|line| line.contains("bindings") || line.contains("revocations")));
    migrate::run(&db.owner_url, Iam::migrations()).await.unwrap();
    assert_eq!(lines(&mut owner, all).await, before);
}

#[tokio::test]
async fn schema_in_code_matches_the_database() {
    let db = TestDb::of::<Iam>().await;
    let mut app = db.connect().await;
    macro_rules! columns {
        ($table:ident) => {
            diesel::debug_query::<diesel::pg::Pg, _>(&$table::table.select($table::all_columns)).to_string()
        };
    }
    for (table, sql) in
        [("keys", columns!(keys)), ("bindings", columns!(bindings)), ("revocations", columns!(revocations))]
    {
        let selected = sql.split(" FROM ").next().unwrap().trim_start_matches("SELECT ").replace('"', "");
        let in_code: Vec<&str> =
            selected.split(", ").map(|column| column.split('.').next_back().unwrap()).collect();
        let sql = format!(
            "SELECT column_name::text AS line FROM information_schema.columns WHERE table_name = '{table}' ORDER BY ordinal_position"
        );
        assert_eq!(in_code, lines(&mut app, &sql).await);
    }
}

#[tokio::test]
async fn lists_use_an_index() {
    let iam = alone().await;
    let mut app = iam.db.connect().await;
    // With few rows, the planner prefers a sequential scan. The test checks that an index is usable.
    sql_query("SET enable_seqscan = off").execute(&mut app).await.unwrap();
    for (sql, index) in [
        (
            "SELECT * FROM keys WHERE role = ANY ('{viewer}') ORDER BY created_at DESC, id DESC LIMIT 50",
            "keys_newest",
        ),
        (
            "SELECT * FROM keys WHERE platform_id = ANY ('{a}') OR id = ANY ((SELECT keys_of('{e}'))::uuid[])",
            "keys_by_platform",
        ),
        (
            "SELECT * FROM bindings WHERE platform_id = ANY ('{a}') \
             OR id = ANY ((SELECT bindings_of('{e}'))::uuid[])",
            "bindings_by_platform",
        ),
        (
            "SELECT * FROM bindings WHERE subject = 'ann' ORDER BY created_at DESC, id DESC",
            "bindings_by_subject",
        ),
        ("SELECT number FROM revocations WHERE number > 5 ORDER BY number", "revocations_pkey"),
    ] {
        #[derive(QueryableByName)]
        struct Plan {
            #[diesel(sql_type = diesel::sql_types::Json, column_name = "QUERY PLAN")]
            plan: serde_json::Value,
        }
        let found: Plan =
            sql_query(format!("EXPLAIN (FORMAT JSON) {sql}")).get_result(&mut app).await.unwrap();
        let plan = found.plan.to_string();
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{sql}: {plan}");
    }
}
