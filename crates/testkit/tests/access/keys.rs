//! Every operation that clients can call × keys that are no good, and × good ones of another platform: through the
//! gateway, with iam behind it.

use diesel_async::SimpleAsyncConnection;
use domain::access::{About, Operation, declared_operation};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Response, document};

use crate::system::{Door, OPERATOR, System};

const KEYS: &str = "/api/v1/iam/keys";

/// An operation, and how it is asked for of one platform.
struct Asked {
    row: Operation,
    method: Method,
    path: String,
    body: Value,
}

/// Everything in the document that is not told to everyone.
fn everything(platform: &str) -> Vec<Asked> {
    let document = gateway::document().unwrap();
    let is_open =
        |(method, path): &(String, String)| document["paths"][path][method]["security"] == json!([]);
    let all = document::operations(&document).into_iter().filter(|operation| !is_open(operation));
    let asked = |(method, path): (String, String)| {
        let operation = &document["paths"][&path][&method];
        Asked {
            row: declared_operation(operation).unwrap(),
            method: method.to_uppercase().parse().unwrap(),
            path: filled(&path, platform),
            body: body(&document, operation),
        }
    };
    all.map(asked).collect()
}

/// The path with something in it that may be there.
fn filled(path: &str, platform: &str) -> String {
    let part = |part: &str| match part {
        "{platformId}" => platform.to_owned(),
        "{entityId}" | "{stackId}" => "abcdefghij".to_owned(),
        "{featureId}" | "{name}" => "shop".to_owned(),
        "{version}" => "1.0.0".to_owned(),
        "{secretName}" => "SECRET".to_owned(),
        part if part.starts_with('{') => uuid::Uuid::now_v7().to_string(),
        part => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// A body that is good by its form: what is required and no more.
fn body(document: &Value, operation: &Value) -> Value {
    let schema = resolved(document, &operation["requestBody"]["content"]["application/json"]["schema"]);
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let field = |name: &str| {
        let schema = resolved(document, &schema["properties"][name]);
        (name.to_owned(), value(name, schema))
    };
    if schema.is_null() { Value::Null } else { required.map(field).collect() }
}

fn value(name: &str, schema: &Value) -> Value {
    let has = |key: &str, text: &str| schema[key].as_str().is_some_and(|value| value.contains(text));
    match () {
        () if schema["enum"].is_array() => schema["enum"][0].clone(),
        () if schema["type"] == "array" => json!([]),
        () if has("format", "uuid") => json!(uuid::Uuid::now_v7()),
        () if has("pattern", r"\d") => json!("1.0.0"),
        () if name.ends_with("Id") || schema["pattern"].is_string() => json!("abcdefghij"),
        () => json!("a.example"),
    }
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(at) => resolved(document, document.pointer(at.trim_start_matches('#')).unwrap()),
        None => schema,
    }
}

/// A key of the operator's making, as iam answers it.
async fn key(door: &Door, grant: Value) -> Value {
    let mut body = json!({ "name": "a key" });
    runtime::config::merge(&mut body, grant);
    door.post(KEYS, body).await
}

fn text(thing: &Value, field: &str) -> String {
    thing[field].as_str().unwrap().to_owned()
}

async fn platform(door: &Door, slug: &str) -> String {
    text(&door.post("/api/v1/platforms", json!({ "name": slug, "slug": slug })).await, "id")
}

/// Keys of an operator each, that are no good any more or never were.
async fn useless(system: &System, door: &Door) -> Vec<(&'static str, String)> {
    let operator = || json!({ "role": "operator" });
    let (good, revoked, expired) =
        (key(door, operator()).await, key(door, operator()).await, key(door, operator()).await);
    let whoami = async |key: &Value| {
        door.ask(&text(key, "key"), Method::GET, "/api/v1/iam/whoami", &Value::Null).await
    };
    // The gateway has come to know it.
    whoami(&revoked).await.expect(200);
    let path = format!("{KEYS}/{}", text(&revoked, "id"));
    door.ask(OPERATOR, Method::DELETE, &path, &Value::Null).await.expect(200);
    let sql = format!(
        "UPDATE keys SET expires_at = now() - interval '1 second' WHERE id = '{}'",
        text(&expired, "id")
    );
    system.iam.db.connect_as_owner().await.batch_execute(&sql).await.unwrap();
    whoami(&good).await.expect(200);
    let good = text(&good, "key");
    let end = if good.ends_with('A') { "B" } else { "A" };
    let other = text(&key(door, operator()).await, "key");
    let signed = system.iam.keys.signer("gateway");
    vec![
        ("none", String::new()),
        ("revoked", text(&revoked, "key")),
        ("expired", text(&expired, "key")),
        ("tampered", format!("{}{end}", &good[..good.len() - 1])),
        ("the secret of another", format!("{}{}", &good[..37], &other[37..])),
        ("cut", good[..good.len() - 1].to_owned()),
        ("what stands between processes", signed.sign("registry", &identity::Caller::operator()).unwrap()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_no_good_opens_nothing() {
    let system = System::start().await;
    let door = system.door();
    let useless = useless(&system, &door).await;
    let all = everything(&platform(&door, "own").await);
    assert!(all.len() > 90, "{}", all.len());
    for Asked { method, path, body, .. } in &all {
        let bare = door.anonymous(method.clone(), path).send().await.unwrap();
        Response::read(bare).await.expect_error(401, "UNAUTHORIZED");
        for (what, key) in &useless {
            let answer = door.ask(key, method.clone(), path, body).await;
            assert_eq!(answer.status, 401, "{what}: {method} {path}: {}", answer.text);
            answer.expect_error(401, "UNAUTHORIZED");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_platform_finds_nothing() {
    let system = System::start().await;
    let door = system.door();
    let (own, other) = (platform(&door, "own").await, platform(&door, "other").await);
    let tenant = json!({ "name": "Tenant", "slug": "tenant", "type": "tenant" });
    let tenant = door.post(&format!("/api/v1/platforms/{other}/entities"), tenant).await;
    let mut keys = Vec::new();
    for role in ["viewer", "developer", "platform-admin"] {
        for mut grant in [json!({}), json!({ "entityId": tenant["id"] })] {
            runtime::config::merge(&mut grant, json!({ "role": role, "platformId": other }));
            keys.push((grant.to_string(), text(&key(&door, grant).await, "key")));
        }
    }
    let mut wrong = Vec::new();
    for Asked { row, method, path, body } in everything(&own) {
        for (whose, key) in &keys {
            let answer = door.ask(key, method.clone(), &path, &body).await;
            let (status, code) = (answer.status.as_u16(), &answer.body["error"]["code"]);
            let is_right = match row.about {
                About::Platform | About::Entity => (status, code) == (404, &json!("NOT_FOUND")),
                About::Everything => (status, code) == (403, &json!("FORBIDDEN")),
                About::Caller => status < 500,
            };
            let tells = !path.contains(&own) && answer.text.contains(&own);
            if !is_right || tells {
                wrong.push(format!("{whose}: {} {method} {path}: {status} {}", row.id, answer.text));
            }
        }
    }
    assert!(wrong.is_empty(), "{} answers:\n{}", wrong.len(), wrong.join("\n"));
}
