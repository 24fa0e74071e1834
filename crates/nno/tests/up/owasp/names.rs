//! API1:2023: names and host names of other platforms in every field that takes one.
//!
//! The fields are found in the document by their names: a new field has to be classified here and is then attacked.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    document::{Document, Operation},
    fixtures::{create_one_of_each, post, text},
    hosts::{is_named, put},
};
use crate::system::{TestSystem, Up, eventually};

const BASE: &str = "nno.localhost";

/// Words in the names of fields that may take the name of infrastructure or a host name.
const WORDS: [&str; 8] = ["name", "host", "dns", "domain", "target", "slug", "zone", "cf"];

/// Content of a field.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// The name of a resource.
    Resource,
    /// The host name of a DNS record or a custom domain.
    Host,
    /// The host name that a custom domain points to.
    Target,
    /// An id, or a text that is not a name at the provider.
    Other,
}

fn kind(field: &str) -> Option<Kind> {
    let (_, name) = field.rsplit_once('.').unwrap_or(("", field));
    Some(match name {
        "cfName" => Kind::Resource,
        "hostname" => Kind::Host,
        "targetDns" => Kind::Target,
        // Display names and slugs.
        "name" | "displayName" | "platformName" | "serviceName" | "slug" => Kind::Other,
        // Stored and returned: see docs/operator-guide/security.md.
        "repoName" | "domain" | "targetType" => Kind::Other,
        // Ids of the provider or of this system.
        "cfId" | "cfAccountId" | "cfDeploymentId" | "cfHostnameId" | "cfUrl" | "dnsRecordId" => Kind::Other,
        _ => return None,
    })
}

/// Returns every field of every body that takes the name of infrastructure or a host name.
fn fields(document: &Document) -> Vec<(Operation, String, Kind)> {
    let mut found = Vec::new();
    for operation in document.operations() {
        let Some(schema) = operation.body.clone() else { continue };
        for (field, _) in document.texts(&schema) {
            let (_, name) = field.rsplit_once('.').unwrap_or(("", &field));
            let name = name.to_lowercase();
            if !WORDS.iter().any(|word| name.contains(word)) {
                continue;
            }
            let kind = kind(&field);
            let kind = kind.unwrap_or_else(|| panic!("{} {field}: classify this field", operation.id));
            if kind != Kind::Other {
                let operation = Operation {
                    id: operation.id.clone(),
                    method: operation.method.clone(),
                    path: operation.path.clone(),
                    body: None,
                    response: None,
                };
                found.push((operation, field, kind));
            }
        }
    }
    found
}

/// Returns names and host names that do not belong to platform `a`; some are those of a feature of platform `b`.
fn foreign(kind: Kind, a: &str, b: &str, feature: &str) -> Vec<String> {
    if kind == Kind::Resource {
        let own = format!("{b}-default-{feature}");
        return vec![
            own.to_uppercase(),
            format!("{own}-db"),
            format!("{own}."),
            format!("{b}-default-auth"),
            format!("{b}-"),
            "zzzzzzzzzz-default-x".to_owned(),
            format!("../{own}"),
            format!("{own}\n"),
            own,
        ];
    }
    let own = format!("{feature}.svc.default.{b}.{BASE}");
    let mut hosts = vec![
        own.to_uppercase(),
        format!("{own}."),
        format!("x.{own}"),
        BASE.to_owned(),
        BASE.to_uppercase(),
        format!("svc.{BASE}"),
        format!("{a}.{BASE}"),
        format!("{b}.{BASE}"),
        format!("{a}.{b}.{BASE}"),
        format!("x{a}.{BASE}"),
        own.replace('.', "\u{3002}"),
        own.replace("nno", "\u{ff4e}\u{ff4e}\u{ff4f}"),
        own,
    ];
    if kind == Kind::Target {
        hosts.extend(["www.vic.org", "localhost.localhost"].map(str::to_owned));
    }
    hosts
}

/// Returns a valid body of an operation.
fn valid_body(operation: &str, a: &str, known: &[(&str, &str)]) -> Value {
    let id = |name: &str| known.iter().find(|(given, _)| *given == name).unwrap().1;
    match operation {
        "registerResource" | "registerResourceAlias" => json!({
            "stackId": "default", "resourceType": "worker", "serviceName": "x", "environment": "prod", "cfName": "x",
        }),
        "createDnsRecord" => json!({
            "hostname": "x.invalid", "targetType": "worker", "environment": "prod", "resourceId": id("resourceId"),
        }),
        "createDomain" => json!({
            "hostname": "x.invalid", "targetDns": format!("x.svc.default.{a}.{BASE}"), "dnsRecordId": id("dnsId"),
        }),
        _ => panic!("{operation}: add a valid body"),
    }
}

/// Creates a platform and a tenant without resources.
async fn victim(up: &Up) -> (String, String) {
    let platform = up.create_platform("victim").await;
    let body = json!({ "name": "T", "slug": "t", "type": "tenant" });
    let tenant = post(up, &format!("/api/v1/platforms/{platform}/entities"), body).await;
    (platform, text(&tenant, "id"))
}

#[tokio::test]
async fn no_field_accepts_a_name_of_another_platform() {
    let system = TestSystem::new();
    let up = system.start().await;
    let document = Document::of(&up).await;
    let known = create_one_of_each(&up).await;
    let known: Vec<(&str, &str)> = known.iter().map(|(name, id)| (*name, id.as_str())).collect();
    let a = known[0].1;
    let (b, tenant) = victim(&up).await;
    let developer = json!({ "name": "dev", "role": "developer", "platformId": a });
    let key = text(&post(&up, "/api/v1/iam/keys", developer).await, "key");
    let fields = fields(&document);
    assert!(fields.len() >= 5, "{}", fields.len());
    let mut sent = 0;
    for (operation, field, kind) in &fields {
        let method = Method::from_bytes(operation.method.as_bytes()).unwrap();
        let mut path = operation.filled(&known);
        if operation.id == "createDnsRecord" {
            path = path.replace(&format!("/stacks/{}/", known[2].1), "/stacks/default/");
        }
        for value in foreign(*kind, a, &b, "f1") {
            let mut body = valid_body(&operation.id, a, &known);
            put(&mut body, field, &value);
            let (status, response) = up.call_with_key(&key, method.clone(), &path, Some(body)).await.unwrap();
            let what = format!("{} {field} {value:?}: {status} {response}", operation.id);
            assert!(status == 400 && is_named(&response, field), "{what}");
            sent += 1;
        }
    }
    println!("{sent} values in {} fields", fields.len());
    let at = format!("/api/v1/platforms/{b}/entities/{tenant}/features");
    let feature = json!({ "featureId": "f1", "version": "1.0.0", "environment": "prod" });
    post(&up, &format!("{at}/activate"), feature).await;
    eventually("the feature of the other platform is active", async || {
        let listed = up.get(&at).await;
        listed["data"].as_array().unwrap().iter().any(|one| one["status"] == "active")
    })
    .await;
    up.stop().await;
}
