//! Every operation × every role × every scope, with both tenancy layers and with each of them alone: see
//! [`testkit::access_matrix`].
//!
//! Each scope has one key and one binding. A caller who can create a grant sees and revokes it. For all others, it does
//! not exist.

use domain::{
    EntityId, Grant, GrantScope, PlatformId, Role,
    access::{AccessDecision, Target, may_grant},
};
use iam::Iam;
use identity::{ActorType, scope_filter_enabled};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{
    TestService,
    access_matrix::{self, Case, Cell, Hierarchy, Principal, Scenario},
};

use crate::world::{BINDINGS, KEYS, World, body, text};

struct Scene {
    world: World,
    hierarchy: Hierarchy,
    parts: Vec<(&'static str, String)>,
}

/// Placeholder for the id of the grant of a place, in paths and bodies.
fn part(kind: &str, place: &str) -> &'static str {
    // The leak of a test is small.
    format!("{{{kind}-of-{place}}}").leak()
}

/// Returns true if the place exists, so that grants for it can be created.
fn is_there(place: &str) -> bool {
    place != "deleted" && place != "gone"
}

impl Scene {
    async fn new() -> Self {
        let world = World::start().await;
        let registry = &world.registry;
        let hierarchy = Hierarchy {
            own: world.own.clone(),
            other: world.other.clone(),
            deleted: deleted(registry).await,
            parent: world.tenant.clone(),
            entity: world.child.clone(),
            child: registry.entity(&world.own, "grandchild", Some(&world.child)).await,
            sibling: registry.entity(&world.own, "second-child", Some(&world.tenant)).await,
            gone: gone(registry, &world.own).await,
            foreign: world.other_tenant.clone(),
        };
        let mut scene = Self { world, hierarchy, parts: Vec::new() };
        for (place, reach) in scene.hierarchy.scopes().into_iter().filter(|(place, _)| is_there(place)) {
            let name = json!({ "name": format!("the key of {place}") });
            let key = scene.world.post(KEYS, body(Role::Viewer, &reach, name)).await.expect(201);
            let subject = json!({ "subject": format!("the person of {place}") });
            let binding = scene.world.post(BINDINGS, body(Role::Viewer, &reach, subject)).await.expect(201);
            scene.parts.push((part("key", place), text(&key, "id").to_owned()));
            scene.parts.push((part("binding", place), text(&binding, "id").to_owned()));
        }
        scene
    }

    /// The place of the requested grant.
    fn place(&self, case: &Case) -> Option<(&'static str, GrantScope)> {
        let said = format!("{} {}", case.path, case.body);
        self.hierarchy.scopes().into_iter().find(|(place, _)| {
            let named = |kind| said.contains(part(kind, place));
            named("key") || named("binding") || said.contains(&format!("to be of {place}\""))
        })
    }

    fn line(&self, reach: &GrantScope) -> Vec<EntityId> {
        reach.entity().map(|entity| self.hierarchy.with_ancestors(entity)).unwrap_or_default()
    }

    fn reaches(&self, principal: &Principal, reach: &GrantScope) -> bool {
        let line = self.line(reach);
        principal.scope_includes(&match reach {
            GrantScope::All => Target::Everything,
            GrantScope::Platform(platform) => Target::Platform(platform),
            GrantScope::Entity(platform, _) => Target::Entity(platform, &line),
        })
    }

    fn may_grant(&self, principal: &Principal, reach: &GrantScope) -> bool {
        let grant = Grant { role: Role::Viewer, scope: reach.clone() };
        may_grant(principal.caller.grants(), &grant, &self.line(reach))
    }

    /// The decision for a caller who creates a grant in a place.
    fn granting(&self, principal: &Principal, place: &str, reach: &GrantScope) -> AccessDecision {
        let touches = |platform: &PlatformId| {
            let mut reached = principal.caller.grants().iter().map(|grant| grant.scope.platform());
            reached.any(|reached| reached.is_none_or(|reached| reached == platform))
        };
        if reach.platform().is_some_and(|platform| !touches(platform)) || !is_there(place) {
            return AccessDecision::Outside;
        }
        match (self.may_grant(principal, reach), reach) {
            (true, _) => AccessDecision::Allowed,
            (false, GrantScope::Entity(..)) if !self.reaches(principal, reach) => AccessDecision::Outside,
            // 403 reveals nothing here: other platforms exist, and a platform is more than a part of it.
            _ => AccessDecision::Forbidden,
        }
    }
}

async fn deleted(registry: &TestService) -> PlatformId {
    let id = registry.platform("deleted").await;
    registry.post(&format!("/api/v1/platforms/{id}/suspend"), json!({})).await.expect(200);
    registry.delete(&format!("/api/v1/platforms/{id}")).await.expect(200);
    id
}

