//! API7:2023: nothing connects to a host name or URL in a request.
//!
//! The fields are found in the document by their names: a new field has to be classified here and is then attacked.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    connections::{ConnectionWatch, Trap},
    document::{Document, Operation},
    fixtures::{create_one_of_each, post, text},
};
use crate::{
    documentation::documentation,
    system::{TestSystem, Up, eventually},
};

/// Words in the names of fields that may take a host name or URL.
const WORDS: [&str; 16] = [
    "url", "uri", "host", "domain", "dns", "target", "repo", "git", "endpoint", "callback", "hook",
    "package", "icon", "mail", "server", "link",
];

/// Content of a field.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A host name, which is only resolved.
    Host,
    /// A URL, which is stored and returned.
    Url,
    /// Any text, which is stored and returned.
    Text,
    /// An enum value or an id.
    Word,
}

fn kind(field: &str) -> Option<Kind> {
    let (_, name) = field.rsplit_once('.').unwrap_or(("", field));
    Some(match name {
        "hostname" | "targetDns" => Kind::Host,
        "cfUrl" | "buildUrl" => Kind::Url,
        "repoName" | "targetType" | "cfHostnameId" | "domain" | "icon" | "package" | "billingEmail" => {
            Kind::Text
        }
        _ => return None,
    })
}

/// Returns the fields in the table of the documentation.
fn documented_fields() -> BTreeSet<String> {
    let page = documentation("docs/operator-guide/security.md");
    let (_, section) = page.split_once("\n### URLs and host names that callers give\n").unwrap();
    let rows = section.split("\n### ").next().unwrap().lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    cells
        .flat_map(|cell| cell.split('`').step_by(2))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Returns every field of every body that may take a host name or URL.
fn fields(document: &Document) -> Vec<(Operation, String, Kind)> {
    let mut found = Vec::new();
    for operation in document.operations() {
        let Some(schema) = &operation.body else { continue };
        for (field, schema) in document.texts(schema) {
            let (_, name) = field.rsplit_once('.').unwrap_or(("", &field));
            let name = name.to_lowercase();
            let has_format = ["uri", "url", "hostname", "email"]
                .iter()
                .any(|format| schema.get("format") == Some(&json!(format)));
            if !has_format && !WORDS.iter().any(|word| name.contains(word)) {
                continue;
            }
            let is_word = schema.contains_key("enum") || schema.get("format") == Some(&json!("uuid"));
            let kind = if is_word { Some(Kind::Word) } else { kind(&field) };
            let kind = kind.unwrap_or_else(|| panic!("{} {field}: classify this field", operation.id));
            found.push((clone(&operation), field, kind));
        }
    }
    found
}

fn clone(one: &Operation) -> Operation {
    Operation {
        id: one.id.clone(),
        method: one.method.clone(),
        path: one.path.clone(),
        body: one.body.clone(),
        response: None,
    }
}

/// Returns invalid host names.
fn invalid_hosts(port: u16) -> Vec<String> {
    let mut values = vec![
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("http://127.0.0.1:{port}/"),
        format!("user:word@127.0.0.1:{port}"),
        format!("gopher://127.0.0.1:{port}/_"),
        format!("a.example.invalid\r\nHost: 127.0.0.1:{port}"),
        format!("{}.invalid", "a".repeat(64)),
        format!("{}invalid", "a.".repeat(130)),
    ];
    let fixed = [
        "",
        " ",
        "localhost",
        "127.0.0.1",
        "127.1",
        "0177.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0x0.0x0.0x1",
        "0.0.0.0",
        "10.0.0.1",
        "169.254.169.254",
        "::1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "::ffff:7f00:1",
        "user@a.example.invalid",
        "file:///etc/passwd",
        "a.example.invalid:443",
        "a.example.invalid.",
        "a..invalid",
        "-a.invalid",
        "a_b.invalid",
        "*.invalid",
        "a.example.invalid/x",
        "a.example.invalid?x",
        "a.example.invalid#x",
        " a.example.invalid",
        "a b.invalid",
        "a.example.invalid\n",
        "a\u{0}.invalid",
        "ex\u{e4}mple.invalid",
        "\u{ff0e}.invalid",
        "\u{2460}27.0.0.1",
        "${jndi:ldap://a.invalid}",
        "{{a}}.invalid",
    ];
    values.extend(fixed.map(str::to_owned));
    values
}

/// Returns URLs of the trap and of addresses that are typical targets.
fn urls(port: u16) -> Vec<String> {
    let hosts = ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433", "0x7f000001", "trap.localhost"];
    let mut urls: Vec<String> = hosts.iter().map(|host| format!("http://{host}:{port}/trap")).collect();
    urls.extend(["http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/"].map(str::to_owned));
    urls
}

/// Returns invalid URLs.
fn invalid_urls(port: u16) -> Vec<String> {
    vec![
        format!("http://user:word@127.0.0.1:{port}/"),
        format!("http://user@127.0.0.1:{port}/"),
        format!("//127.0.0.1:{port}/"),
        format!("gopher://127.0.0.1:{port}/_"),
        format!("http://127.0.0.1:{port}/\r\nHost: a"),
        format!("http:\\\\127.0.0.1:{port}\\"),
        format!("http://127.0.0.1:{port}/{}", "a".repeat(2048)),
        "file:///etc/passwd".to_owned(),
        "ftp://127.0.0.1/".to_owned(),
        "javascript:alert(1)".to_owned(),
        "http://".to_owned(),
    ]
}

/// State of the attack on one system.
struct Attack<'a> {
    up: &'a Up,
    known: Vec<(&'a str, &'a str)>,
    sent: usize,
}

