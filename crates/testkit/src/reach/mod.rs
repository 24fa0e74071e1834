//! Every operation of a service × everyone: what is answered follows from the access that it declares alone, and
//! nothing of what lies outside is told.
//!
//! A service brings a [`Stage`]: itself with something in it, how each operation of its document is asked for, and what
//! must stay hidden from whom. An operation that no case asks for is a finding, so that none can be forgotten. Writes
//! are tried (`dryRun`), so that all callers meet the same things.
//!
//! Where [tenancy is left to PostgreSQL](disable_scope_filter), statements are given no scope. What must hold then is
//! that callers learn and change nothing that is not theirs.

mod places;
mod strangers;

use std::collections::BTreeSet;

use diesel::{QueryableByName, sql_query, sql_types::BigInt};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use domain::{
    GrantScope,
    access::{About, AccessDecision, Operation, declared_operation},
};
use futures_util::{StreamExt, stream};
use identity::scope_filter_enabled;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use service::Service;

pub use places::{Places, Someone};
pub use strangers::let_no_stranger_in;

use crate::{Response, TestDb, TestService, document};

/// Requests under way at a time.
const AT_A_TIME: usize = 8;

/// How an operation is asked for. Parts in braces of the path and of the body are those of the stage.
#[derive(Debug, Clone)]
pub struct Case {
    pub method: Method,
    /// The path as the document has it.
    pub template: String,
    pub path: String,
    /// Null for none.
    pub body: Value,
}

impl Case {
    /// A case.
    pub fn new(method: Method, template: &str, path: &str, body: Value) -> Self {
        Self { method, template: template.to_owned(), path: path.to_owned(), body }
    }

    /// One of an operation whose path has no parts.
    pub fn plain(method: Method, path: &str, body: Value) -> Self {
        Self::new(method, path, path, body)
    }

    /// Whether it only reads.
    pub fn reads(&self) -> bool {
        self.method == Method::GET
    }
}

/// One cell: who asks for what.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub someone: &'a Someone,
    pub case: &'a Case,
    /// The operation, with the access that it declares.
    pub row: &'a Operation,
}

/// A service with something in it.
pub trait Stage: Sync {
    /// What it runs.
    type Service: Service;

    /// It, running.
    fn service(&self) -> &TestService;

