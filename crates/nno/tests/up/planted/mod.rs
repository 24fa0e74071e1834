//! A thousand secrets, pushed through every input: none is in anything that the system writes.
//!
//! What is looked through: the log, at its finest; PostgreSQL's own log; traces and metrics, as a collector gets them;
//! the answers; and every row of every table, so the events, the audit logs and the kept answers among them.

mod inputs;
mod search;
mod secret;

use std::{fs, path::Path, sync::Mutex};

use futures_util::{StreamExt, stream};
use reqwest::Method;
use runtime::config;
use serde_json::{Value, json};
use service::Service;
use testkit::Collector;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use self::{
    inputs::{Input, Target},
    search::Search,
    secret::{KINDS, Secret, word},
};
use crate::{
    person::{Person, Said},
    system::{Place, Up, eventually},
};

const PLANTED: usize = 1000;
const DATABASES: [&str; 5] =
    ["nno_registry", "nno_stack_registry", "nno_onboarding", "nno_provisioning", "nno_iam"];
/// Everything that our own crates have to say.
const LOG: &str = "info,check=trace,cli=trace,database=trace,domain=trace,embedded_postgres=trace,gateway=trace,iam=trace,\
    identity=trace,nno=trace,onboarding=trace,provisioning=trace,registry=trace,rpc=trace,runtime=trace,saga=trace,\
    service=trace,stack_registry=trace,web=trace";

async fn made(up: &Up, path: &str, body: Value) -> Value {
    let (status, answer) = up.ask(Method::POST, path, Some(body)).await.unwrap();
    assert!((200..300).contains(&status), "{path}: {status} {answer}");
    answer
}

async fn target(up: &Up, key: &str) -> Target {
    let begun = json!({ "platformName": "Acme", "slug": "acme", "tier": "starter" });
    let onboarding = made(up, "/api/v1/onboarding", begun).await["onboardingId"].as_str().unwrap().to_owned();
    let mut session = Value::Null;
    eventually("the onboarding ends", async || {
        session = up.get(&format!("/api/v1/onboarding/{onboarding}")).await;
        session["status"] == "completed"
    })
    .await;
    let platform = session["platformId"].as_str().unwrap().to_owned();
    let resources = up.get(&format!("/api/v1/platforms/{platform}/resources")).await;
    let resource = resources["data"][0]["id"].as_str().unwrap().to_owned();
    let template = json!({ "name": "shop", "displayName": "Shop", "description": "Sells" });
    made(up, "/api/v1/stacks", template).await;
    Target { client: testkit::client(), url: up.url.clone(), key: key.to_owned(), platform, resource }
}

/// Pushes each secret through every input; answers what was answered.
async fn push(target: &Target, secrets: &[Secret]) -> String {
    let answers = Mutex::new(String::new());
    let given = secrets.iter().flat_map(|secret| target.inputs(secret));
    let sent = stream::iter(given).map(async |Input { request, is_echo }| {
        let answer = request.send().await.unwrap();
        let (status, mut told) = (answer.status(), format!("{:?}", answer.headers()));
        assert!(!status.is_server_error(), "{status}: {}", answer.text().await.unwrap());
        let body = answer.text().await.unwrap();
        if !is_echo {
            told += &body;
        }
        answers.lock().unwrap().push_str(&told);
    });
    let count = sent.buffer_unordered(16).count().await;
    println!("{count} requests");
    answers.into_inner().unwrap()
}

/// Keys as iam makes them, asked for twice, used and revoked.
async fn keys(target: &Target) -> (Vec<Secret>, String) {
    let (mut made, mut told) = (Vec::new(), String::new());
    for n in 0..50 {
        let path = format!("{}/api/v1/iam/keys", target.url);
        let body = json!({ "name": format!("key {n}"), "role": "viewer" });
        let make = || {
            let request = target.client.post(&path).bearer_auth(&target.key).json(&body);
            request.header("Idempotency-Key", format!("once-{n}")).send()
        };
        let first: Value = make().await.unwrap().json().await.unwrap();
        told += &make().await.unwrap().text().await.unwrap();
        let key = first["key"].as_str().unwrap();
        let whoami = format!("{}/api/v1/iam/whoami", target.url);
        told += &target.client.get(whoami).bearer_auth(key).send().await.unwrap().text().await.unwrap();
        let own = format!("{path}/{}", first["id"].as_str().unwrap());
        told +=
            &target.client.delete(own).bearer_auth(&target.key).send().await.unwrap().text().await.unwrap();
        made.push(Secret {
            text: key.to_owned(),
            random: key.rsplit('_').next().unwrap().to_owned(),
            is_credential: true,
        });
    }
    told += &target
        .client
        .get(format!("{}/api/v1/iam/keys?includeRevoked=true", target.url))
        .bearer_auth(&target.key)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    (made, told)
}