async fn gone(registry: &TestService, of: &PlatformId) -> EntityId {
    let id = registry.entity(of, "gone", None).await;
    registry.delete(&format!("/api/v1/platforms/{of}/entities/{id}")).await.expect(200);
    id
}

impl Scenario for Scene {
    type Service = Iam;

    fn service(&self) -> &TestService {
        &self.world
    }

    fn placeholders(&self) -> &[(&'static str, String)] {
        &self.parts
    }

    fn cases(&self) -> Vec<Case> {
        let get = |path: &str| Case::plain(Method::GET, path, Value::Null);
        let mut cases: Vec<Case> =
            ["whoami", "keys", "bindings", "audit"].map(|name| get(&format!("/api/v1/iam/{name}"))).into();
        for (list, filter) in
            [(KEYS, "includeRevoked=true"), (KEYS, "platformId="), (BINDINGS, "platformId=")]
        {
            let own = if filter.ends_with('=') { self.hierarchy.own.as_str() } else { "" };
            cases.push(Case::new(Method::GET, list, &format!("{list}?{filter}{own}"), Value::Null));
        }
        let check = json!({ "action": "getEntity", "platformId": self.hierarchy.own, "entityId": self.hierarchy.entity });
        let checks = json!({ "checks": [{ "action": "listAudit" }, check] });
        cases.push(Case::plain(Method::POST, "/api/v1/iam/can", checks));
        for (place, reach) in self.hierarchy.scopes() {
            let named =
                |field: &str| body(Role::Viewer, &reach, json!({ field: format!("to be of {place}") }));
            cases.push(Case::plain(Method::POST, KEYS, named("name")));
            cases.push(Case::plain(Method::POST, BINDINGS, named("subject")));
            if is_there(place) {
                let delete = |list: &str, template: &str, kind: &str| {
                    let (template, path) =
                        (format!("{list}/{template}"), format!("{list}/{}", part(kind, place)));
                    Case::new(Method::DELETE, &template, &path, Value::Null)
                };
                cases.push(delete(KEYS, "{keyId}", "key"));
                cases.push(delete(BINDINGS, "{bindingId}", "binding"));
            }
        }
        cases
    }

    fn principals(&self) -> Vec<Principal> {
        self.hierarchy.principals(ActorType::User)
    }

    fn decision(&self, cell: &Cell<'_>) -> AccessDecision {
        match (cell.case.method.as_str(), self.place(cell.case)) {
            ("POST", Some((place, reach))) => self.granting(cell.principal, place, &reach),
            ("DELETE", Some((_, reach))) if self.may_grant(cell.principal, &reach) => AccessDecision::Allowed,
            ("DELETE", _) => AccessDecision::Outside,
            _ => cell.operation.decide(cell.principal.caller.grants(), &Target::Everything),
        }
    }

    fn is_out_of_scope(&self, cell: &Cell<'_>, _: AccessDecision) -> bool {
        self.place(cell.case).is_some_and(|(_, reach)| !self.reaches(cell.principal, &reach))
    }

    fn hidden(&self, principal: &Principal) -> Vec<String> {
        let mut hidden = Vec::new();
        for (place, reach) in self.hierarchy.scopes() {
            // Row-level security does not know roles.
            let sees = if scope_filter_enabled() {
                self.may_grant(principal, &reach)
            } else {
                self.reaches(principal, &reach)
            };
            if !sees && is_there(place) {
                let ids = ["key", "binding"].map(|kind| self.fill(part(kind, place)));
                hidden.extend(ids);
                hidden.extend([format!("the key of {place}"), format!("the person of {place}")]);
            }
        }
        hidden
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_follows_the_access_matrix() {
    access_matrix::check(&Scene::new().await).await.assert_passed();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_valid_credentials_are_rejected() {
    access_matrix::assert_invalid_tokens_rejected(&Scene::new().await).await;
}

// The scope filter alone must isolate tenants.
#[tokio::test(flavor = "multi_thread")]
async fn scope_filter_alone_separates_tenants() {
    let scene = Scene::new().await;
    access_matrix::disable_row_level_security(&scene).await;
    access_matrix::check(&scene).await.assert_passed();
}

// Row-level security alone must isolate tenants.
#[tokio::test(flavor = "multi_thread")]
async fn row_level_security_alone_separates_tenants() {
    access_matrix::disable_scope_filter();
    access_matrix::check(&Scene::new().await).await.assert_passed();
}

// Shows that the tests of each layer can fail.
#[tokio::test(flavor = "multi_thread")]
async fn without_both_tenancy_layers_everything_is_visible() {
    access_matrix::disable_scope_filter();
    access_matrix::assert_leaks_without_tenancy_layers(&Scene::new().await).await;
}
