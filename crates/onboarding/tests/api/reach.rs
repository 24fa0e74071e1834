//! Access matrix: every operation × every role × every scope, with both tenancy layers and with each one alone. See
//! [`testkit::access_matrix`].
//!
//! An onboarding is visible to its owner. None of these makes progress, because the registry is unreachable.

use diesel_async::SimpleAsyncConnection;
use domain::access::{About, AccessDecision, Target};
use identity::ActorType;
use onboarding::Onboarding;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{
    Response, TestService,
    access_matrix::{self, Case, Cell, Hierarchy, Principal, Scenario},
};

const ONBOARDING: &str = "/api/v1/onboarding";

struct Scene {
    onboarding: TestService,
    hierarchy: Hierarchy,
    ann: Principal,
    /// Ann's onboardings, each in a different state, and one of a different user.
    parts: Vec<(&'static str, String)>,
}

const ANNS: [&str; 4] = ["{live}", "{paused}", "{stuck}", "{ended}"];

fn user(name: &str) -> Principal {
    Principal::new(name, ActorType::User, Vec::new())
}

/// Starts an onboarding and returns its id.
async fn start(service: &TestService, by: &Principal, slug: &str) -> String {
    let body = json!({ "platformName": format!("What {slug} is"), "slug": slug, "tier": "starter" });
    let request = service.request_as(&by.caller, Method::POST, ONBOARDING).json(&body);
    let started = Response::read(request.send().await.unwrap()).await.expect(201);
    started["onboardingId"].as_str().unwrap().to_owned()
}

impl Scene {
    async fn new() -> Self {
        let unreachable = json!({ "url": "http://127.0.0.1:9" });
        let peers = json!({ "registry": unreachable, "provisioning": unreachable, "iam": unreachable });
        let onboarding = TestService::start_with::<Onboarding>(json!({ "service": peers })).await;
        let ann = user("ann");
        let mut parts = vec![("{bobs}", start(&onboarding, &user("bob"), "bobs").await)];
        for part in ANNS {
            parts.push((
                part,
                start(&onboarding, &ann, &format!("anns-{}", part.trim_matches(['{', '}']))).await,
            ));
        }
        let scene = Self { onboarding, hierarchy: Hierarchy::random(), ann, parts };
        let pause = scene.fill(&format!("{ONBOARDING}/{{paused}}/pause"));
        scene.onboarding.post(&pause, json!({})).await.expect(200);
        // The new fence makes a runner that still holds the saga lose it.
        for (part, state) in [
            ("{stuck}", "status = 'stuck', cause = 'failed'"),
            ("{ended}", "status = 'undone', cause = 'cancelled', finished_at = now()"),
        ] {
            let sql =
                format!("UPDATE sagas SET fence = fence + 1, {state} WHERE id = '{}'", scene.fill(part));
            scene.onboarding.db.connect_as_owner().await.batch_execute(&sql).await.unwrap();
        }
        scene
    }

    /// Returns true if the caller owns the requested onboarding, or starts a new one.
    fn is_owner(&self, cell: &Cell<'_>) -> bool {
        let new = cell.operation.id == "createOnboarding";
        new || (cell.principal.name == self.ann.name && ANNS.iter().any(|part| cell.case.path.contains(part)))
    }
}

impl Scenario for Scene {
    type Service = Onboarding;

    fn service(&self) -> &TestService {
        &self.onboarding
    }