/// Every file of a folder, and of those in it.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// What the system has made for itself: passwords, private keys, secrets of workers.
fn own(place: &Place) -> Vec<Secret> {
    let data = place.data();
    let whole = files(&data.join("secrets")).into_iter().chain(files(&data.join("keys/private")));
    let mut own: Vec<Secret> = whole
        .map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("-----")).collect();
            // The beginning of a key says which kind it is, and is the same in all, the public ones as well.
            let text = lines.concat();
            Secret::made(
                text.get(22..)
                    .filter(|_| lines.len() < text.len() && text.starts_with("MC4C"))
                    .unwrap_or(&text),
            )
        })
        .collect();
    assert!(own.len() >= 15, "{}", own.len());
    let workers = files(&data.join("provider")).into_iter().filter(|path| path.ends_with("secrets.json"));
    let before = own.len();
    for path in workers {
        let kept: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        own.extend(
            kept.as_object().unwrap().values().map(|one| Secret::made(one["value"].as_str().unwrap())),
        );
    }
    assert!(own.len() > before, "a worker has a secret");
    own.retain(|secret| secret.random.len() >= 16);
    own
}

/// Every row of every table of every service.
async fn dump(place: &Place) -> String {
    let read = |path: &str| fs::read_to_string(place.data().join(path)).unwrap().trim().to_owned();
    let (port, password) = (read("postgres/port"), read("secrets/postgres"));
    let mut all = String::new();
    for database in DATABASES {
        let url = format!("host=127.0.0.1 port={port} user=nno password={password} dbname={database}");
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let tables = "SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) FROM information_schema.tables \
            WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')";
        let tables = client.query(tables, &[]).await.unwrap();
        assert!(tables.len() >= 5, "{database}");
        for table in tables {
            let table: String = table.get(0);
            all += &format!("\n{database} {table}\n");
            let rows = client.simple_query(&format!("SELECT t::text FROM {table} t")).await.unwrap();
            for row in rows {
                if let SimpleQueryMessage::Row(row) = row {
                    all += row.get(0).unwrap_or_default();
                    all.push('\n');
                }
            }
        }
    }
    all
}

