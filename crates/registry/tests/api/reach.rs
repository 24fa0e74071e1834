//! Access matrix: every operation × every role × every scope, with both tenancy layers and with each one alone. See
//! [`testkit::access_matrix`].

use domain::{
    EntityId, PlatformId,
    access::{About, AccessDecision, Target},
};
use identity::ActorType;
use registry::Registry;
use reqwest::Method;
use serde_json::json;
use testkit::{
    Response, TestService,
    access_matrix::{self, Case, Cell, Hierarchy, Principal, Scenario},
};

use crate::{
    every_operation::Fixture,
    operation::{ALL, Created, Operation, operations},
};

/// A platform with one object of every type, most of them owned by one entity, and the objects around it.
struct Scene {
    fixture: Fixture,
    hierarchy: Hierarchy,
}

impl Scene {
    async fn new() -> Self {
        let mut fixture = Fixture::new().await;
        let (world, p, e) = (&fixture.world, fixture.fill("{p}"), fixture.fill("{e}"));
        // The quotas of a tier are tested elsewhere.
        world.patch(&format!("/api/v1/platforms/{p}"), json!({ "tier": "scale" })).await.expect(200);
        let child = world.subtenant(&p, "child", &e).await;
        let lost = world.tenant(&p, "lost").await;
        world.delete(&format!("/api/v1/platforms/{p}/entities/{lost}")).await.expect(200);
        let other = world.platform("other").await;
        let foreign = world.tenant(&other, "foreign").await;
        let ended = world.platform("ended").await;
        world.post(&format!("/api/v1/platforms/{ended}/suspend"), json!({})).await.expect(200);
        world.delete(&format!("/api/v1/platforms/{ended}")).await.expect(200);
        let entity = |id: &str| EntityId::parse(id).unwrap();
        let hierarchy = Hierarchy {
            own: PlatformId::parse(&p).unwrap(),
            other: PlatformId::parse(&other).unwrap(),
            deleted: PlatformId::parse(&ended).unwrap(),
            entity: entity(&e),
            parent: entity(&fixture.fill("{top}")),
            child: entity(&child),
            sibling: entity(&fixture.fill("{leaf}")),
            gone: entity(&lost),
            foreign: entity(&foreign),
        };
        fixture.parts.extend([("{child}", child), ("{lost}", lost), ("{other}", other)]);
        fixture.parts.extend([("{foreign}", foreign), ("{ended}", ended)]);
        Self { fixture, hierarchy }
    }

    /// Returns the entity that owns the object of the path, and its ancestors.
    fn line(&self, path: &str) -> Vec<EntityId> {
        // A filter in the query does not name an object that must exist.
        let path = path.split('?').next().unwrap();
        let of_e = ["{e}", "{r}", "{d1}", "{d2}", "{dns}", "{s}", "{domain}", "{old}"];
        let others = ["{top}", "{child}", "{leaf}", "{w}", "{lost}"];
        // Stacks of a template belong to their tenant, which is outside every scope here.
        let nobodys = ["{up}", "{back}", "{gone}"];
        let is_in = |part: &&str| path.contains(*part);
        if let Some(part) = others.into_iter().find(is_in) {
            return self.hierarchy.with_ancestors(&EntityId::parse(&self.fill(part)).unwrap());
        }
        if of_e.iter().any(is_in) {
            return self.hierarchy.with_ancestors(&self.hierarchy.entity);
        }
        let nobody = EntityId::parse("nobody0000").ok();
        nobody.filter(|_| nobodys.iter().any(is_in)).into_iter().collect()
    }

    /// Returns true if the caller sees objects of the entity `e`.
    fn sees(&self, principal: &Principal) -> bool {
        principal.scope_includes(&Target::Entity(
            &self.hierarchy.own,
            &self.hierarchy.with_ancestors(&self.hierarchy.entity),
        ))
    }
}

