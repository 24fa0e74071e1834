//! Sends a thousand secrets through every input and asserts that no output has one.
//!
//! The searched outputs are the log at level trace, PostgreSQL's own log, traces and metrics as received by a collector,
//! the responses, and every row of every table, including events, audit logs and stored responses.

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
    system::{TestSystem, Up, eventually},
    user::{CommandOutput, User},
};

const PLANTED: usize = 1000;
const DATABASES: [&str; 5] =
    ["nno_registry", "nno_stack_registry", "nno_onboarding", "nno_provisioning", "nno_iam"];
/// Level trace for the crates of this project.
const LOG: &str = "info,check=trace,cli=trace,database=trace,domain=trace,embedded_postgres=trace,gateway=trace,iam=trace,\
    identity=trace,nno=trace,onboarding=trace,provisioning=trace,registry=trace,rpc=trace,runtime=trace,saga=trace,\
    service=trace,stack_registry=trace,web=trace";

async fn post(up: &Up, path: &str, body: Value) -> Value {
    let (status, response) = up.call(Method::POST, path, Some(body)).await.unwrap();
    assert!((200..300).contains(&status), "{path}: {status} {response}");
    response
}

async fn target(up: &Up, key: &str) -> Target {
    let begun = json!({ "platformName": "Acme", "slug": "acme", "tier": "starter" });
    let onboarding = post(up, "/api/v1/onboarding", begun).await["onboardingId"].as_str().unwrap().to_owned();
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
    post(up, "/api/v1/stacks", template).await;
    Target { client: testkit::client(), url: up.url.clone(), key: key.to_owned(), platform, resource }
}

/// Sends each secret through every input and returns all responses.
async fn send_all(target: &Target, secrets: &[Secret]) -> String {
    let responses = Mutex::new(String::new());
    let inputs = secrets.iter().flat_map(|secret| target.inputs(secret));
    let sent = stream::iter(inputs).map(async |Input { request, is_echo }| {
        let response = request.send().await.unwrap();
        let (status, mut text) = (response.status(), format!("{:?}", response.headers()));
        assert!(!status.is_server_error(), "{status}: {}", response.text().await.unwrap());
        let body = response.text().await.unwrap();
        if !is_echo {
            text += &body;
        }
        responses.lock().unwrap().push_str(&text);
    });
    let count = sent.buffer_unordered(16).count().await;
    println!("{count} requests");
    responses.into_inner().unwrap()
}

/// Creates keys with repeated requests, uses and revokes them. Returns the keys and all later responses.
async fn keys(target: &Target) -> (Vec<Secret>, String) {
    let (mut keys, mut responses) = (Vec::new(), String::new());
    for n in 0..50 {
        let path = format!("{}/api/v1/iam/keys", target.url);
        let body = json!({ "name": format!("key {n}"), "role": "viewer" });
        let create = || {
            let request = target.client.post(&path).bearer_auth(&target.key).json(&body);
            request.header("Idempotency-Key", format!("once-{n}")).send()
        };
        let first: Value = create().await.unwrap().json().await.unwrap();
        responses += &create().await.unwrap().text().await.unwrap();
        let key = first["key"].as_str().unwrap();
        let whoami = format!("{}/api/v1/iam/whoami", target.url);
        responses += &target.client.get(whoami).bearer_auth(key).send().await.unwrap().text().await.unwrap();
        let own = format!("{path}/{}", first["id"].as_str().unwrap());
        responses +=
            &target.client.delete(own).bearer_auth(&target.key).send().await.unwrap().text().await.unwrap();
        keys.push(Secret {
            text: key.to_owned(),
            random: key.rsplit('_').next().unwrap().to_owned(),
            is_credential: true,
        });
    }
    responses += &target
        .client
        .get(format!("{}/api/v1/iam/keys?includeRevoked=true", target.url))
        .bearer_auth(&target.key)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    (keys, responses)
}