/// What people type, and what they are told.
fn commands(up: &Up, secrets: &[Secret]) -> String {
    let mut told = String::new();
    let mut hear = |said: Said, code: i32| {
        assert_eq!(said.code, code, "{said:?}");
        told += &said.out;
        told += &said.err;
    };
    for secret in secrets {
        let person = Person::new();
        let is_one_word = !secret.text.contains(' ');
        let refused = if is_one_word { 3 } else { 2 };
        hear(person.nno_given(&["login", "--url", &up.url, "--key-stdin"], &secret.text), refused);
        let file = person.home().join("key");
        fs::write(&file, &secret.text).unwrap();
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        hear(person.nno(&["whoami", "--url", &up.url, "--key-file", file.to_str().unwrap()]), refused);
        let person = person.with("NNO_KEY", &secret.text).with("NNO_URL", &up.url);
        hear(person.nno(&["keys", "list"]), refused);
        hear(person.nno(&["whoami", "--url", "http://127.0.0.1:9"]), refused);
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_anything_that_is_written() {
    let (place, collector) = (Place::new(), Collector::serve().await);
    let operator = Secret::of_kind(2);
    let settings = place.path().join("nno.toml");
    // Guessing is held back otherwise, and so is who asks for much.
    let limits = "failures_per_minute = 0\nper_address_per_second = 0\nper_caller_per_second = 0\n";
    fs::write(&settings, format!("[gateway.service.limits]\n{limits}")).unwrap();
    let mut command = place.command();
    command.env("NNO_OPERATOR_KEY", &operator.text).env("NNO_CONFIG_FILE", &settings);
    command.env("NNO_OTLP_ENDPOINT", &collector.endpoint).env("NNO_LOG", LOG);
    let mut up = place.up_with(command).await;
    up.key = Some(operator.text.clone());
    let target = target(&up, &operator.text).await;

    let planted: Vec<Secret> = (0..PLANTED).map(Secret::of_kind).collect();
    let mut answers = push(&target, &planted).await;
    let (keys, told) = keys(&target).await;
    answers += &told;
    answers += &commands(&up, &planted[..2 * KINDS]);
    let own = own(&place);
    let all: Vec<&Secret> = planted.iter().chain(&keys).chain(&own).chain([&operator]).collect();
    println!("{} secrets", all.len());
    let search = Search::of(all);

    // What is no secret is found, so a secret would be.
    let control = Secret { text: "the control".to_owned(), random: word(), is_credential: false };
    let control_search = Search::of([&control]);
    answers += &up
        .ask(Method::GET, &format!("/api/v1/nowhere/{}", control.random), None)
        .await
        .unwrap()
        .1
        .to_string();
    made(&up, "/api/v1/platforms", json!({ "name": control.random, "slug": "control" })).await;
    let dump = dump(&place).await;
    for table in ["platforms", "outbox", "audit_log", "idempotency_keys"] {
        assert!(dump.contains(&format!("nno_registry public.{table}\n")), "{table}");
    }
    let postgres = fs::read_to_string(place.data().join("postgres/postgres.log")).unwrap();
    assert!(postgres.contains("duplicate key value"), "it tells of refused statements");
    let said = up.said.join("\n");
    let log = place.path().join("log");
    up.stop().await;
    let telemetry = collector.text();
    assert!(
        telemetry.contains("http.server.request.duration") && telemetry.contains("nno.transaction.duration")
    );
    let log = fs::read_to_string(log).unwrap();
    println!(
        "log {} MB, telemetry {} MB, dump {} MB",
        log.len() >> 20,
        telemetry.len() >> 20,
        dump.len() >> 20
    );
    let mut leaks = Vec::new();
    for (what, text, has_control) in [
        ("an answer", &answers, 1),
        ("the log", &log, 1),
        ("traces and metrics", &telemetry, 1),
        ("the databases", &dump, 3),
        ("PostgreSQL's log", &postgres, 0),
        ("standard output", &said, 0),
    ] {
        let found = search.find(text.as_bytes());
        leaks.extend(found.into_iter().take(20).map(|found| format!("in {what}: {found}")));
        assert!(control_search.find(text.as_bytes()).len() >= has_control, "the control is not in {what}");
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n\n"));
}

/// What a process is told and would print of its settings, good ones and bad ones.
fn settings_of<S: Service>(secret: &Secret) -> Vec<String>
where
    service::Settings<S::Settings>: serde::Serialize + std::fmt::Debug,
{
    let read = |over: Value| config::with_overrides::<service::Settings<S::Settings>>(S::DEFAULTS, over);
    let url = format!("postgres://nno:{}@127.0.0.1:5432/nno", secret.random);
    let good = read(json!({ "database": { "url": url, "owner_url": url } })).unwrap();
    let mut told = vec![format!("{good:?}"), serde_json::to_string(&good).unwrap()];
    for bad in [
        json!({ "database": { "url": [url] } }),
        json!({ "database": { "url": url, "pool_per_worker": url } }),
        json!({ "database": { &url: url } }),
        json!({ "identity": { "keys_dir": { "key": url } }, "telemetry": { "log": 1, "otlp_endpoint": [url] } }),
    ] {
        told.push(format!("{:#}", read(bad).unwrap_err()));
    }
    told
}

#[test]
fn no_process_tells_a_secret_of_its_settings() {
    let secret = Secret::of_kind(3);
    let search = Search::of([&secret]);
    let key = config::Secret::new(secret.text.clone());
    let gateway = |over: Value| config::with_overrides::<gateway::Settings>(gateway::DEFAULTS, over);
    let good = gateway(json!({ "service": { "operator_key": key.expose() } })).unwrap();
    let mut told = vec![format!("{key:?} {good:?}"), serde_json::to_string(&good).unwrap()];
    told.push(format!(
        "{:#}",
        gateway(json!({ "service": { "operator_key": [key.expose()] } })).unwrap_err()
    ));
    told.extend(settings_of::<registry::Registry>(&secret));
    told.extend(settings_of::<stack_registry::StackRegistry>(&secret));
    told.extend(settings_of::<onboarding::Onboarding>(&secret));
    told.extend(settings_of::<provisioning::Provisioning>(&secret));
    told.extend(settings_of::<iam::Iam>(&secret));
    assert_eq!(told.len(), 3 + 5 * 6);
    for text in told {
        assert_eq!(search.find(text.as_bytes()), [""; 0], "{text}");
    }
}

#[test]
fn a_settings_file_that_cannot_be_read_is_not_quoted() {
    let place = Place::new();
    let secret = Secret::of_kind(3);
    let search = Search::of([&secret]);
    let file = place.path().join("nno.toml");
    for text in [
        format!("[registry.database]\nurl = \"postgres://nno:{}@127.0.0.1\n", secret.text),
        format!("[gateway.service]\noperator_key = {}\n", secret.text),
        format!("[gateway.service]\n{} = 1\n", secret.text),
        format!("[gateway.service]\noperator_key = \"{}\"\n", secret.text),
        format!("{} = \"x\"\n", secret.text),
    ] {
        fs::write(&file, &text).unwrap();
        let mut command = place.command();
        command.env("NNO_CONFIG_FILE", &file);
        let output = place.refused(command);
        assert!(!output.status.success(), "{text}");
        let told = [output.stdout, output.stderr].concat();
        assert!(!told.is_empty());
        assert_eq!(search.find(&told), [""; 0], "{}", String::from_utf8_lossy(&told));
    }
}

#[test]
fn a_secret_is_found_in_whatever_form() {
    let secret = Secret::of_kind(0);
    let search = Search::of([&secret]);
    let found = |text: &str| !search.find(text.as_bytes()).is_empty();
    let encoded =
        base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE, format!("user:{}", secret.text));
    let hex: String = secret.text.bytes().map(|byte| format!("{byte:02x}")).collect();
    for text in [&secret.text, &encoded, &hex, &secret.text.to_lowercase(), &secret.text[37..60].to_owned()] {
        assert!(found(&format!("\"{text}\"")), "{text}");
    }
    assert!(!found(&Secret::of_kind(0).text));
}
