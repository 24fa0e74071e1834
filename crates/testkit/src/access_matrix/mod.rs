//! Access matrix: every operation of a service × every principal.
//!
//! The expected status of each cell follows only from the access that the operation declares. No response may reveal data
//! outside the scope of the caller.
//!
//! A service implements [`Scenario`]: the running service with data, a request for each operation of its document, and
//! the texts that are hidden from each principal. An operation without a case is a failure, so none can be forgotten.
//! Writes are dry runs (`dryRun`), so every principal meets the same data.
//!
//! After [`disable_scope_filter`], row-level security is the only tenancy layer. Statuses may then differ from the
//! matrix, but callers still must not read or change data outside their scope.

mod invalid_tokens;
mod principals;

use std::collections::BTreeSet;

use diesel::{QueryableByName, sql_query, sql_types::BigInt};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use domain::access::{About, AccessDecision, Operation, declared_operation};
use futures_util::{StreamExt, stream};
use identity::scope_filter_enabled;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use service::Service;

pub use invalid_tokens::assert_invalid_tokens_rejected;
pub use principals::{Hierarchy, Principal};

use crate::{Response, TestDb, TestService, document};

const CONCURRENT_REQUESTS: usize = 8;

/// A request for an operation. The path and the body may contain placeholders of the scenario, such as `{p}`.
#[derive(Debug, Clone)]
pub struct Case {
    pub method: Method,
    /// The path as it is in the OpenAPI document.
    pub template: String,
    pub path: String,
    /// Null for a request without a body.
    pub body: Value,
}

impl Case {
    /// Creates a case.
    pub fn new(method: Method, template: &str, path: &str, body: Value) -> Self {
        Self { method, template: template.to_owned(), path: path.to_owned(), body }
    }

    /// Creates a case for an operation whose path has no parameters.
    pub fn plain(method: Method, path: &str, body: Value) -> Self {
        Self::new(method, path, path, body)
    }

    /// Returns true if the request only reads.
    pub fn is_read(&self) -> bool {
        self.method == Method::GET
    }
}

/// One cell of the matrix: a request of a principal.
#[derive(Debug, Clone, Copy)]
pub struct Cell<'a> {
    pub principal: &'a Principal,
    pub case: &'a Case,
    /// The operation with the access that it declares.
    pub operation: &'a Operation,
}

/// A running service with data.
pub trait Scenario: Sync {
    /// The service under test.
    type Service: Service;

    /// Returns the running service.
    fn service(&self) -> &TestService;

