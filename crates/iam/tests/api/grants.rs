//! Who may grant what: nobody grants more than they hold.

use domain::{GrantScope, Role};
use reqwest::Method;
use serde_json::json;

use crate::world::{BINDINGS, KEYS, World, body, count, grant, person};

/// Where someone holds a role, or wants to grant one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Everywhere,
    Own,
    Tenant,
    Below,
    Beside,
    Other,
}

use Place::{Below, Beside, Everywhere, Other, Own, Tenant};

const PLACES: [Place; 6] = [Everywhere, Own, Tenant, Below, Beside, Other];

impl Place {
    fn reach(self, world: &World) -> GrantScope {
        let of = |entity: &domain::EntityId| GrantScope::Entity(world.own.clone(), entity.clone());
        match self {
            Everywhere => GrantScope::All,
            Own => world.all_of_own(),
            Tenant => of(&world.tenant),
            Below => of(&world.below),
            Beside => of(&world.beside),
            Other => GrantScope::Platform(world.other.clone()),
        }
    }

    /// Whether who holds something here reaches `there` whole, written out rather than computed.
    fn holds(self, there: Self) -> bool {
        let below: &[Self] = match self {
            Everywhere => &PLACES,
            Own => &[Own, Tenant, Below, Beside],
            Tenant => &[Tenant, Below],
            Below => &[Below],
            Beside => &[Beside],
            Other => &[Other],
        };
        below.contains(&there)
    }
}

/// What is answered to who holds `role` at `here` and wants to grant `wanted` at `there`.
fn expected(role: Role, here: Place, wanted: Role, there: Place) -> u16 {
    if wanted == Role::Operator && there != Everywhere {
        return 400;
    }
    if here.holds(there) {
        return if role >= Role::PlatformAdmin && role >= wanted { 201 } else { 403 };
    }
    match there {
        // That there are others, and that a platform is more than a part of it, is no secret.
        Everywhere => 403,
        Own if here != Other => 403,
        _ => 404,
    }
}

async fn table(path: &str, more: serde_json::Value) {
    let world = World::start().await;
    let mut made = 0;
    for role in Role::ALL {
        for here in PLACES {
            if *role == Role::Operator && here != Everywhere {
                continue;
            }
            let caller = person(vec![grant(*role, &here.reach(&world))]);
            for wanted in Role::ALL {
                for there in PLACES {
                    let mut body = body(*wanted, &there.reach(&world), more.clone());
                    if path == BINDINGS {
                        body["subject"] = json!(format!("person {role} {here:?}"));
                    }
                    let answer = world.send_as(&caller, Method::POST, path, &body).await;
                    let told = answer.status.as_u16();
                    let what = format!("{role} of {here:?} grants {wanted} of {there:?}: {}", answer.body);
                    assert_eq!(told, expected(*role, here, *wanted, there), "{what}");
                    let code = match told {
                        403 => "FORBIDDEN",
                        404 => "NOT_FOUND",
                        400 => "VALIDATION_ERROR",
                        _ => {
                            made += 1;
                            continue;
                        }
                    };
                    answer.expect_error(told, code);
                }
            }
        }
    }
    assert!(made > 20);
    assert_eq!(count(&world, "audit_log").await, made);
}

#[tokio::test]
async fn of_keys() {
    table(KEYS, json!({ "name": "ci" })).await;
}

#[tokio::test]
async fn of_bindings() {
    table(BINDINGS, json!({})).await;
}

#[tokio::test]
async fn what_lies_outside_is_answered_as_what_is_not_there() {
    let world = World::start().await;
    let caller = person(vec![grant(Role::PlatformAdmin, &world.of_tenant())]);
    let tell = async |platform: &str, entity: &str| {
        let body = json!({ "name": "ci", "role": "viewer", "platformId": platform, "entityId": entity });
        let answer = world.send_as(&caller, Method::POST, KEYS, &body).await;
        let message = answer.body["error"]["message"].as_str().unwrap().to_owned();
        answer.expect_error(404, "NOT_FOUND");
        message.replace(platform, "P").replace(entity, "E")
    };
    let (own, other) = (world.own.as_str(), world.other.as_str());
    assert_eq!(tell(own, world.beside.as_str()).await, tell(own, "entity0001").await);
    let stranger = tell(other, world.others.as_str()).await;
    assert_eq!(stranger, tell(other, "entity0001").await);
    assert_eq!(stranger, tell("aaaaaaaaaa", "entity0001").await);
}

#[tokio::test]
async fn grants_do_not_add_up_to_more() {
    let world = World::start().await;
    // A viewer of the whole and the administrator of a part is not the administrator of the whole.
    let caller = person(vec![
        grant(Role::Viewer, &world.all_of_own()),
        grant(Role::PlatformAdmin, &world.of_tenant()),
        grant(Role::Developer, &GrantScope::All),
    ]);
    for (there, status) in
        [(Own, 403), (Tenant, 201), (Below, 201), (Beside, 403), (Other, 403), (Everywhere, 403)]
    {
        let body = body(Role::Viewer, &there.reach(&world), json!({ "name": "ci" }));
        let answer = world.send_as(&caller, Method::POST, KEYS, &body).await;
        assert_eq!(answer.status.as_u16(), status, "{there:?}: {}", answer.body);
    }
}