impl Attack<'_> {
    fn id(&self, name: &str) -> &str {
        self.known.iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// Returns a host name of the platform.
    fn own_host(&self, name: &str) -> String {
        format!("{name}.svc.default.{}.nno.localhost", self.id("platformId"))
    }

    /// Returns a valid body of an operation.
    async fn valid_body(&self, operation: &str) -> Value {
        let n = self.sent;
        match operation {
            "createPlatform" => json!({ "name": "P", "slug": format!("p-{n}") }),
            "createStack" => json!({ "tenantId": self.id("entityId"), "name": format!("s-{n}") }),
            "registerResource" | "registerResourceAlias" => json!({
                "stackId": "default", "resourceType": "worker", "serviceName": "x", "environment": "prod",
                "cfName": format!("r-{n}"),
            }),
            "createDnsRecord" => json!({
                "hostname": format!("h-{n}.invalid"), "targetType": "worker", "environment": "prod",
                "resourceId": self.id("resourceId"),
            }),
            "createDomain" => json!({
                "hostname": format!("d-{n}.invalid"), "targetDns": self.own_host("a"), "dnsRecordId": self.id("dnsId"),
            }),
            "createStackTemplate" => {
                json!({ "name": format!("t-{n}"), "displayName": "T", "description": "T" })
            }
            "publishStackVersion" => json!({
                "version": format!("2.0.{n}"), "nnoSdkVersion": "1.0.0", "stackDefinition": {
                    "schemaVersion": 1, "displayName": "Shop",
                    "resources": { "d1": false, "r2": false, "kv": false, "queue": false },
                    "features": [{ "id": "cart", "version": "1.0.0", "package": "@shop/cart", "required": true, "permissions": [] }],
                },
            }),
            "queuePlatformProvisioning" => {
                let platform = self.up.create_platform(&format!("q-{n}")).await;
                json!({ "platformId": platform, "planTier": "starter", "billingEmail": "pay@acme.invalid" })
            }
            "updatePlatform"
            | "updateBuild"
            | "updateResource"
            | "updateResourceAlias"
            | "updateDomain"
            | "updateStackTemplate" => json!({}),
            _ => panic!("{operation}: add a valid body"),
        }
    }

    /// Sends a valid body with this value in the field.
    async fn send(&mut self, operation: &Operation, field: &str, value: &str) -> (u16, Value) {
        self.sent += 1;
        let mut body = self.valid_body(&operation.id).await;
        put(&mut body, field, value);
        let method = Method::from_bytes(operation.method.as_bytes()).unwrap();
        let mut path = operation.filled(&self.known);
        if operation.id == "createDnsRecord" {
            path = path.replace(&format!("/stacks/{}/", self.id("stackId")), "/stacks/default/");
        }
        self.up.call(method, &path, Some(body)).await.unwrap()
    }
}

