//! API1:2023: names and host names of other platforms, through every field that holds one.
//!
//! The fields are found in the document by what they are called: a new one has to be classified here, and is attacked.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    document::{Document, Operation},
    hosts::{is_named, put},
    world::{made, one_of_everything, text},
};
use crate::system::{Place, Up, eventually};

const BASE: &str = "nno.localhost";

/// What names of fields have in them that may hold the name of infrastructure, or a host name.
const WORDS: [&str; 8] = ["name", "host", "dns", "domain", "target", "slug", "zone", "cf"];

/// What a field holds.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// The name of a resource.
    Resource,
    /// The host name of a DNS record or a custom domain.
    Host,
    /// The host name that a custom domain leads to.
    Target,
    /// A text that names nothing at the provider, or an id.
    Other,
}

fn kind(field: &str) -> Option<Kind> {
    let (_, name) = field.rsplit_once('.').unwrap_or(("", field));
    Some(match name {
        "cfName" => Kind::Resource,
        "hostname" => Kind::Host,
        "targetDns" => Kind::Target,
        // What people call things, and the slugs that they are found by.
        "name" | "displayName" | "platformName" | "serviceName" | "slug" => Kind::Other,
        // Kept and shown: see docs/operator-guide/security.md.
        "repoName" | "domain" | "targetType" => Kind::Other,
        // Ids, of the provider's or of ours.
        "cfId" | "cfAccountId" | "cfDeploymentId" | "cfHostnameId" | "cfUrl" | "dnsRecordId" => Kind::Other,
        _ => return None,
    })
}

/// Every field of every body that holds the name of infrastructure, or a host name.
fn found(document: &Document) -> Vec<(Operation, String, Kind)> {
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
            let kind = kind.unwrap_or_else(|| panic!("{} {field}: whose names may it hold?", operation.id));
            if kind != Kind::Other {
                let operation = Operation {
                    id: operation.id.clone(),
                    method: operation.method.clone(),
                    path: operation.path.clone(),
                    body: None,
                    answer: None,
                };
                found.push((operation, field, kind));
            }
        }
    }
    found
}

/// Names and host names that are not those of platform `a`, where those of `b` are what its features are to have.
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

/// A body of an operation that is good but for what is put into it.
fn good(operation: &str, a: &str, known: &[(&str, &str)]) -> Value {
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
        _ => panic!("{operation}: what is a good body of it?"),
    }
}

/// A platform with a tenant whose features nobody has registered anything of.
async fn victim(up: &Up) -> (String, String) {
    let platform = up.make_platform("victim").await;
    let body = json!({ "name": "T", "slug": "t", "type": "tenant" });
    let tenant = made(up, &format!("/api/v1/platforms/{platform}/entities"), body).await;
    (platform, text(&tenant, "id"))
}

#[tokio::test]
async fn no_field_takes_a_name_of_another_platform() {
    let place = Place::new();
    let up = place.up().await;
    let document = Document::of(&up).await;
    let known = one_of_everything(&up).await;
    let known: Vec<(&str, &str)> = known.iter().map(|(name, id)| (*name, id.as_str())).collect();
    let a = known[0].1;
    let (b, tenant) = victim(&up).await;
    let developer = json!({ "name": "dev", "role": "developer", "platformId": a });
    let key = text(&made(&up, "/api/v1/iam/keys", developer).await, "key");
    let fields = found(&document);
    assert!(fields.len() >= 5, "{}", fields.len());
    let mut sent = 0;
    for (operation, field, kind) in &fields {
        let method = Method::from_bytes(operation.method.as_bytes()).unwrap();
        let mut path = operation.filled(&known);
        if operation.id == "createDnsRecord" {
            path = path.replace(&format!("/stacks/{}/", known[2].1), "/stacks/default/");
        }
        for value in foreign(*kind, a, &b, "f1") {
            let mut body = good(&operation.id, a, &known);
            put(&mut body, field, &value);
            let (status, answer) = up.ask_with(&key, method.clone(), &path, Some(body)).await.unwrap();
            let what = format!("{} {field} {value:?}: {status} {answer}", operation.id);
            assert!(status == 400 && is_named(&answer, field), "{what}");
            sent += 1;
        }
    }
    println!("{sent} values in {} fields", fields.len());
    let at = format!("/api/v1/platforms/{b}/entities/{tenant}/features");
    let feature = json!({ "featureId": "f1", "version": "1.0.0", "environment": "prod" });
    made(&up, &format!("{at}/activate"), feature).await;
    eventually("the feature of the other platform is active", async || {
        let listed = up.get(&at).await;
        listed["data"].as_array().unwrap().iter().any(|one| one["status"] == "active")
    })
    .await;
    up.stop().await;
}
