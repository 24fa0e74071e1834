use domain::{Kind, access::Access};

use super::*;

fn id(text: &str) -> PlatformId {
    PlatformId::parse(text).unwrap()
}

fn root(text: &str) -> EntityId {
    EntityId::parse(text).unwrap()
}

fn caller(grants: &[Grant]) -> Caller {
    Caller::known("someone", ActorType::Apikey, grants.to_vec())
}

fn narrowed(grants: &[Grant], operation: &str, platform: &str) -> Result<PlatformScope> {
    let access = match operation {
        "getPlatform" => Access::Platform(Role::Viewer),
        "suspendPlatform" => Access::Platform(Role::PlatformAdmin),
        "getEntity" => Access::Entity(Role::Viewer),
        "updateEntity" => Access::Entity(Role::Developer),
        _ => Access::Everything,
    };
    let operation = Arc::new(Operation::new(operation, access));
    caller(grants).doing(operation)?.scope.platform(&id(platform))
}

#[test]
fn outside_is_not_found_and_inside_may_be_forbidden() {
    let viewer = [Grant { role: Role::Viewer, scope: GrantScope::Platform(id("aaaaaaaaaa")) }];
    assert!(narrowed(&viewer, "getPlatform", "aaaaaaaaaa").unwrap().roots().is_none());
    assert_eq!(narrowed(&viewer, "suspendPlatform", "aaaaaaaaaa").unwrap_err().kind(), Kind::Forbidden);
    assert_eq!(narrowed(&viewer, "suspendPlatform", "bbbbbbbbbb").unwrap_err().kind(), Kind::NotFound);
    assert_eq!(narrowed(&viewer, "listAudit", "aaaaaaaaaa").unwrap_err().kind(), Kind::Forbidden);
    assert_eq!(narrowed(&[], "getPlatform", "aaaaaaaaaa").unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn who_reaches_an_entity_sees_that_alone() {
    let reach = GrantScope::Entity(id("aaaaaaaaaa"), root("entity0001"));
    let developer = [Grant { role: Role::Developer, scope: reach }];
    let seen = narrowed(&developer, "updateEntity", "aaaaaaaaaa").unwrap();
    assert_eq!(seen.roots(), Some([root("entity0001")].as_slice()));
    assert_eq!(narrowed(&developer, "getPlatform", "aaaaaaaaaa").unwrap_err().kind(), Kind::NotFound);
    assert_eq!(narrowed(&developer, "updateEntity", "bbbbbbbbbb").unwrap_err().kind(), Kind::NotFound);
    let viewer = [Grant { role: Role::Viewer, ..developer[0].clone() }];
    assert_eq!(narrowed(&viewer, "updateEntity", "aaaaaaaaaa").unwrap_err().kind(), Kind::Forbidden);
}

#[test]
fn of_several_grants_those_count_whose_role_is_high_enough() {
    let viewer = Grant { role: Role::Viewer, scope: GrantScope::Platform(id("aaaaaaaaaa")) };
    let developer =
        Grant { role: Role::Developer, scope: GrantScope::Entity(id("aaaaaaaaaa"), root("entity0001")) };
    let both = [viewer, developer];
    assert!(narrowed(&both, "getEntity", "aaaaaaaaaa").unwrap().roots().is_none());
    let writes = narrowed(&both, "updateEntity", "aaaaaaaaaa").unwrap();
    assert_eq!(writes.roots(), Some([root("entity0001")].as_slice()));
}

#[test]
fn the_database_is_told_what_a_caller_holds_whatever_they_do() {
    let viewer = Grant { role: Role::Viewer, scope: GrantScope::Platform(id("aaaaaaaaaa")) };
    let developer =
        Grant { role: Role::Developer, scope: GrantScope::Entity(id("bbbbbbbbbb"), root("entity0001")) };
    let caller = caller(&[viewer, developer]);
    let sight = caller.scope.sight();
    assert_eq!(
        (sight.platforms.as_str(), sight.entities.as_str(), sight.caller.as_str()),
        ("aaaaaaaaaa", "entity0001", "someone")
    );
    assert_eq!(Caller::operator().scope.sight().platforms, "*");
    assert_eq!(Caller::known("nobody", ActorType::User, vec![]).scope.sight().platforms, "");
}