/// Returns the same operation on entities other than `e`, and on a deleted platform.
fn elsewhere(case: &Case) -> Vec<Case> {
    let mut parts = Vec::new();
    if case.path.contains("{e}") && !case.path.contains("/features/") {
        parts.extend(["{top}", "{child}", "{lost}"].map(|part| ("{e}", part)));
    }
    if case.path.contains("{p}") {
        parts.push(("{p}", "{ended}"));
    }
    let moved = |(from, to)| Case { path: case.path.replace(from, to), ..case.clone() };
    parts.into_iter().map(moved).collect()
}

/// Reads whose filter names an object outside the scope of some callers.
const NARROWED: [&str; 7] = [
    "/platforms/{p}/stacks?tenantId={e}",
    "/platforms/{p}/entities?type=subtenant",
    "/platforms/{p}/audit?entity={e}",
    "/platforms/{p}/builds/latest?env=prod",
    "/platforms/{ended}?includeDeleted=true",
    "/platforms/{ended}/explain?includeDeleted=true",
    "/audit?platformId={p}",
];

/// Returns the case of the operation with that filter.
fn narrowed(cases: &[Case], path: &str) -> Case {
    let path = format!("/api/v1{path}");
    let plain = path.split('?').next().unwrap();
    let is_same = |case: &&Case| case.is_read() && case.path == plain;
    Case { path: path.clone(), ..cases.iter().find(is_same).unwrap_or_else(|| panic!("{path}")).clone() }
}

fn is_gone(path: &str) -> bool {
    path.contains("{ended}") || path.contains("{lost}")
}

fn of_entity(principal: &Principal) -> bool {
    principal.scope().is_some_and(|reach| reach.entity().is_some())
}

impl Scenario for Scene {
    type Service = Registry;

    fn service(&self) -> &TestService {
        &self.fixture.world
    }

