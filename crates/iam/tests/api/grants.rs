//! Authorization of grants: a caller cannot grant more access than it has.

use domain::{GrantScope, Role};
use reqwest::Method;
use serde_json::json;

use crate::world::{BINDINGS, KEYS, World, body, count, grant, person};

/// Scope of a caller's grant, or of a new grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TestScope {
    Everywhere,
    Own,
    Tenant,
    Child,
    Sibling,
    Other,
}

use TestScope::{Child, Everywhere, Other, Own, Sibling, Tenant};

const SCOPES: [TestScope; 6] = [Everywhere, Own, Tenant, Child, Sibling, Other];

impl TestScope {
    fn scope(self, world: &World) -> GrantScope {
        let of = |entity: &domain::EntityId| GrantScope::Entity(world.own.clone(), entity.clone());
        match self {
            Everywhere => GrantScope::All,
            Own => world.all_of_own(),
            Tenant => of(&world.tenant),
            Child => of(&world.child),
            Sibling => of(&world.sibling),
            Other => GrantScope::Platform(world.other.clone()),
        }
    }

    /// Returns true if this scope includes `there`. Written out rather than computed.
    fn includes(self, there: Self) -> bool {
        let included: &[Self] = match self {
            Everywhere => &SCOPES,
            Own => &[Own, Tenant, Child, Sibling],
            Tenant => &[Tenant, Child],
            Child => &[Child],
            Sibling => &[Sibling],
            Other => &[Other],
        };
        included.contains(&there)
    }
}

/// Status of the response when a caller with `role` in `here` grants `new_role` in `there`.
fn expected(role: Role, here: TestScope, new_role: Role, there: TestScope) -> u16 {
    if new_role == Role::Operator && there != Everywhere {
        return 400;
    }
    if here.includes(there) {
        return if role >= Role::PlatformAdmin && role >= new_role { 201 } else { 403 };
    }
    match there {
        // 403 reveals nothing here: other platforms exist, and a platform is more than a part of it.
        Everywhere => 403,
        Own if here != Other => 403,
        _ => 404,
    }
}

async fn check_all_combinations(path: &str, more: serde_json::Value) {
    let world = World::start().await;
    let mut created = 0;
    for role in Role::ALL {
        for here in SCOPES {
            if *role == Role::Operator && here != Everywhere {
                continue;
            }
            let caller = person(vec![grant(*role, &here.scope(&world))]);
            for new_role in Role::ALL {
                for there in SCOPES {
                    let mut body = body(*new_role, &there.scope(&world), more.clone());
                    if path == BINDINGS {
                        body["subject"] = json!(format!("person {role} {here:?}"));
                    }
                    let answer = world.send_as(&caller, Method::POST, path, &body).await;
                    let status = answer.status.as_u16();
                    let what = format!("{role} of {here:?} grants {new_role} of {there:?}: {}", answer.body);
                    assert_eq!(status, expected(*role, here, *new_role, there), "{what}");
                    let code = match status {
                        403 => "FORBIDDEN",
                        404 => "NOT_FOUND",
                        400 => "VALIDATION_ERROR",
                        _ => {
                            created += 1;
                            continue;
                        }
                    };
                    answer.expect_error(status, code);
                }
            }
        }
    }
    assert!(created > 20);
    assert_eq!(count(&world, "audit_log").await, created);
}

#[tokio::test]
async fn keys_cannot_exceed_the_callers_grants() {
    check_all_combinations(KEYS, json!({ "name": "ci" })).await;
}

#[tokio::test]
async fn bindings_cannot_exceed_the_callers_grants() {
    check_all_combinations(BINDINGS, json!({})).await;
}

#[tokio::test]
async fn scope_outside_has_the_same_error_as_an_unknown_one() {
    let world = World::start().await;
    let caller = person(vec![grant(Role::PlatformAdmin, &world.of_tenant())]);
    let message = async |platform: &str, entity: &str| {
        let body = json!({ "name": "ci", "role": "viewer", "platformId": platform, "entityId": entity });
        let answer = world.send_as(&caller, Method::POST, KEYS, &body).await;
        let text = answer.body["error"]["message"].as_str().unwrap().to_owned();
        answer.expect_error(404, "NOT_FOUND");
        text.replace(platform, "P").replace(entity, "E")
    };
    let (own, other) = (world.own.as_str(), world.other.as_str());
    assert_eq!(message(own, world.sibling.as_str()).await, message(own, "entity0001").await);
    let stranger = message(other, world.other_tenant.as_str()).await;
    assert_eq!(stranger, message(other, "entity0001").await);
    assert_eq!(stranger, message("aaaaaaaaaa", "entity0001").await);
}

#[tokio::test]
async fn grants_are_not_combined() {
    let world = World::start().await;
    // A viewer of a platform who administers a part of it does not administer the platform.
    let caller = person(vec![
        grant(Role::Viewer, &world.all_of_own()),
        grant(Role::PlatformAdmin, &world.of_tenant()),
        grant(Role::Developer, &GrantScope::All),
    ]);
    for (there, status) in
        [(Own, 403), (Tenant, 201), (Child, 201), (Sibling, 403), (Other, 403), (Everywhere, 403)]
    {
        let body = body(Role::Viewer, &there.scope(&world), json!({ "name": "ci" }));
        let answer = world.send_as(&caller, Method::POST, KEYS, &body).await;
        assert_eq!(answer.status.as_u16(), status, "{there:?}: {}", answer.body);
    }
}