pub(crate) fn put(body: &mut Value, field: &str, value: &str) {
    match field.split_once('.') {
        None => body[field] = json!(value),
        Some(("*", rest)) => put(&mut body[0], rest, value),
        Some((name, rest)) => put(&mut body[name], rest, value),
    }
}

pub(crate) fn is_named(response: &Value, field: &str) -> bool {
    let faults = response["error"]["details"]["fields"].as_array().cloned().unwrap_or_default();
    let wanted = field.replace('*', "0");
    faults
        .iter()
        .any(|fault| fault["path"].as_str().unwrap().trim_start_matches('/').replace('/', ".") == wanted)
}

#[tokio::test]
async fn nothing_connects_to_hosts_named_by_callers() {
    let system = TestSystem::new();
    let up = system.start().await;
    let (trap, watched) = (Trap::set().await, ConnectionWatch::of(up.pid()));
    let document = Document::of(&up).await;
    let known = create_one_of_each(&up).await;
    let mut known: Vec<(&str, &str)> = known.iter().map(|(name, id)| (*name, id.as_str())).collect();
    let platform = known[0].1.to_owned();
    let builds = up.get(&format!("/api/v1/platforms/{platform}/builds")).await;
    let build = text(&builds["data"][0], "id");
    known.push(("buildId", &build));
    let mut attack = Attack { up: &up, known, sent: 0 };
    let fields = fields(&document);
    assert!(fields.len() >= 18, "{}", fields.len());
    let names = fields.iter().filter(|(_, _, kind)| *kind != Kind::Word);
    let names: BTreeSet<String> =
        names.map(|(_, field, _)| field.rsplit('.').next().unwrap().to_owned()).collect();
    assert_eq!(names, documented_fields(), "docs/operator-guide/security.md documents each field");
    for (operation, field, kind) in &fields {
        let (invalid, valid) = match kind {
            Kind::Host if field == "targetDns" => {
                (invalid_hosts(trap.port), vec![attack.own_host(&format!("trap-{}", attack.sent))])
            }
            Kind::Host => (invalid_hosts(trap.port), vec![format!("trap-{}.localhost", attack.sent)]),
            Kind::Url => (invalid_urls(trap.port), urls(trap.port)),
            Kind::Text => (vec![], urls(trap.port)),
            Kind::Word => (urls(trap.port), vec![]),
        };
        for value in invalid {
            let (status, response) = attack.send(operation, field, &value).await;
            let what = format!("{} {field} {value:?}: {status} {response}", operation.id);
            assert!(matches!(status, 400 | 422) && is_named(&response, field), "{what}");
        }
        for value in valid {
            let (status, response) = attack.send(operation, field, &value).await;
            let rejected = *kind == Kind::Text && status == 400 && is_named(&response, field);
            assert!(
                (200..300).contains(&status) || rejected,
                "{} {field} {value:?}: {response}",
                operation.id
            );
        }
    }
    println!("{} values in {} fields", attack.sent, fields.len());
    check_schema_references(&up, trap.port, &mut attack).await;
    check_request_heads(&up, trap.port).await;
    wait_until_idle(&up, &platform).await;
    let peers = watched.peers();
    assert!(peers.len() > 3, "the watch sees connections: {peers:?}");
    let unexpected: Vec<_> =
        peers.iter().filter(|(ip, port)| !ip.is_loopback() || *port == trap.port).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    trap.assert_no_connection().await;
    up.stop().await;
}