    /// The ids that stand for parts in braces.
    fn parts(&self) -> &[(&'static str, String)];

    /// Every operation at least once.
    fn cases(&self) -> Vec<Case>;

    /// Who asks.
    fn everyone(&self) -> Vec<Someone>;

    /// What the table says.
    fn verdict(&self, asked: &Asked<'_>) -> AccessDecision;

    /// Texts that no answer may tell someone, unless they said them.
    fn hidden(&self, someone: &Someone) -> Vec<String>;

    /// Whether an answer is what the verdict has it be.
    fn fits(&self, _: &Asked<'_>, verdict: AccessDecision, answer: &Response) -> bool {
        follows(verdict, answer)
    }

    /// Whether what is asked for lies outside of what they reach, whatever their role.
    fn is_outside(&self, asked: &Asked<'_>, verdict: AccessDecision) -> bool {
        verdict == AccessDecision::Outside
            || (asked.row.about == About::Everything && !asked.someone.reaches_all())
    }

    /// A text with its parts filled.
    fn fill(&self, text: &str) -> String {
        self.parts().iter().fold(text.to_owned(), |text, (name, id)| text.replace(name, id))
    }
}

/// Whether an answer is what a verdict is without more: done, 403, or 404.
pub fn follows(verdict: AccessDecision, answer: &Response) -> bool {
    match verdict {
        AccessDecision::Allowed => answer.status.is_success(),
        AccessDecision::Forbidden => answer.status == 403,
        AccessDecision::Outside => answer.status == 404,
    }
}

/// What came of all cells.
#[derive(Debug, Default)]
pub struct Found {
    pub cells: usize,
    /// A sentence for each that is not as it must be.
    pub wrong: Vec<String>,
}

impl Found {
    /// Panics unless there were cells and all are as they must be.
    #[track_caller]
    #[expect(clippy::print_stdout, reason = "who runs it alone is told how much was tried")]
    pub fn assert_none(&self) {
        println!("{} cells", self.cells);
        assert!(self.wrong.is_empty(), "{} of {}:\n{}", self.wrong.len(), self.cells, self.wrong.join("\n"));
        assert!(self.cells > 0, "nobody asked for anything");
    }
}

/// Asks for everything as everyone.
pub async fn as_everyone<S: Stage>(stage: &S) -> Found {
    let (cases, everyone) = (rows(stage), stage.everyone());
    let before = writes(&stage.service().db).await;
    let mut found = Found { wrong: left_out(stage), ..Found::default() };
    let cells = everyone.iter().flat_map(|someone| {
        cases.iter().map(move |(case, row)| async move {
            let asked = Asked { someone, case, row };
            let answer = ask(stage, &asked).await;
            let mut wrong = judge(stage, &asked, &answer);
            if !case.reads() {
                wrong.extend(judge_faulty(stage, &asked, &answer).await);
            }
            wrong
        })
    });
    let mut answers = stream::iter(cells).buffer_unordered(AT_A_TIME);
    while let Some(wrong) = answers.next().await {
        found.cells += 1;
        found.wrong.extend(wrong);
    }
    let done = writes(&stage.service().db).await - before;
    if done != 0 {
        found.wrong.push(format!("everything was tried, and {done} things were done"));
    }
    found
}

/// Takes the second wall down: from then on Postgres shows all rows to all.
pub async fn take_second_wall_down<S: Stage>(stage: &S) {
    let sql = "DO $$ DECLARE name regclass; BEGIN \
        FOR name IN SELECT oid FROM pg_class WHERE relrowsecurity LOOP \
            EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', name); \
        END LOOP; END $$";
    stage.service().db.connect_as_owner().await.batch_execute(sql).await.expect("take the wall down");
}

/// Has the statements of this process given no scope from here on.
///
/// # Panics
/// Where other tests run in the same process.
pub fn disable_scope_filter() {
    #[expect(clippy::disallowed_methods, reason = "nextest says so in the environment")]
    let mode = std::env::var("NEXTEST_EXECUTION_MODE");
    assert_eq!(
        mode.as_deref(),
        Ok("process-per-test"),
        "run it with cargo nextest: each test needs a process of its own"
    );
    identity::disable_scope_filter();
}

/// Asks for everything as everyone where neither wall stands: what must then be found is that all see and change all.
///
/// # Panics
/// When nothing is told that must be hidden, or nothing done: then what looks for that would never find it.
pub async fn with_both_walls_down<S: Stage>(stage: &S) {
    take_second_wall_down(stage).await;
    let found = as_everyone(stage).await;
    assert!(found.wrong.iter().any(|wrong| wrong.contains(TELLS)), "no leak in {} cells", found.cells);
    assert!(found.wrong.iter().any(|wrong| wrong.contains(DONE)), "nothing done in {} cells", found.cells);
}

/// What a leak is told with.
const TELLS: &str = " tells of ";
const DONE: &str = " is done, where the table says ";

/// The cases with their operations.
fn rows<S: Stage>(stage: &S) -> Vec<(Case, Operation)> {
    let document = document::of::<S::Service>();
    let row = |case: Case| {
        let object = &document["paths"][&case.template][case.method.as_str().to_lowercase()];
        let row = declared_operation(object);
        let row = row.unwrap_or_else(|error| panic!("{} {}: {error}", case.method, case.template));
        (case, row)
    };
    stage.cases().into_iter().map(row).collect()
}

/// Operations of the document that no case asks for.
fn left_out<S: Stage>(stage: &S) -> Vec<String> {
    let asked: BTreeSet<(String, String)> =
        stage.cases().into_iter().map(|case| (case.method.as_str().to_lowercase(), case.template)).collect();
    let all = document::operations(&document::of::<S::Service>());
    all.difference(&asked).map(|(method, path)| format!("no case asks for {method} {path}")).collect()
}

/// The path and the body of a request.
fn filled<S: Stage>(stage: &S, case: &Case) -> (String, Value) {
    let mut path = stage.fill(&case.path);
    if !case.reads() {
        path.push_str(if path.contains('?') { "&dryRun=true" } else { "?dryRun=true" });
    }
    let body = stage.fill(&case.body.to_string());
    (path, serde_json::from_str(&body).expect("a body"))
}

/// Asks for the same with a faulty body: whoever is refused for a valid one is refused the same way, so that the faults
/// tell nothing to them. Everyone else is told the faults.
async fn judge_faulty<S: Stage>(stage: &S, asked: &Asked<'_>, valid: &Response) -> Vec<String> {
    let mut case = asked.case.clone();
    match case.body.as_object_mut() {
        Some(fields) => drop(fields.insert("noSuchField".to_owned(), Value::Bool(true))),
        None => case.body = json!({ "noSuchField": true }),
    }
    let asked = Asked { case: &case, ..*asked };
    let answer = ask(stage, &asked).await;
    let about = || format!("{}: {} {}", asked.someone.name, case.method, case.path);
    let mut wrong: Vec<String> = leak(stage, &asked, &answer)
        .into_iter()
        .map(|what| format!("{} with a faulty body: {}{TELLS}{what}", about(), answer.text))
        .collect();
    // An operator may do everything: what is not there is found out after the faults.
    let is_refusal = matches!(valid.status.as_u16(), 401 | 403 | 404) && !asked.someone.caller.is_operator();
    let expected = if is_refusal { valid.status.as_u16() } else { 400 };
    if scope_filter_enabled() && answer.status != expected {
        let told = format!(
            "{} {}, and with a faulty body {} {}",
            valid.status, valid.text, answer.status, answer.text
        );
        wrong.push(format!("{}: {told}", about()));
    }
    wrong
}

async fn ask<S: Stage>(stage: &S, asked: &Asked<'_>) -> Response {
    let caller = &asked.someone.caller;
    send(stage, asked.case, |method, path| stage.service().request_as(caller, method, path)).await
}

/// Sends what a case asks for, in the name of whom `begin` begins requests for.
async fn send<S: Stage>(
    stage: &S,
    case: &Case,
    begin: impl FnOnce(Method, &str) -> RequestBuilder,
) -> Response {
    let (path, body) = filled(stage, case);
    let request = begin(case.method.clone(), &path);
    let request = if body.is_null() { request } else { request.json(&body) };
    Response::read(request.send().await.expect("an answer")).await
}

/// What of an answer is not as it must be.
fn judge<S: Stage>(stage: &S, asked: &Asked<'_>, answer: &Response) -> Vec<String> {
    let Case { method, path, .. } = asked.case;
    let verdict = stage.verdict(asked);
    let about = format!("{}: {method} {path}: {} {}", asked.someone.name, answer.status, answer.text);
    let mut wrong: Vec<String> =
        leak(stage, asked, answer).into_iter().map(|what| format!("{about}{TELLS}{what}")).collect();
    if !scope_filter_enabled() {
        if stage.is_outside(asked, verdict) && !asked.case.reads() && answer.status.is_success() {
            wrong.push(format!("{about}{DONE}{verdict:?}"));
        }
    } else if !stage.fits(asked, verdict, answer) {
        wrong.push(format!("{about} where the table says {verdict:?}"));
    }
    wrong
}

/// Something that an answer tells to who must not know it: in its body or in its headers.
fn leak<S: Stage>(stage: &S, asked: &Asked<'_>, answer: &Response) -> Option<String> {
    let (path, body) = filled(stage, asked.case);
    let said = format!("{path} {body}");
    let headers = answer.headers.values().filter_map(|value| value.to_str().ok());
    let told = headers.fold(answer.text.clone(), |told, value| told + "\n" + value);
    stage.hidden(asked.someone).into_iter().find(|text| !said.contains(text) && told.contains(text))
}

/// How much was ever written: every write leaves an audit entry.
async fn writes(db: &TestDb) -> i64 {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let count = sql_query("SELECT count(*) AS n FROM audit_log");
    count.get_result::<Count>(&mut db.connect_as_owner().await).await.expect("count").n
}

impl Someone {
    /// Whether any of their grants reaches everything.
    pub fn reaches_all(&self) -> bool {
        self.caller.grants().iter().any(|grant| grant.scope == GrantScope::All)
    }
}
