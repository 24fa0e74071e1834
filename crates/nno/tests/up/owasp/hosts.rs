//! API7:2023: whatever host name or URL a caller gives, nothing connects to it.
//!
//! They are found in the document by what they are called: a new one has to be told of here, and is attacked as well.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    document::{Document, Operation},
    listener::{Trap, Watched},
    world::{made, one_of_everything, text},
};
use crate::{
    page::documentation,
    system::{Place, Up, eventually},
};

/// What names of fields have in them that may lead somewhere.
const WORDS: [&str; 16] = [
    "url", "uri", "host", "domain", "dns", "target", "repo", "git", "endpoint", "callback", "hook",
    "package", "icon", "mail", "server", "link",
];

/// What such a field takes.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A host name, which is looked up at most.
    Host,
    /// A URL, which is kept and shown.
    Url,
    /// Any text, which is kept and shown.
    Text,
    /// One of a few words, or an id.
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

/// The fields of the table in the documentation.
fn told() -> BTreeSet<String> {
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

/// Every field of every body that may lead somewhere.
fn found(document: &Document) -> Vec<(Operation, String, Kind)> {
    let mut found = Vec::new();
    for operation in document.operations() {
        let Some(schema) = &operation.body else { continue };
        for (field, told) in document.texts(schema) {
            let (_, name) = field.rsplit_once('.').unwrap_or(("", &field));
            let name = name.to_lowercase();
            let leads = ["uri", "url", "hostname", "email"]
                .iter()
                .any(|format| told.get("format") == Some(&json!(format)));
            if !leads && !WORDS.iter().any(|word| name.contains(word)) {
                continue;
            }
            let is_word = told.contains_key("enum") || told.get("format") == Some(&json!("uuid"));
            let kind = if is_word { Some(Kind::Word) } else { kind(&field) };
            let kind = kind.unwrap_or_else(|| panic!("{} {field}: what is done with it?", operation.id));
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
        answer: None,
    }
}

/// What is no host name.
fn no_hosts(port: u16) -> Vec<String> {
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

/// URLs that lead to the trap, or to where nobody should go.
fn urls(port: u16) -> Vec<String> {
    let hosts = ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433", "0x7f000001", "trap.localhost"];
    let mut urls: Vec<String> = hosts.iter().map(|host| format!("http://{host}:{port}/trap")).collect();
    urls.extend(["http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/"].map(str::to_owned));
    urls
}

/// What is no URL of the web, or one that says more than where.
fn no_urls(port: u16) -> Vec<String> {
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

/// What is sent, and what has been made for it.
struct Attack<'a> {
    up: &'a Up,
    known: Vec<(&'a str, &'a str)>,
    sent: usize,
}

impl Attack<'_> {
    fn id(&self, name: &str) -> &str {
        self.known.iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// A host name of the platform.
    fn own_host(&self, name: &str) -> String {
        format!("{name}.svc.default.{}.nno.localhost", self.id("platformId"))
    }

    /// A body of an operation that is good but for what is put into it.
    async fn good(&self, operation: &str) -> Value {
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
                let platform = self.up.make_platform(&format!("q-{n}")).await;
                json!({ "platformId": platform, "planTier": "starter", "billingEmail": "pay@acme.invalid" })
            }
            "updatePlatform"
            | "updateBuild"
            | "updateResource"
            | "updateResourceAlias"
            | "updateDomain"
            | "updateStackTemplate" => json!({}),
            _ => panic!("{operation}: what is a good body of it?"),
        }
    }

    /// Sends a value in the field of a body that is good otherwise.
    async fn send(&mut self, operation: &Operation, field: &str, value: &str) -> (u16, Value) {
        self.sent += 1;
        let mut body = self.good(&operation.id).await;
        put(&mut body, field, value);
        let method = Method::from_bytes(operation.method.as_bytes()).unwrap();
        let mut path = operation.filled(&self.known);
        if operation.id == "createDnsRecord" {
            path = path.replace(&format!("/stacks/{}/", self.id("stackId")), "/stacks/default/");
        }
        self.up.ask(method, &path, Some(body)).await.unwrap()
    }
}

pub(crate) fn put(body: &mut Value, field: &str, value: &str) {
    match field.split_once('.') {
        None => body[field] = json!(value),
        Some(("*", rest)) => put(&mut body[0], rest, value),
        Some((name, rest)) => put(&mut body[name], rest, value),
    }
}

pub(crate) fn is_named(answer: &Value, field: &str) -> bool {
    let faults = answer["error"]["details"]["fields"].as_array().cloned().unwrap_or_default();
    let wanted = field.replace('*', "0");
    faults
        .iter()
        .any(|fault| fault["path"].as_str().unwrap().trim_start_matches('/').replace('/', ".") == wanted)
}

#[tokio::test]
async fn nothing_connects_to_what_a_caller_names() {
    let place = Place::new();
    let up = place.up().await;
    let (trap, watched) = (Trap::set().await, Watched::of(up.pid()));
    let document = Document::of(&up).await;
    let known = one_of_everything(&up).await;
    let mut known: Vec<(&str, &str)> = known.iter().map(|(name, id)| (*name, id.as_str())).collect();
    let platform = known[0].1.to_owned();
    let builds = up.get(&format!("/api/v1/platforms/{platform}/builds")).await;
    let build = text(&builds["data"][0], "id");
    known.push(("buildId", &build));
    let mut attack = Attack { up: &up, known, sent: 0 };
    let found = found(&document);
    assert!(found.len() >= 18, "{}", found.len());
    let names = found.iter().filter(|(_, _, kind)| *kind != Kind::Word);
    let names: BTreeSet<String> =
        names.map(|(_, field, _)| field.rsplit('.').next().unwrap().to_owned()).collect();
    assert_eq!(names, told(), "docs/operator-guide/security.md tells what becomes of each");
    for (operation, field, kind) in &found {
        let (wrong, right) = match kind {
            Kind::Host if field == "targetDns" => {
                (no_hosts(trap.port), vec![attack.own_host(&format!("trap-{}", attack.sent))])
            }
            Kind::Host => (no_hosts(trap.port), vec![format!("trap-{}.localhost", attack.sent)]),
            Kind::Url => (no_urls(trap.port), urls(trap.port)),
            Kind::Text => (vec![], urls(trap.port)),
            Kind::Word => (urls(trap.port), vec![]),
        };
        for value in wrong {
            let (status, answer) = attack.send(operation, field, &value).await;
            let what = format!("{} {field} {value:?}: {status} {answer}", operation.id);
            assert!(matches!(status, 400 | 422) && is_named(&answer, field), "{what}");
        }
        for value in right {
            let (status, answer) = attack.send(operation, field, &value).await;
            let refused = *kind == Kind::Text && status == 400 && is_named(&answer, field);
            assert!((200..300).contains(&status) || refused, "{} {field} {value:?}: {answer}", operation.id);
        }
    }
    println!("{} values in {} fields", attack.sent, found.len());
    schemas(&up, trap.port, &mut attack).await;
    lines(&up, trap.port).await;
    all_is_done(&up, &platform).await;
    let sent = watched.all();
    assert!(sent.len() > 3, "it is seen whom it connects to: {sent:?}");
    let strange: Vec<_> = sent.iter().filter(|(ip, port)| !ip.is_loopback() || *port == trap.port).collect();
    assert!(strange.is_empty(), "{strange:?}");
    trap.assert_not_sprung().await;
    up.stop().await;
}

/// A definition brings a JSON Schema, which may refer to others.
async fn schemas(up: &Up, port: u16, attack: &mut Attack<'_>) {
    let there = format!("http://127.0.0.1:{port}/schema.json");
    let inside = json!({ "type": "object", "properties": { "a": { "$ref": &there } } });
    let based = json!({ "$id": &there, "type": "object", "properties": { "a": { "$ref": "other.json" } } });
    let file = json!({ "type": "object", "$ref": "file:///etc/passwd" });
    for inputs in [
        inside,
        based,
        file,
        json!({ "type": "object", "$ref": &there }),
        json!({ "$schema": &there, "type": "object" }),
        json!({ "type": "object", "$dynamicRef": format!("{there}#a") }),
    ] {
        attack.sent += 1;
        let mut body = attack.good("publishStackVersion").await;
        let version = text(&body, "version");
        body["stackDefinition"]["inputs"] = inputs.clone();
        let answer = up.ask(Method::POST, "/api/v1/stacks/shop/versions", Some(body)).await.unwrap();
        assert_eq!(answer.0, 400, "{inputs}: {}", answer.1);
        assert!(answer.1.to_string().contains("inputs"), "{inputs}: {}", answer.1);
        assert_eq!(
            up.ask(Method::GET, &format!("/api/v1/stacks/shop/{version}"), None).await.unwrap().0,
            404
        );
    }
}

/// What stands in the head of a request: where it says it goes, and what proxies say.
async fn lines(up: &Up, port: u16) {
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
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 "), "{head}: {answer}");
        let (head_of_answer, _) = answer.split_once("\r\n\r\n").unwrap();
        assert!(!head_of_answer.contains(&there), "{head}: {head_of_answer}");
    }
}

/// Everything that was asked for is done, and a custom domain that leads to this machine is checked.
async fn all_is_done(up: &Up, platform: &str) {
    let records = format!("/api/v1/platforms/{platform}/stacks/default/dns?limit=100");
    let record = text(&up.get(&records).await["data"][0], "id");
    let domains = format!("/api/v1/platforms/{platform}/domains");
    let target = format!("trap.svc.default.{platform}.nno.localhost");
    let body = json!({ "dnsRecordId": record, "hostname": "shop.localhost", "targetDns": target });
    let domain = text(&made(up, &domains, body).await, "id");
    eventually("the domain is checked", async || {
        let listed = up.get(&format!("{domains}?limit=100")).await;
        let listed = listed["data"].as_array().unwrap();
        listed.iter().any(|one| one["id"] == domain && one["status"] == "active")
    })
    .await;
    eventually("no job is under way", async || {
        let jobs = up.get("/api/v1/provisioning/jobs?limit=100").await;
        let jobs = jobs["data"].as_array().unwrap();
        jobs.iter().all(|job| matches!(job["status"].as_str(), Some("COMPLETED" | "ROLLED_BACK" | "FAILED")))
    })
    .await;
}