/// Returns every file below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Returns the secrets that the system has generated: passwords, private keys and secrets of workers.
fn generated(system: &TestSystem) -> Vec<Secret> {
    let data = system.data();
    let whole = files(&data.join("secrets")).into_iter().chain(files(&data.join("keys/private")));
    let mut own: Vec<Secret> = whole
        .map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("-----")).collect();
            // All keys start with the same bytes, which name the algorithm.
            let text = lines.concat();
            Secret::generated(
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
        let stored: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        own.extend(
            stored.as_object().unwrap().values().map(|one| Secret::generated(one["value"].as_str().unwrap())),
        );
    }
    assert!(own.len() > before, "a worker has a secret");
    own.retain(|secret| secret.random.len() >= 16);
    own
}

/// Returns every row of every table of every service as text.
async fn dump(system: &TestSystem) -> String {
    let read = |path: &str| fs::read_to_string(system.data().join(path)).unwrap().trim().to_owned();
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

/// Runs commands with each secret as the key and returns their output.
fn commands(up: &Up, secrets: &[Secret]) -> String {
    let mut all = String::new();
    let mut collect = |output: CommandOutput, code: i32| {
        assert_eq!(output.code, code, "{output:?}");
        all += &output.out;
        all += &output.err;
    };
    for secret in secrets {
        let user = User::new();
        let is_one_word = !secret.text.contains(' ');
        let code = if is_one_word { 3 } else { 2 };
        collect(user.nno_with_stdin(&["login", "--url", &up.url, "--key-stdin"], &secret.text), code);
        let file = user.home().join("key");
        fs::write(&file, &secret.text).unwrap();
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        collect(user.nno(&["whoami", "--url", &up.url, "--key-file", file.to_str().unwrap()]), code);
        let user = user.with("NNO_KEY", &secret.text).with("NNO_URL", &up.url);
        collect(user.nno(&["keys", "list"]), code);
        collect(user.nno(&["whoami", "--url", "http://127.0.0.1:9"]), code);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_any_output() {
    let (system, collector) = (TestSystem::new(), Collector::serve().await);
    let operator = Secret::of_kind(2);
    let settings = system.path().join("nno.toml");
    // The limits would delay or reject most of these requests.
    let limits = "failures_per_minute = 0\nper_address_per_second = 0\nper_caller_per_second = 0\n";
    fs::write(&settings, format!("[gateway.service.limits]\n{limits}")).unwrap();
    let mut command = system.command();
    command.env("NNO_OPERATOR_KEY", &operator.text).env("NNO_CONFIG_FILE", &settings);
    command.env("NNO_OTLP_ENDPOINT", &collector.endpoint).env("NNO_LOG", LOG);
    let mut up = system.start_with(command).await;
    up.key = Some(operator.text.clone());
    let target = target(&up, &operator.text).await;

    let planted: Vec<Secret> = (0..PLANTED).map(Secret::of_kind).collect();
    let mut responses = send_all(&target, &planted).await;
    let (keys, key_responses) = keys(&target).await;
    responses += &key_responses;
    responses += &commands(&up, &planted[..2 * KINDS]);
    let own = generated(&system);
    let all: Vec<&Secret> = planted.iter().chain(&keys).chain(&own).chain([&operator]).collect();
    println!("{} secrets", all.len());
    let search = Search::of(all);

    // A control text that is not a secret must be found, which shows that the search works.
    let control = Secret { text: "the control".to_owned(), random: word(), is_credential: false };
    let control_search = Search::of([&control]);
    responses += &up
        .call(Method::GET, &format!("/api/v1/nowhere/{}", control.random), None)
        .await
        .unwrap()
        .1
        .to_string();
    post(&up, "/api/v1/platforms", json!({ "name": control.random, "slug": "control" })).await;
    let dump = dump(&system).await;
    for table in ["platforms", "outbox", "audit_log", "idempotency_keys"] {
        assert!(dump.contains(&format!("nno_registry public.{table}\n")), "{table}");
    }
    let postgres = fs::read_to_string(system.data().join("postgres/postgres.log")).unwrap();
    assert!(postgres.contains("duplicate key value"), "it logs rejected statements");
    let stdout = up.stdout.join("\n");
    let log = system.path().join("log");
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
        ("a response", &responses, 1),
        ("the log", &log, 1),
        ("traces and metrics", &telemetry, 1),
        ("the databases", &dump, 3),
        ("PostgreSQL's log", &postgres, 0),
        ("standard output", &stdout, 0),
    ] {
        let found = search.find(text.as_bytes());
        leaks.extend(found.into_iter().take(20).map(|found| format!("in {what}: {found}")));
        assert!(control_search.find(text.as_bytes()).len() >= has_control, "the control is not in {what}");
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n\n"));
}

/// Returns the debug output, JSON and errors of a service's settings with a secret in them.
fn settings_of<S: Service>(secret: &Secret) -> Vec<String>
where
    service::Settings<S::Settings>: serde::Serialize + std::fmt::Debug,
{
    let read = |over: Value| config::with_overrides::<service::Settings<S::Settings>>(S::DEFAULTS, over);
    let url = format!("postgres://nno:{}@127.0.0.1:5432/nno", secret.random);
    let good = read(json!({ "database": { "url": url, "owner_url": url } })).unwrap();
    let mut outputs = vec![format!("{good:?}"), serde_json::to_string(&good).unwrap()];
    for bad in [
        json!({ "database": { "url": [url] } }),
        json!({ "database": { "url": url, "pool_per_worker": url } }),
        json!({ "database": { &url: url } }),
        json!({ "identity": { "keys_dir": { "key": url } }, "telemetry": { "log": 1, "otlp_endpoint": [url] } }),
    ] {
        outputs.push(format!("{:#}", read(bad).unwrap_err()));
    }
    outputs
}

#[test]
fn no_process_prints_a_secret_of_its_settings() {
    let secret = Secret::of_kind(3);
    let search = Search::of([&secret]);
    let key = config::Secret::new(secret.text.clone());
    let gateway = |over: Value| config::with_overrides::<gateway::Settings>(gateway::DEFAULTS, over);
    let good = gateway(json!({ "service": { "operator_key": key.expose() } })).unwrap();
    let mut outputs = vec![format!("{key:?} {good:?}"), serde_json::to_string(&good).unwrap()];
    outputs.push(format!(
        "{:#}",
        gateway(json!({ "service": { "operator_key": [key.expose()] } })).unwrap_err()
    ));
    outputs.extend(settings_of::<registry::Registry>(&secret));
    outputs.extend(settings_of::<stack_registry::StackRegistry>(&secret));
    outputs.extend(settings_of::<onboarding::Onboarding>(&secret));
    outputs.extend(settings_of::<provisioning::Provisioning>(&secret));
    outputs.extend(settings_of::<iam::Iam>(&secret));
    assert_eq!(outputs.len(), 3 + 5 * 6);
    for text in outputs {
        assert_eq!(search.find(text.as_bytes()), [""; 0], "{text}");
    }
}

#[test]
fn invalid_settings_file_is_not_quoted() {
    let system = TestSystem::new();
    let secret = Secret::of_kind(3);
    let search = Search::of([&secret]);
    let file = system.path().join("nno.toml");
    for text in [
        format!("[registry.database]\nurl = \"postgres://nno:{}@127.0.0.1\n", secret.text),
        format!("[gateway.service]\noperator_key = {}\n", secret.text),
        format!("[gateway.service]\n{} = 1\n", secret.text),
        format!("[gateway.service]\noperator_key = \"{}\"\n", secret.text),
        format!("{} = \"x\"\n", secret.text),
    ] {
        fs::write(&file, &text).unwrap();
        let mut command = system.command();
        command.env("NNO_CONFIG_FILE", &file);
        let output = system.run_to_exit(command);
        assert!(!output.status.success(), "{text}");
        let text = [output.stdout, output.stderr].concat();
        assert!(!text.is_empty());
        assert_eq!(search.find(&text), [""; 0], "{}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn secret_is_found_in_every_encoding() {
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