/// Publishes definitions whose JSON Schemas refer to other documents.
async fn check_schema_references(up: &Up, port: u16, attack: &mut Attack<'_>) {
    let target = format!("http://127.0.0.1:{port}/schema.json");
    let inside = json!({ "type": "object", "properties": { "a": { "$ref": &target } } });
    let based = json!({ "$id": &target, "type": "object", "properties": { "a": { "$ref": "other.json" } } });
    let file = json!({ "type": "object", "$ref": "file:///etc/passwd" });
    for inputs in [
        inside,
        based,
        file,
        json!({ "type": "object", "$ref": &target }),
        json!({ "$schema": &target, "type": "object" }),
        json!({ "type": "object", "$dynamicRef": format!("{target}#a") }),
    ] {
        attack.sent += 1;
        let mut body = attack.valid_body("publishStackVersion").await;
        let version = text(&body, "version");
        body["stackDefinition"]["inputs"] = inputs.clone();
        let response = up.call(Method::POST, "/api/v1/stacks/shop/versions", Some(body)).await.unwrap();
        assert_eq!(response.0, 400, "{inputs}: {}", response.1);
        assert!(response.1.to_string().contains("inputs"), "{inputs}: {}", response.1);
        assert_eq!(
            up.call(Method::GET, &format!("/api/v1/stacks/shop/{version}"), None).await.unwrap().0,
            404
        );
    }
}

/// Sends requests with foreign hosts in the request line and in the headers of proxies.
async fn check_request_heads(up: &Up, port: u16) {
    let (there, key) = (format!("127.0.0.1:{port}"), up.operator_key());
    let own = up.url.strip_prefix("http://").unwrap();
    let host = |host: &str| format!("Host: {host}\r\n");
    let heads = [
        format!("GET /api/v1/platforms HTTP/1.1\r\n{}", host(&there)),
        format!("GET http://{there}/api/v1/platforms HTTP/1.1\r\n{}", host(&there)),
        format!("GET http://{there}/api/v1/platforms HTTP/1.1\r\n{}", host(own)),
        format!("CONNECT {there} HTTP/1.1\r\n{}", host(&there)),
        format!("GET /openapi.json HTTP/1.1\r\n{}", host(&there)),
        format!("GET /docs HTTP/1.1\r\n{}X-Forwarded-Host: {there}\r\n", host(own)),
        format!(
            "GET /api/v1/platforms HTTP/1.1\r\n{}X-Forwarded-Host: {there}\r\nX-Forwarded-Server: {there}\r\n\
             Forwarded: host={there};proto=http\r\nX-Original-URL: http://{there}/\r\nX-Rewrite-URL: http://{there}/\r\n\
             X-Host: {there}\r\nOrigin: http://{there}\r\nReferer: http://{there}/\r\nVia: 1.1 {there}\r\n",
            host(own)
        ),
    ];
    for head in heads {
        let mut stream = TcpStream::connect(own).await.unwrap();
        let request = format!("{head}Authorization: Bearer {key}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        assert!(response.starts_with("HTTP/1.1 "), "{head}: {response}");
        let (response_head, _) = response.split_once("\r\n\r\n").unwrap();
        assert!(!response_head.contains(&there), "{head}: {response_head}");
    }
}

/// Waits until all jobs have ended and a custom domain that points to this machine has been checked.
async fn wait_until_idle(up: &Up, platform: &str) {
    let records = format!("/api/v1/platforms/{platform}/stacks/default/dns?limit=100");
    let record = text(&up.get(&records).await["data"][0], "id");
    let domains = format!("/api/v1/platforms/{platform}/domains");
    let target = format!("trap.svc.default.{platform}.nno.localhost");
    let body = json!({ "dnsRecordId": record, "hostname": "shop.localhost", "targetDns": target });
    let domain = text(&post(up, &domains, body).await, "id");
    eventually("the domain is checked", async || {
        let listed = up.get(&format!("{domains}?limit=100")).await;
        let listed = listed["data"].as_array().unwrap();
        listed.iter().any(|one| one["id"] == domain && one["status"] == "active")
    })
    .await;
    eventually("all jobs have ended", async || {
        let jobs = up.get("/api/v1/provisioning/jobs?limit=100").await;
        let jobs = jobs["data"].as_array().unwrap();
        jobs.iter().all(|job| matches!(job["status"].as_str(), Some("COMPLETED" | "ROLLED_BACK" | "FAILED")))
    })
    .await;
}
