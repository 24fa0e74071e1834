use std::process::Command;

use embedded_postgres::{Binaries, Cluster, Error, ServiceDatabase, ensure_service_database};
use secrecy::ExposeSecret;
use tokio_postgres::Client;

use crate::scratch::{Scratch, connect, refusal, value};

fn registry() -> ServiceDatabase {
    ServiceDatabase::of_service("registry", "owner's secret".into(), "app's secret".into())
}

fn onboarding() -> ServiceDatabase {
    ServiceDatabase::of_service("onboarding", "two".into(), "three".into())
}

async fn owner(cluster: &Cluster, database: &ServiceDatabase) -> Client {
    connect(&cluster.url(&database.owner, &database.owner_password, &database.name)).await.unwrap()
}

async fn app(cluster: &Cluster, database: &ServiceDatabase) -> Client {
    connect(&cluster.url(&database.app, &database.app_password, &database.name)).await.unwrap()
}

const MIGRATION: &str = "
    CREATE TABLE items (id bigserial PRIMARY KEY, name text);
    CREATE TABLE audit (id bigserial PRIMARY KEY, what text);
";

#[tokio::test]
async fn app_role_can_only_access_rows() {
    let scratch = Scratch::new();
    let cluster = scratch.start().await;
    cluster.ensure_service_database(&registry()).await.unwrap();
    owner(&cluster, &registry()).await.batch_execute(MIGRATION).await.unwrap();

    let app = app(&cluster, &registry()).await;
    app.batch_execute("INSERT INTO items (name) VALUES ('a'), ('b')").await.unwrap();
    app.batch_execute("UPDATE items SET name = 'c' WHERE name = 'b'").await.unwrap();
    app.batch_execute("DELETE FROM items WHERE name = 'a'").await.unwrap();
    assert_eq!(value(&app, "SELECT string_agg(name, ',') FROM items").await, "c");
    assert_eq!(value(&app, "SELECT has_schema_privilege('public', 'public', 'USAGE')").await, "f");
    for (statement, expected) in [
        ("CREATE TABLE mine ()", "permission denied for schema public"),
        ("CREATE TEMP TABLE mine ()", "permission denied to create temporary tables"),
        ("CREATE SCHEMA mine", "permission denied for database"),
        ("CREATE DATABASE mine", "permission denied to create database"),
        ("CREATE ROLE mine", "permission denied to create role"),
        ("ALTER TABLE items ADD COLUMN more int", "must be owner of table items"),
        ("DROP TABLE items", "must be owner of table items"),
        ("TRUNCATE items", "permission denied for table items"),
        ("SET ROLE nno_registry_owner", "permission denied to set role"),
    ] {
        let message = refusal(app.batch_execute(statement).await);
        assert!(message.contains(expected), "{statement}: {message}");
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn role_can_connect_only_to_its_own_database() {
    let scratch = Scratch::new();
    let cluster = scratch.start().await;
    for database in [registry(), onboarding()] {
        cluster.ensure_service_database(&database).await.unwrap();
    }
    let (mine, other) = (registry(), onboarding());
    for (role, password) in [(&mine.app, &mine.app_password), (&mine.owner, &mine.owner_password)] {
        connect(&cluster.url(role, password, &mine.name)).await.unwrap();
        for database in [other.name.as_str(), "postgres", "template1"] {
            let message = refusal(connect(&cluster.url(role, password, database)).await);
            assert!(message.contains("permission denied for database"), "{role} to {database}: {message}");
        }
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn repeated_run_sets_passwords_and_restores_no_revoked_privilege() {
    let scratch = Scratch::new();
    let cluster = scratch.start().await;
    cluster.ensure_service_database(&registry()).await.unwrap();
    let migrator = owner(&cluster, &registry()).await;
    migrator.batch_execute(MIGRATION).await.unwrap();
    migrator.batch_execute("REVOKE UPDATE, DELETE ON audit FROM nno_registry_app").await.unwrap();

    let changed = ServiceDatabase { app_password: "new".into(), ..registry() };
    cluster.ensure_service_database(&changed).await.unwrap();
    let old = cluster.url(&changed.app, &registry().app_password, &changed.name);
    assert!(refusal(connect(&old).await).contains("password authentication failed"));
    let app = app(&cluster, &changed).await;
    app.batch_execute("INSERT INTO audit (what) VALUES ('created')").await.unwrap();
    assert!(
        refusal(app.batch_execute("DELETE FROM audit").await).contains("permission denied for table audit")
    );
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn concurrent_runs_succeed() {
    let scratch = Scratch::new();
    let cluster = scratch.start().await;
    let url = cluster.superuser_url("postgres");
    let (one, two) = (registry(), onboarding());
    let (a, b, c, d) = tokio::join!(
        ensure_service_database(&url, &one),
        ensure_service_database(&url, &two),
        ensure_service_database(&url, &one),
        ensure_service_database(&url, &two),
    );
    for result in [a, b, c, d] {
        result.unwrap();
    }
    app(&cluster, &one).await;
    app(&cluster, &two).await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn special_characters_in_names_are_quoted() {
    let scratch = Scratch::new();
    let cluster = scratch.start().await;
    let odd = ServiceDatabase {
        name: r#"Odd "name'"#.to_owned(),
        owner: r"own'er\".to_owned(),
        owner_password: r"a'b\".into(),
        app: r#":'owner_password' "x""#.to_owned(),
        app_password: "é".into(),
    };
    for _ in 0..2 {
        cluster.ensure_service_database(&odd).await.unwrap();
    }
    owner(&cluster, &odd).await.batch_execute("CREATE TABLE t AS SELECT 7 AS n").await.unwrap();
    assert_eq!(value(&app(&cluster, &odd).await, "SELECT n FROM t").await, "7");

    let long = ServiceDatabase { app: "x".repeat(64), ..odd };
    let error = cluster.ensure_service_database(&long).await.unwrap_err();
    assert!(matches!(error, Error::Name { .. }), "{error}");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn messages_are_in_english_for_any_server_locale() {
    let scratch = Scratch::new();
    let cluster = scratch.start().await;
    cluster.ensure_service_database(&registry()).await.unwrap();
    let query = "SELECT concat(setting, ' by ', source) FROM pg_settings WHERE name = 'lc_messages'";
    for client in [owner(&cluster, &registry()).await, app(&cluster, &registry()).await] {
        assert_eq!(value(&client, query).await, "C by database");
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn psql_produces_the_same_privileges() {
    let scratch = Scratch::new();
    let cluster = scratch.start().await;
    let mine = registry();
    let psql = Binaries::find(None, None).await.unwrap().dir().join("psql");
    for _ in 0..2 {
        let output = Command::new(&psql)
            .arg(cluster.superuser_url("postgres").expose_secret())
            .args(["--no-psqlrc", "--quiet", "--file"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/service-database.sql"))
            .args(["-v", &format!("database={}", mine.name)])
            .args(["-v", &format!("owner={}", mine.owner)])
            .args(["-v", &format!("owner_password={}", mine.owner_password.expose_secret())])
            .args(["-v", &format!("app={}", mine.app)])
            .args(["-v", &format!("app_password={}", mine.app_password.expose_secret())])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let by_psql = privileges(&cluster, &mine).await;
    cluster.ensure_service_database(&mine).await.unwrap();
    assert_eq!(privileges(&cluster, &mine).await, by_psql);
    assert!(by_psql.contains("nno_registry_app=arwd/nno_registry_owner"), "{by_psql}");
    owner(&cluster, &mine).await.batch_execute(MIGRATION).await.unwrap();
    app(&cluster, &mine).await.batch_execute("INSERT INTO items (name) VALUES ('a')").await.unwrap();
    cluster.stop().await.unwrap();
}

/// Returns all granted privileges as text.
async fn privileges(cluster: &Cluster, database: &ServiceDatabase) -> String {
    let client = connect(&cluster.superuser_url(&database.name)).await.unwrap();
    let query = "SELECT concat_ws(' | ',
        (SELECT string_agg(concat(datname, datacl), ' ' ORDER BY datname) FROM pg_database),
        (SELECT concat(nspacl, nspowner::regrole) FROM pg_namespace WHERE nspname = 'public'),
        (SELECT string_agg(concat(defaclobjtype, defaclacl), ' ' ORDER BY defaclobjtype) FROM pg_default_acl))";
    value(&client, query).await
}
