//! The requests that pages show, and their responses.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    process::Command,
    thread::sleep,
    time::Duration,
};

use serde_json::Value;

use crate::page::{Page, pages};

/// The address of the system in examples.
const ADDRESS: &str = "localhost:8080";
/// Fields whose values are the same in every run.
const FIXED: [&str; 6] = ["code", "message", "name", "path", "slug", "status"];

/// The variables that later examples use, by the last part of the path that creates the object.
const CREATED: [(&str, &str); 5] = [
    ("dns", "RECORD"),
    ("domains", "DOMAIN"),
    ("entities", "ENTITY"),
    ("resources", "RESOURCE"),
    ("stacks", "STACK"),
];

/// A request and the response that the page shows.
struct Example {
    page: String,
    call: String,
    answer: Option<Value>,
}

fn examples(page: &Page) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for block in page.blocks() {
        if block.is("sh", "example") {
            examples.push(Example { page: page.path.clone(), call: block.text, answer: None });
        } else if block.is("json", "answer") {
            let answer = serde_json::from_str(&block.text);
            let answer = answer.unwrap_or_else(|error| panic!("{}: {error}:\n{}", page.path, block.text));
            let example = examples.last_mut().filter(|example| example.answer.is_none());
            example.unwrap_or_else(|| panic!("{}: a response without a request", page.path)).answer =
                Some(answer);
        }
    }
    examples
}

#[test]
fn every_request_is_marked_as_an_example() {
    let mut count = 0;
    for page in pages() {
        for block in page.blocks().iter().filter(|block| block.text.contains(ADDRESS)) {
            assert!(block.is("sh", "example"), "{}: mark this as an example:\n{}", page.path, block.text);
        }
        count += examples(&page).len();
    }
    assert!(count > 40, "{count}");
}

/// Compares a response with the one that the page shows: the same fields of the same types, and the same values in
/// [`FIXED`].
fn like(at: &str, shown: &Value, came: &Value) -> Result<(), String> {
    match (shown, came) {
        (Value::Object(shown), Value::Object(came)) => {
            let names =
                |fields: &serde_json::Map<String, Value>| fields.keys().cloned().collect::<BTreeSet<_>>();
            if names(shown) != names(came) {
                return Err(format!("{at}: {:?} is shown, {:?} came", names(shown), names(came)));
            }
            shown.iter().try_for_each(|(name, shown)| {
                let at = format!("{at}.{name}");
                let came = &came[name];
                if FIXED.contains(&name.as_str()) && shown != came {
                    return Err(format!("{at}: {shown} is shown, {came} came"));
                }
                like(&at, shown, came)
            })
        }
        (Value::Array(shown), Value::Array(came)) if shown.len() == came.len() => shown
            .iter()
            .zip(came)
            .enumerate()
            .try_for_each(|(n, (shown, came))| like(&format!("{at}[{n}]"), shown, came)),
        (shown, came)
            if std::mem::discriminant(shown) == std::mem::discriminant(came) && !shown.is_array() =>
        {
            Ok(())
        }
        (shown, came) => Err(format!("{at}: {shown} is shown, {came} came")),
    }
}

