//! Running stack registry, and helpers to fill it.

use std::ops::Deref;

use diesel::{QueryableByName, sql_query, sql_types::BigInt};
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use stack_registry::StackRegistry;
use testkit::{Response, TestService};

pub(crate) struct Catalogue(TestService);

impl Deref for Catalogue {
    type Target = TestService;

    fn deref(&self) -> &TestService {
        &self.0
    }
}

pub(crate) fn template(name: &str) -> Value {
    json!({ "name": name, "displayName": "A shop", "description": "Sells goods" })
}

/// Minimal definition.
pub(crate) fn small_definition() -> Value {
    json!({
        "schemaVersion": 1, "displayName": "A shop", "features": [],
        "resources": { "d1": false, "r2": false, "kv": false, "queue": false },
    })
}

pub(crate) fn version(version: &str) -> Value {
    json!({ "version": version, "stackDefinition": small_definition(), "nnoSdkVersion": "2.0.0" })
}

pub(crate) fn depending(version: &str, on: &[&str]) -> Value {
    let mut body = self::version(version);
    body["stackDefinition"]["dependsOn"] =
        on.iter().map(|name| json!({ "template": name, "versionRange": "*" })).collect();
    body
}

impl Catalogue {
    pub(crate) async fn start() -> Self {
        Self(TestService::start::<StackRegistry>().await)
    }

    /// Starts a catalogue with an active template `shop`.
    pub(crate) async fn with_shop() -> Self {
        let catalogue = Self::start().await;
        catalogue.create("shop").await;
        catalogue
    }

    /// Publishes a version with labels.
    pub(crate) async fn label(&self, name: &str, version: &str, labels: Value) {
        let mut body = self::version(version);
        body["stackDefinition"]["labels"] = labels;
        self.try_publish(name, body).await.expect(201);
    }

    /// Names in the list of templates, in alphabetical order.
    pub(crate) async fn names(&self, query: &str) -> Vec<String> {
        let listed = self.get(&format!("/api/v1/stacks{query}")).await.expect(200);
        let data = listed["data"].as_array().unwrap();
        assert_eq!(listed["total"], data.len());
        let mut names: Vec<String> =
            data.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    /// Creates a template and returns its id.
    pub(crate) async fn create(&self, name: &str) -> String {
        let created = self.post("/api/v1/stacks", template(name)).await.expect(201);
        created["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn try_publish(&self, name: &str, body: Value) -> Response {
        self.post(&format!("/api/v1/stacks/{name}/versions"), body).await
    }

    /// Publishes a version and returns its id.
    pub(crate) async fn publish(&self, name: &str, version: &str) -> String {
        let published = self.try_publish(name, self::version(version)).await.expect(201);
        published["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn deprecate(&self, name: &str, version: &str) {
        let done = self.delete(&format!("/api/v1/stacks/{name}/{version}")).await.expect(200);
        assert_eq!(done, json!({ "ok": true }));
    }

    pub(crate) async fn detail(&self, name: &str) -> Value {
        self.get(&format!("/api/v1/stacks/{name}")).await.expect(200)
    }

    /// Returns `latest_version` of the template, and checks that the list and the detail agree.
    pub(crate) async fn latest(&self, name: &str) -> Option<String> {
        let detail = self.detail(name).await;
        let latest = detail["template"]["latest_version"].as_str().map(str::to_owned);
        assert_eq!(detail["latestVersion"]["version"].as_str(), latest.as_deref());
        let listed = self.get("/api/v1/stacks").await.expect(200);
        if let Some(item) = listed["data"].as_array().unwrap().iter().find(|item| item["name"] == name) {
            assert_eq!(*item, detail["template"]);
        }
        latest
    }

    /// Versions in the order of the list.
    pub(crate) async fn versions(&self, name: &str) -> Vec<Value> {
        let listed = self.get(&format!("/api/v1/stacks/{name}/versions")).await.expect(200);
        let data = listed["data"].as_array().unwrap().clone();
        assert_eq!(listed["total"], data.len());
        data
    }

    /// Number of rows of a FROM clause, as the owner of the tables.
    pub(crate) async fn count(&self, from: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Count {
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        let sql = format!("SELECT count(*) AS n FROM {from}");
        sql_query(sql).get_result::<Count>(&mut self.db.connect_as_owner().await).await.unwrap().n
    }
}

/// Paths of the faults of a rejected body, without duplicates.
pub(crate) fn fault_paths(answer: Response) -> Vec<String> {
    let details = answer.expect_error(400, "VALIDATION_ERROR");
    let faults = details["fields"].as_array().unwrap();
    let mut paths: Vec<String> =
        faults.iter().map(|fault| fault["path"].as_str().unwrap().to_owned()).collect();
    paths.dedup();
    paths
}
