//! The calls that pages show, and what comes back.

use std::{collections::BTreeSet, env, process::Command, thread::sleep, time::Duration};

use serde_json::Value;

use crate::page::{Page, pages};

/// Where pages say that the system is.
const ADDRESS: &str = "localhost:8080";
/// What is the same at every run.
const FIXED: [&str; 6] = ["code", "message", "name", "path", "slug", "status"];

/// A call, and the answer that is shown.
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
            example.unwrap_or_else(|| panic!("{}: an answer to nothing", page.path)).answer = Some(answer);
        }
    }
    examples
}

#[test]
fn every_call_that_is_shown_can_be_checked() {
    let mut count = 0;
    for page in pages() {
        for block in page.blocks().iter().filter(|block| block.text.contains(ADDRESS)) {
            assert!(block.is("sh", "example"), "{}: mark this as an example:\n{}", page.path, block.text);
        }
        count += examples(&page).len();
    }
    assert!(count > 5, "{count}");
}

/// Whether an answer is like the one that is shown: the same fields, of the same types, and the same where nothing
/// may differ.
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
fn what_is_like_what() {
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

/// What examples know of each other.
struct Session {
    address: String,
    key: String,
    id: String,
    platform: String,
    job: String,
}

impl Session {
    /// What the call prints. Without an answer to compare it with, an error must not go unnoticed.
    fn run(&self, example: &Example) -> Result<Value, String> {
        let fail = if example.answer.is_none() { "--fail-with-body" } else { "" };
        let curl = format!("curl() {{ command curl --silent --show-error --max-time 60 {fail} \"$@\"; }}\n");
        let output = Command::new("sh")
            .args(["-euc", &(curl + &example.call.replace(ADDRESS, &self.address))])
            .envs([("KEY", &self.key), ("ID", &self.id), ("PLATFORM", &self.platform), ("JOB", &self.job)])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        if !output.status.success() {
            return Err(format!("{}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr)));
        }
        let mut answers = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
        answers.next().ok_or("no answer")?.map_err(|error| format!("{error}: {text}"))
    }

    fn check(&mut self, example: &Example) -> Result<(), String> {
        let came = self.run(example)?;
        let text = |name: &str| came[name].as_str().map(str::to_owned);
        let of_onboarding = example.call.contains("/onboarding/");
        if let Some(id) = text("onboardingId").or_else(|| text("id").filter(|_| of_onboarding)) {
            self.id = id;
        }
        if let Some(platform) = text("platformId") {
            self.platform = platform;
        }
        if example.call.contains("/jobs?")
            && let Some(job) = came["data"][0]["id"].as_str()
        {
            self.job = job.to_owned();
        }
        example.answer.as_ref().map_or(Ok(()), |shown| like("", shown, &came))
    }
}

/// Against the system at `CHECK_URL`, which is fresh, with the operator's key in `CHECK_KEY`.
#[test]
#[ignore = "needs a running system; part of scripts/check-docs"]
fn come_true() {
    let told = |name: &str| env::var_os(name).and_then(|value| value.into_string().ok()).expect(name);
    let address = told("CHECK_URL").trim_start_matches("http://").to_owned();
    let key = told("CHECK_KEY");
    let mut session =
        Session { address, key, id: String::new(), platform: String::new(), job: String::new() };
    let mut count = 0;
    for example in pages().iter().flat_map(examples) {
        // What only reads may be asked again until it is so.
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
    println!("{count} examples came true");
}