#[test]
fn comparison_ignores_only_values_that_differ_between_runs() {
    let like = |shown: &str, came: &str| {
        like("", &serde_json::from_str(shown).unwrap(), &serde_json::from_str(came).unwrap()).is_ok()
    };
    assert!(like(r#"{"id":"a","n":1,"status":"x"}"#, r#"{"id":"b","n":2,"status":"x"}"#));
    for came in [r#"{"id":"b"}"#, r#"{"id":1,"n":1,"status":"x"}"#, r#"{"id":"b","n":1,"status":"y"}"#, "[]"]
    {
        assert!(!like(r#"{"id":"a","n":1,"status":"x"}"#, came), "{came}");
    }
    assert!(!like("[1]", "[]"));
}

/// The state that examples share.
struct Session {
    address: String,
    /// Environment variables of the examples.
    variables: BTreeMap<&'static str, String>,
}

impl Session {
    /// Runs a request and returns its response. Without a response to compare with, an error is a failure.
    fn run(&self, example: &Example) -> Result<Value, String> {
        let fail = if example.answer.is_none() { "--fail-with-body" } else { "" };
        let curl = format!("curl() {{ command curl --silent --show-error --max-time 60 {fail} \"$@\"; }}\n");
        let output = Command::new("sh")
            .args(["-euc", &(curl + &example.call.replace(ADDRESS, &self.address))])
            .envs(&self.variables)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        if !output.status.success() {
            return Err(format!("{}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr)));
        }
        let mut answers = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
        answers.next().ok_or("no response")?.map_err(|error| format!("{error}: {text}"))
    }

    /// Remembers the ids in a response for later examples.
    fn remember(&mut self, call: &str, response: &Value) {
        let text = |name: &str| response[name].as_str().map(str::to_owned);
        let of_onboarding = call.contains("/onboarding/");
        if let Some(id) = text("onboardingId").or_else(|| text("id").filter(|_| of_onboarding)) {
            self.variables.insert("ID", id);
        }
        if let Some(platform) = text("platformId") {
            self.variables.insert("PLATFORM", platform);
        }
        if call.contains("/jobs?")
            && let Some(job) = response["data"][0]["id"].as_str()
        {
            self.variables.insert("JOB", job.to_owned());
        }
        if let Some(variable) = created(call)
            && let Some(id) = text("id")
        {
            self.variables.insert(variable, id);
        }
    }

    fn check(&mut self, example: &Example) -> Result<(), String> {
        let response = self.run(example)?;
        self.remember(&example.call, &response);
        example.answer.as_ref().map_or(Ok(()), |shown| like("", shown, &response))
    }
}

/// Returns the variable for the id of the object that a request creates. Tenants count, subtenants do not.
fn created(call: &str) -> Option<&'static str> {
    let (_, url) = call.split_once("-X POST ")?;
    let url = url.split_whitespace().next()?.trim_matches('"');
    let path = url.split('?').next()?;
    if url.contains("dryRun=true") || call.contains("subtenant") {
        return None;
    }
    let last = path.rsplit('/').next()?;
    CREATED.iter().find(|(name, _)| *name == last).map(|(_, variable)| *variable)
}

#[test]
fn created_objects_are_remembered() {
    assert_eq!(
        created("curl -X POST localhost:8080/api/v1/platforms/$PLATFORM/entities -d '{}'"),
        Some("ENTITY")
    );
    assert_eq!(created("curl -X POST \"localhost:8080/p/entities?dryRun=true\""), None);
    assert_eq!(created("curl -X POST localhost:8080/p/entities -d '{\"type\":\"subtenant\"}'"), None);
    assert_eq!(created("curl localhost:8080/p/entities"), None);
    assert_eq!(created("curl -X POST localhost:8080/p/$PLATFORM/suspend"), None);
}

#[test]
fn variables_of_examples_are_set_before_they_are_used() {
    let mut known: BTreeSet<&str> = BTreeSet::from(["KEY"]);
    for example in pages().iter().flat_map(examples) {
        let used = example.call.split('$').skip(1).map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(rest.len());
            rest[..end].to_owned()
        });
        for name in used {
            assert!(
                known.contains(name.as_str()),
                "{}: nothing sets ${name} before:\n{}",
                example.page,
                example.call
            );
        }
        known.extend(created(&example.call));
        if example.call.contains("/onboarding") {
            known.extend(["ID", "PLATFORM"]);
        }
        if example.call.contains("/jobs?") {
            known.insert("JOB");
        }
    }
}

/// Runs against a new system at `CHECK_URL`, with the operator key in `CHECK_KEY`.
#[test]
#[ignore = "needs a running system; part of scripts/check-docs"]
fn examples_return_what_the_pages_show() {
    let variable = |name: &str| env::var_os(name).and_then(|value| value.into_string().ok()).expect(name);
    let address = variable("CHECK_URL").trim_start_matches("http://").to_owned();
    let variables = BTreeMap::from([("KEY", variable("CHECK_KEY"))]);
    let mut session = Session { address, variables };
    let mut count = 0;
    for example in pages().iter().flat_map(examples) {
        // A request that only reads may be repeated until the response matches.
        let tries = if example.call.contains("-X ") { 1 } else { 60 };
        let mut outcome = session.check(&example);
        for _ in 1..tries {
            if outcome.is_ok() {
                break;
            }
            sleep(Duration::from_millis(500));
            outcome = session.check(&example);
        }
        outcome.unwrap_or_else(|why| panic!("{}:\n{}\n{why}", example.page, example.call));
        count += 1;
    }
    println!("{count} examples returned what the pages show");
}