    /// Returns the ids by their placeholders in paths and bodies.
    fn placeholders(&self) -> &[(&'static str, String)];

    /// Returns at least one case for each operation.
    fn cases(&self) -> Vec<Case>;

    /// Returns the callers.
    fn principals(&self) -> Vec<Principal>;

    /// Returns the expected decision for a cell.
    fn decision(&self, cell: &Cell<'_>) -> AccessDecision;

    /// Returns texts that no response to the principal may contain, unless the request contains them.
    fn hidden(&self, principal: &Principal) -> Vec<String>;

    /// Returns true if the response agrees with the decision.
    fn is_expected(&self, _: &Cell<'_>, decision: AccessDecision, answer: &Response) -> bool {
        status_matches(decision, answer)
    }

    /// Returns true if the target of the request is outside the principal's scope, regardless of the role.
    fn is_out_of_scope(&self, cell: &Cell<'_>, decision: AccessDecision) -> bool {
        decision == AccessDecision::Outside
            || (cell.operation.about == About::Everything && !cell.principal.has_global_scope())
    }

    /// Replaces the placeholders in a text.
    fn fill(&self, text: &str) -> String {
        self.placeholders().iter().fold(text.to_owned(), |text, (name, id)| text.replace(name, id))
    }
}

/// Returns true if the response has the usual status for the decision: success, 403 or 404.
pub fn status_matches(decision: AccessDecision, answer: &Response) -> bool {
    match decision {
        AccessDecision::Allowed => answer.status.is_success(),
        AccessDecision::Forbidden => answer.status == 403,
        AccessDecision::Outside => answer.status == 404,
    }
}

/// The result of all cells.
#[derive(Debug, Default)]
pub struct Report {
    pub cells: usize,
    /// One line for each failure.
    pub failures: Vec<String>,
}

impl Report {
    /// Asserts that there were cells and none failed.
    #[track_caller]
    #[expect(clippy::print_stdout, reason = "a run of this test alone shows the number of cells")]
    pub fn assert_passed(&self) {
        println!("{} cells", self.cells);
        let count = self.failures.len();
        assert!(count == 0, "{count} failures in {} cells:\n{}", self.cells, self.failures.join("\n"));
        assert!(self.cells > 0, "the matrix is empty");
    }
}

/// Sends every case as every principal and checks the responses.
pub async fn check<S: Scenario>(scenario: &S) -> Report {
    let (cases, principals) = (cases_with_operations(scenario), scenario.principals());
    let before = count_writes(&scenario.service().db).await;
    let mut report = Report { failures: uncovered_operations(scenario), ..Report::default() };
    let cells = principals.iter().flat_map(|principal| {
        cases.iter().map(move |(case, operation)| async move {
            let cell = Cell { principal, case, operation };
            let answer = send_as_principal(scenario, &cell).await;
            let mut failures = check_cell(scenario, &cell, &answer);
            if !case.is_read() {
                failures.extend(check_invalid_body(scenario, &cell, &answer).await);
            }
            failures
        })
    });
    let mut results = stream::iter(cells).buffer_unordered(CONCURRENT_REQUESTS);
    while let Some(failures) = results.next().await {
        report.cells += 1;
        report.failures.extend(failures);
    }
    let writes = count_writes(&scenario.service().db).await - before;
    if writes != 0 {
        report
            .failures
            .push(format!("every write was a dry run, but the audit log has {writes} new entries"));
    }
    report
}

/// Disables row-level security, so that PostgreSQL shows all rows to everyone.
pub async fn disable_row_level_security<S: Scenario>(scenario: &S) {
    let sql = "DO $$ DECLARE name regclass; BEGIN \
        FOR name IN SELECT oid FROM pg_class WHERE relrowsecurity LOOP \
            EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', name); \
        END LOOP; END $$";
    let mut connection = scenario.service().db.connect_as_owner().await;
    connection.batch_execute(sql).await.expect("disable row-level security");
}

/// Disables the scope filter in this process: statements get no scope from now on.
///
/// # Panics
/// If other tests may run in the same process.
pub fn disable_scope_filter() {
    #[expect(clippy::disallowed_methods, reason = "nextest sets this variable")]
    let mode = std::env::var("NEXTEST_EXECUTION_MODE");
    assert_eq!(
        mode.as_deref(),
        Ok("process-per-test"),
        "run this test with cargo nextest: it needs its own process"
    );
    identity::disable_scope_filter();
}

/// Runs the matrix without row-level security, and asserts that it finds leaks and forbidden writes. The caller has
/// disabled the scope filter.
///
/// # Panics
/// If the matrix finds no leak or no forbidden write: then it cannot detect them.
pub async fn assert_leaks_without_tenancy_layers<S: Scenario>(scenario: &S) {
    disable_row_level_security(scenario).await;
    let report = check(scenario).await;
    let has = |text: &str| report.failures.iter().any(|failure| failure.contains(text));
    assert!(has(REVEALS), "no leak in {} cells", report.cells);
    assert!(has(SUCCEEDS), "no forbidden write in {} cells", report.cells);
}

/// Marks leaks in failures.
const REVEALS: &str = " reveals ";
/// Marks forbidden writes in failures.
const SUCCEEDS: &str = " succeeds, expected ";

fn cases_with_operations<S: Scenario>(scenario: &S) -> Vec<(Case, Operation)> {
    let document = document::of::<S::Service>();
    let with_operation = |case: Case| {
        let object = &document["paths"][&case.template][case.method.as_str().to_lowercase()];
        let operation = declared_operation(object)
            .unwrap_or_else(|error| panic!("{} {}: {error}", case.method, case.template));
        (case, operation)
    };
    scenario.cases().into_iter().map(with_operation).collect()
}

/// Returns a failure for each operation of the document without a case.
fn uncovered_operations<S: Scenario>(scenario: &S) -> Vec<String> {
    let covered: BTreeSet<(String, String)> = scenario
        .cases()
        .into_iter()
        .map(|case| (case.method.as_str().to_lowercase(), case.template))
        .collect();
    let all = document::operations(&document::of::<S::Service>());
    all.difference(&covered).map(|(method, path)| format!("no case covers {method} {path}")).collect()
}

/// Returns the path and the body of a request, without placeholders.
fn filled<S: Scenario>(scenario: &S, case: &Case) -> (String, Value) {
    let mut path = scenario.fill(&case.path);
    if !case.is_read() {
        path.push_str(if path.contains('?') { "&dryRun=true" } else { "?dryRun=true" });
    }
    let body = scenario.fill(&case.body.to_string());
    (path, serde_json::from_str(&body).expect("a body"))
}

/// Sends the same request with an invalid body. A caller without access gets the same status as for a valid body, so
/// that the faults reveal nothing. All others get 400.
async fn check_invalid_body<S: Scenario>(scenario: &S, cell: &Cell<'_>, valid: &Response) -> Vec<String> {
    let mut case = cell.case.clone();
    match case.body.as_object_mut() {
        Some(fields) => drop(fields.insert("noSuchField".to_owned(), Value::Bool(true))),
        None => case.body = json!({ "noSuchField": true }),
    }
    let cell = Cell { case: &case, ..*cell };
    let answer = send_as_principal(scenario, &cell).await;
    let request = || format!("{}: {} {}", cell.principal.name, case.method, case.path);
    let mut failures: Vec<String> = leak(scenario, &cell, &answer)
        .into_iter()
        .map(|text| format!("{} with an invalid body: {}{REVEALS}{text}", request(), answer.text))
        .collect();
    // An operator has all permissions: the service validates the body before it looks for the object.
    let is_refusal = matches!(valid.status.as_u16(), 401 | 403 | 404) && !cell.principal.caller.is_operator();
    let expected = if is_refusal { valid.status.as_u16() } else { 400 };
    if scope_filter_enabled() && answer.status != expected {
        failures.push(format!(
            "{}: {} {}, and with an invalid body {} {}",
            request(),
            valid.status,
            valid.text,
            answer.status,
            answer.text
        ));
    }
    failures
}

async fn send_as_principal<S: Scenario>(scenario: &S, cell: &Cell<'_>) -> Response {
    let caller = &cell.principal.caller;
    send(scenario, cell.case, |method, path| scenario.service().request_as(caller, method, path)).await
}

/// Sends the request of a case. `begin` creates the request with the caller's credentials.
async fn send<S: Scenario>(
    scenario: &S,
    case: &Case,
    begin: impl FnOnce(Method, &str) -> RequestBuilder,
) -> Response {
    let (path, body) = filled(scenario, case);
    let request = begin(case.method.clone(), &path);
    let request = if body.is_null() { request } else { request.json(&body) };
    Response::read(request.send().await.expect("an answer")).await
}

/// Returns the failures of a response.
fn check_cell<S: Scenario>(scenario: &S, cell: &Cell<'_>, answer: &Response) -> Vec<String> {
    let Case { method, path, .. } = cell.case;
    let decision = scenario.decision(cell);
    let about = format!("{}: {method} {path}: {} {}", cell.principal.name, answer.status, answer.text);
    let mut failures: Vec<String> =
        leak(scenario, cell, answer).into_iter().map(|text| format!("{about}{REVEALS}{text}")).collect();
    if !scope_filter_enabled() {
        if scenario.is_out_of_scope(cell, decision) && !cell.case.is_read() && answer.status.is_success() {
            failures.push(format!("{about}{SUCCEEDS}{decision:?}"));
        }
    } else if !scenario.is_expected(cell, decision, answer) {
        failures.push(format!("{about}, expected {decision:?}"));
    }
    failures
}

/// Returns a hidden text that the response reveals in its body or headers.
fn leak<S: Scenario>(scenario: &S, cell: &Cell<'_>, answer: &Response) -> Option<String> {
    let (path, body) = filled(scenario, cell.case);
    let request = format!("{path} {body}");
    let headers = answer.headers.values().filter_map(|value| value.to_str().ok());
    let response = headers.fold(answer.text.clone(), |text, value| text + "\n" + value);
    let mut hidden = scenario.hidden(cell.principal).into_iter();
    hidden.find(|text| !request.contains(text) && response.contains(text))
}

/// Returns the number of audit entries. Every write adds one.
async fn count_writes(db: &TestDb) -> i64 {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let count = sql_query("SELECT count(*) AS n FROM audit_log");
    count.get_result::<Count>(&mut db.connect_as_owner().await).await.expect("count").n
}