    fn placeholders(&self) -> &[(&'static str, String)] {
        &self.fixture.parts
    }

    fn cases(&self) -> Vec<Case> {
        let at = |path: &str| format!("/api/v1{path}");
        let case = |Operation { method, template, path, body, .. }: Operation| {
            Case::new(method, &at(&template), &at(&path), body)
        };
        let cases = operations().into_iter().map(case);
        let mut cases: Vec<Case> =
            cases.flat_map(|case| elsewhere(&case).into_iter().chain([case])).collect();
        let narrowed: Vec<Case> = NARROWED.iter().map(|path| narrowed(&cases, path)).collect();
        cases.extend(narrowed);
        cases
    }

    fn principals(&self) -> Vec<Principal> {
        self.hierarchy.principals(ActorType::Apikey)
    }

    fn decision(&self, cell: &Cell<'_>) -> AccessDecision {
        let (Cell { principal, operation, .. }, path) = (*cell, &cell.case.path);
        let part = ["{q}", "{ended}"].into_iter().find(|part| path.contains(part)).unwrap_or("{p}");
        let platform = PlatformId::parse(&self.fill(part)).unwrap();
        let line = self.line(path);
        let target = match operation.about {
            About::Everything | About::Caller => Target::Everything,
            About::Entity if !line.is_empty() => Target::Entity(&platform, &line),
            About::Platform | About::Entity => Target::Platform(&platform),
        };
        let role_in = principal
            .caller
            .grants()
            .iter()
            .find(|grant| grant.scope.platform() == Some(&platform))
            .filter(|_| operation.about == About::Entity);
        let decision = match (operation.decide(principal.caller.grants(), &target), role_in) {
            // A role that is too low for the whole platform gets 403, which reveals nothing about its objects.
            (AccessDecision::Outside, Some(grant)) if !grant.role.covers(operation.least) => {
                AccessDecision::Forbidden
            }
            // A list of a platform exists for every caller with access to any of its objects.
            (AccessDecision::Outside, Some(_)) if line.is_empty() => AccessDecision::Allowed,
            (decision, _) => decision,
        };
        // Only operators see deleted objects, and only on request.
        let is_shown = path.contains("includeDeleted") && principal.caller.is_operator();
        let is_gone = is_gone(path) && !is_shown;
        if is_gone && decision == AccessDecision::Allowed { AccessDecision::Outside } else { decision }
    }

    fn hidden(&self, principal: &Principal) -> Vec<String> {
        let own = &self.hierarchy.own;
        let unless = |sees: bool, parts: &[&str]| {
            let hidden = if sees { &[] } else { parts };
            hidden.iter().map(|part| self.fill(part)).collect::<Vec<_>>()
        };
        let sees = |part: &str| principal.scope_includes(&Target::Entity(own, &self.line(part)));
        let touches = |part: &str| {
            let mut touched = principal.caller.grants().iter().map(|grant| grant.scope.platform());
            touched.any(|platform| platform.is_none_or(|id| id.as_str() == self.fill(part)))
        };
        let names = ["a.example", "shop.example", "old.example", "spare.example"];
        let (r, of_e) =
            (sees("{e}"), ["{r}", "{d1}", "{d2}", "{dns}", "{spare}", "{domain}", "{old}", "{s}"]);
        let mut hidden = unless(r, &of_e);
        hidden.extend(unless(r, &names));
        // A caller knows the ancestors of the entities in their scope.
        hidden.extend(unless(r || sees("{child}"), &["{e}"]));
        hidden.extend(unless(sees("{child}"), &["{child}"]));
        hidden.extend(unless(sees("{leaf}"), &["{leaf}"]));
        hidden.extend(unless(sees("{w}"), &["{w}", "{up}", "{back}", "{gone}", "{build}"]));
        for platform in ["{p}", "{q}", "{other}", "{ended}"] {
            hidden.extend(unless(touches(platform), &[platform]));
        }
        hidden.extend(unless(touches("{other}"), &["{foreign}"]));
        // Objects of a whole platform are hidden from callers who hold only entities of it.
        let sees_platform = principal.scope_includes(&Target::Platform(own));
        for Created { part, path, .. } in ALL.iter().flat_map(|cases| (cases.created)()) {
            let is_visible = if path.contains("{e}") { sees("{e}") } else { sees_platform };
            hidden.extend(unless(is_visible, &[part]));
        }
        hidden
    }

    fn is_expected(&self, cell: &Cell<'_>, decision: AccessDecision, answer: &Response) -> bool {
        let (Cell { principal, operation, case }, status) = (*cell, answer.status.as_u16());
        match decision {
            // A lookup by name outside the caller's scope gets 404.
            _ if operation.id == "lookupResource" => status == if self.sees(principal) { 200 } else { 404 },
            // Creating a tenant requires access to the whole platform.
            AccessDecision::Allowed if of_entity(principal) && operation.id == "createEntity" => {
                status == 403
            }
            // Objects named in a body are searched within the caller's scope.
            AccessDecision::Allowed
                if !self.sees(principal) && case.method == Method::POST && !case.body.is_null() =>
            {
                access_matrix::status_matches(decision, answer) == case.path.contains("/resources")
                    && (status < 300 || status == 400 || status == 404)
            }
            // An active platform cannot be restored or deleted.
            AccessDecision::Allowed
                if ["/restore", "/delete"].iter().any(|verb| case.path.ends_with(verb)) =>
            {
                status == 409
            }
            decision => access_matrix::status_matches(decision, answer),
        }
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

/// The scope filter must not rely on row-level security.
#[tokio::test(flavor = "multi_thread")]
async fn scope_filter_alone_separates_tenants() {
    let scene = Scene::new().await;
    access_matrix::disable_row_level_security(&scene).await;
    access_matrix::check(&scene).await.assert_passed();
}

/// Row-level security must not rely on the scope filter.
#[tokio::test(flavor = "multi_thread")]
async fn row_level_security_alone_separates_tenants() {
    access_matrix::disable_scope_filter();
    access_matrix::check(&Scene::new().await).await.assert_passed();
}

/// Verifies that the two tests above can fail.
#[tokio::test(flavor = "multi_thread")]
async fn without_both_tenancy_layers_everything_is_visible() {
    access_matrix::disable_scope_filter();
    access_matrix::assert_leaks_without_tenancy_layers(&Scene::new().await).await;
}
