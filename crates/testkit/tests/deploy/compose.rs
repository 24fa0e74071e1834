//! The variables of `docker-compose.yml`. Checking them against the settings requires no container engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Result, bail};
use embedded_postgres::ServiceDatabase;
use gateway::NAME as GATEWAY;
use iam::Iam;
use onboarding::Onboarding;
use provisioning::Provisioning;
use registry::Registry;
use runtime::config::{merge, with_overrides};
use serde_json::{Value, json};
use service::{Service, Settings};
use stack_registry::StackRegistry;

/// Value of variables without a default.
const PLACEHOLDER: &str = "value-of-a-required-variable";
const SERVICES: [&str; 5] =
    [Registry::NAME, StackRegistry::NAME, Onboarding::NAME, Provisioning::NAME, Iam::NAME];

/// A container in the file.
#[derive(Debug, Default)]
struct Container {
    command: Vec<String>,
    environment: BTreeMap<String, String>,
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
}

/// Parses the YAML that the file uses: two spaces per level, one `key: value` per line, merges of `x-serving`.
fn containers() -> BTreeMap<String, Container> {
    let file = read("docker-compose.yml");
    let (mut section, mut name) = ("", "");
    let mut found: BTreeMap<String, Container> = BTreeMap::new();
    let has_content = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    for line in file.lines().filter(has_content) {
        let indent = line.len() - line.trim_start().len();
        let (key, value) = line.trim().split_once(": ").unwrap_or((line.trim().trim_end_matches(':'), ""));
        match (indent, section) {
            (0, _) => (section, name) = (key, key),
            (2, "services") => name = key,
            (2, "x-serving") | (4 | 6, "services") => {
                let container = found.entry(name.to_owned()).or_default();
                match key {
                    "command" => {
                        let words = value.trim_matches(['[', ']']).split(", ");
                        container.command = words.map(str::to_owned).collect();
                    }
                    "<<" if value == "*serving" => {
                        let shared = found["x-serving"].environment.clone();
                        found.get_mut(name).unwrap().environment.extend(shared);
                    }
                    key if indent == 6 || section == "x-serving" => {
                        container.environment.insert(key.to_owned(), resolved(value));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    found.remove("x-serving");
    found
}

/// Returns the variables in a text with their defaults.
fn variables(text: &str) -> Vec<(&str, Option<&str>)> {
    let rests = text.split("${").skip(1).map(|rest| rest.split('}').next().unwrap());
    rests
        .map(|inner| {
            inner.split_once(":-").map_or((inner.split(':').next().unwrap(), None), |(n, d)| (n, Some(d)))
        })
        .collect()
}

/// Returns the value after the interpolation by compose.
fn resolved(value: &str) -> String {
    let mut text = value.to_owned();
    while let Some((before, rest)) = text.split_once("${") {
        let (inner, after) = rest.split_once('}').unwrap();
        let replacement = inner.split_once(":-").map_or(PLACEHOLDER, |(_, default)| default);
        text = format!("{before}{replacement}{after}");
    }
    text
}

/// Returns the settings in the `NNO__` variables of a container.
fn settings(container: &Container) -> Value {
    let mut all = json!({});
    for (variable, value) in &container.environment {
        let Some(path) = variable.strip_prefix("NNO__") else { continue };
        // The services take the type of the default. Here, every number stays one, since no text is a number.
        let value = value.parse::<i64>().map_or_else(|_| json!(value), |number| json!(number));
        let nested = path.rsplit("__").fold(value, |inner, key| json!({ key.to_lowercase(): inner }));
        merge(&mut all, nested);
    }
    all
}

/// Returns the effective settings of a program, or the error with which it would not start.
fn effective(program: &str, set: Value) -> Result<Value> {
    fn of<S: Service>(set: Value) -> Result<Value> {
        Ok(serde_json::to_value(with_overrides::<Settings<S::Settings>>(S::DEFAULTS, set)?)?)
    }
    match program {
        Registry::NAME => of::<Registry>(set),
        StackRegistry::NAME => of::<StackRegistry>(set),
        Onboarding::NAME => of::<Onboarding>(set),
        Provisioning::NAME => of::<Provisioning>(set),
        Iam::NAME => of::<Iam>(set),
        GATEWAY => Ok(serde_json::to_value(with_overrides::<gateway::Settings>(gateway::DEFAULTS, set)?)?),
        other => bail!("unknown program {other}"),
    }
}

#[test]
fn every_variable_is_a_valid_setting() {
    let mut checked = BTreeSet::new();
    for (name, container) in &containers() {
        if container.environment.keys().all(|variable| !variable.starts_with("NNO__")) {
            continue;
        }
        let settings = effective(&container.command[0], settings(container))
            .unwrap_or_else(|error| panic!("{name}: {error:#}"));
        // A loopback address is a default that the file does not override: no peer runs in the same container.
        let has_loopback = settings.to_string().contains("127.0.0.1");
        assert!(container.command[1] == "migrate" || !has_loopback, "{name}: {settings}");
        checked.insert(name.clone());
    }
    let all = SERVICES.iter().flat_map(|name| [(*name).to_owned(), format!("{name}-migrate")]);
    assert_eq!(checked, all.chain([GATEWAY.to_owned()]).collect());
}

#[test]
fn peer_urls_match_listen_addresses() {
    let containers = containers();
    let mut checked = 0;
    for (name, container) in &containers {
        for (variable, url) in &container.environment {
            let Some((host, port)) = url.strip_prefix("http://").and_then(|rest| rest.split_once(':')) else {
                continue;
            };
            // The gateway forwards requests over HTTP and calls iam over gRPC.
            let is_upstream = variable.contains("__UPSTREAMS__");
            let bind = if is_upstream { "NNO__HTTP__BIND" } else { "NNO__GRPC__BIND" };
            let peer = containers.get(host).unwrap_or_else(|| panic!("{name}: {variable}: no such host"));
            assert_eq!(peer.environment[bind], format!("0.0.0.0:{port}"), "{name}: {variable}");
            let service = variable.trim_end_matches("__URL").rsplit("__").next().unwrap();
            assert_eq!(service, host.replace('-', "_").to_uppercase(), "{name}: {variable}");
            checked += 1;
        }
    }
    assert_eq!(
        checked, 15,
        "six of the gateway, three of the registry, three of onboarding, one of provisioning, the stack registry and iam"
    );
}

#[test]
fn databases_follow_the_naming_convention() {
    let containers = containers();
    for service in SERVICES {
        let expected = ServiceDatabase::of_service(service, PLACEHOLDER.into(), PLACEHOLDER.into());
        let url = |role: &str| format!("postgres://{role}:{PLACEHOLDER}@{service}-db/{}", expected.name);
        let environment = |name: String| &containers[&name].environment;
        assert_eq!(environment(format!("{service}-db"))["SERVICE_DATABASE"], expected.name);
        assert_eq!(environment(service.to_owned())["NNO__DATABASE__URL"], url(&expected.app));
        let migrate = environment(format!("{service}-migrate"));
        assert_eq!(migrate["NNO__DATABASE__OWNER_URL"], url(&expected.owner));
        assert!(
            !environment(service.to_owned()).contains_key("NNO__DATABASE__OWNER_URL"),
            "{service} must not have the credentials of the owner"
        );
    }
}

#[test]
fn env_example_lists_every_compose_variable() {
    let (file, example) = (read("docker-compose.yml"), read("deploy/.env.example"));
    let used: BTreeMap<&str, Option<&str>> = variables(&file).into_iter().collect();
    let lines = example.lines().filter_map(|line| line.split_once('='));
    let documented: BTreeMap<&str, Option<&str>> = lines
        .filter(|(name, _)| !name.contains(' '))
        .map(|(name, value)| name.strip_prefix('#').map_or((name, None), |name| (name, Some(value))))
        .collect();
    assert_eq!(used, documented);
    assert!(used.contains_key("NNO_OPERATOR_KEY"));
}