    fn placeholders(&self) -> &[(&'static str, String)] {
        &self.parts
    }

    fn cases(&self) -> Vec<Case> {
        let new = json!({ "platformName": "New", "slug": "new", "tier": "starter" });
        let change = json!({ "metadata": "{\"seen\":true}" });
        let mut cases = Vec::new();
        for root in ["", ONBOARDING] {
            let one = |method: Method, part: &str, body: &Value| {
                Case::new(
                    method,
                    &format!("{root}/{{onboardingId}}"),
                    &format!("{root}/{part}"),
                    body.clone(),
                )
            };
            let begin = if root.is_empty() { "/" } else { root };
            cases.push(Case::plain(Method::POST, begin, new.clone()));
            cases.push(Case::plain(Method::GET, &format!("{root}/admin/sessions"), Value::Null));
            for part in ["{live}", "{bobs}", "{ended}"] {
                cases.push(one(Method::GET, part, &Value::Null));
                cases.push(one(Method::PATCH, part, &change));
            }
        }
        // The event stream of an onboarding in progress does not end.
        for (method, part, verb) in [
            (Method::GET, "{ended}", "events"),
            (Method::GET, "{live}", "explain"),
            (Method::POST, "{live}", "pause"),
            (Method::POST, "{paused}", "resume"),
            (Method::POST, "{stuck}", "discard"),
            (Method::POST, "{bobs}", "pause"),
        ] {
            let template = format!("{ONBOARDING}/{{onboardingId}}/{verb}");
            cases.push(Case::new(method, &template, &format!("{ONBOARDING}/{part}/{verb}"), Value::Null));
        }
        cases
    }

    fn principals(&self) -> Vec<Principal> {
        let people = self.hierarchy.principals(ActorType::User);
        let programs = self
            .hierarchy
            .principals(ActorType::Apikey)
            .into_iter()
            .map(|principal| Principal { name: format!("a program, {}", principal.name), ..principal });
        people.into_iter().chain(programs).chain([self.ann.clone()]).collect()
    }

    fn decision(&self, cell: &Cell<'_>) -> AccessDecision {
        let Cell { principal, operation, .. } = cell;
        if operation.about == About::Everything {
            return operation.decide(principal.caller.grants(), &Target::Everything);
        }
        let is_person = principal.caller.actor_type == ActorType::User;
        match operation.id.as_str() {
            _ if principal.caller.is_operator() => AccessDecision::Allowed,
            "createOnboarding" if is_person => AccessDecision::Allowed,
            "createOnboarding" => AccessDecision::Forbidden,
            _ if self.is_owner(cell) => AccessDecision::Allowed,
            _ if principal.has_global_scope() => AccessDecision::Forbidden,
            _ => AccessDecision::Outside,
        }
    }

    fn is_out_of_scope(&self, cell: &Cell<'_>, _: AccessDecision) -> bool {
        !cell.principal.has_global_scope() && !self.is_owner(cell)
    }

    fn hidden(&self, principal: &Principal) -> Vec<String> {
        let of = |parts: &[&str]| {
            let names = parts.iter().map(|part| part.trim_matches(['{', '}']).to_owned());
            parts.iter().map(|part| self.fill(part)).chain(names.map(|name| format!("-{name} is"))).collect()
        };
        if principal.has_global_scope() {
            Vec::new()
        } else if principal.name == self.ann.name {
            vec![self.fill("{bobs}"), "bobs is".to_owned()]
        } else {
            let mut hidden: Vec<String> = of(&ANNS);
            hidden.extend([self.fill("{bobs}"), "bobs is".to_owned()]);
            hidden
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_follows_the_access_matrix() {
    access_matrix::check(&Scene::new().await).await.assert_passed();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_valid_token_are_rejected() {
    access_matrix::assert_invalid_tokens_rejected(&Scene::new().await).await;
}

/// The scope filter must be sufficient without row-level security.
#[tokio::test(flavor = "multi_thread")]
async fn scope_filter_alone_separates_tenants() {
    let scene = Scene::new().await;
    access_matrix::disable_row_level_security(&scene).await;
    access_matrix::check(&scene).await.assert_passed();
}

/// Row-level security must be sufficient without the scope filter.
#[tokio::test(flavor = "multi_thread")]
async fn row_level_security_alone_separates_tenants() {
    access_matrix::disable_scope_filter();
    access_matrix::check(&Scene::new().await).await.assert_passed();
}

/// Without both layers, callers see everything. This shows that the tests above can fail.
#[tokio::test(flavor = "multi_thread")]
async fn without_both_tenancy_layers_everything_is_visible() {
    access_matrix::disable_scope_filter();
    access_matrix::assert_leaks_without_tenancy_layers(&Scene::new().await).await;
}
