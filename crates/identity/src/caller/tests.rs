use domain::{Kind, access::Access};

use super::*;

fn id(text: &str) -> PlatformId {
    PlatformId::parse(text).unwrap()
}

fn root(text: &str) -> EntityId {
    EntityId::parse(text).unwrap()
}

fn caller(grants: &[Grant]) -> Caller {
    Caller::authenticated("someone", ActorType::Apikey, grants.to_vec())
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
    caller(grants).for_operation(operation)?.scope.platform(&id(platform))
}

#[test]
fn objects_outside_the_scope_are_not_found_and_actions_inside_may_be_forbidden() {
    let viewer = [Grant { role: Role::Viewer, scope: GrantScope::Platform(id("aaaaaaaaaa")) }];
    assert!(narrowed(&viewer, "getPlatform", "aaaaaaaaaa").unwrap().subtree_roots().is_none());
    assert_eq!(narrowed(&viewer, "suspendPlatform", "aaaaaaaaaa").unwrap_err().kind(), Kind::Forbidden);
    assert_eq!(narrowed(&viewer, "suspendPlatform", "bbbbbbbbbb").unwrap_err().kind(), Kind::NotFound);
    assert_eq!(narrowed(&viewer, "listAudit", "aaaaaaaaaa").unwrap_err().kind(), Kind::Forbidden);
    assert_eq!(narrowed(&[], "getPlatform", "aaaaaaaaaa").unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn entity_grant_covers_only_its_subtree() {
    let scope = GrantScope::Entity(id("aaaaaaaaaa"), root("entity0001"));
    let developer = [Grant { role: Role::Developer, scope }];
    let seen = narrowed(&developer, "updateEntity", "aaaaaaaaaa").unwrap();
    assert_eq!(seen.subtree_roots(), Some([root("entity0001")].as_slice()));
    assert_eq!(narrowed(&developer, "getPlatform", "aaaaaaaaaa").unwrap_err().kind(), Kind::NotFound);
    assert_eq!(narrowed(&developer, "updateEntity", "bbbbbbbbbb").unwrap_err().kind(), Kind::NotFound);
    let viewer = [Grant { role: Role::Viewer, ..developer[0].clone() }];
    assert_eq!(narrowed(&viewer, "updateEntity", "aaaaaaaaaa").unwrap_err().kind(), Kind::Forbidden);
}

#[test]
fn only_grants_with_a_sufficient_role_count() {
    let viewer = Grant { role: Role::Viewer, scope: GrantScope::Platform(id("aaaaaaaaaa")) };
    let developer =
        Grant { role: Role::Developer, scope: GrantScope::Entity(id("aaaaaaaaaa"), root("entity0001")) };
    let both = [viewer, developer];
    assert!(narrowed(&both, "getEntity", "aaaaaaaaaa").unwrap().subtree_roots().is_none());
    let writes = narrowed(&both, "updateEntity", "aaaaaaaaaa").unwrap();
    assert_eq!(writes.subtree_roots(), Some([root("entity0001")].as_slice()));
}

#[test]
fn rls_context_lists_all_grants_regardless_of_the_operation() {
    let viewer = Grant { role: Role::Viewer, scope: GrantScope::Platform(id("aaaaaaaaaa")) };
    let developer =
        Grant { role: Role::Developer, scope: GrantScope::Entity(id("bbbbbbbbbb"), root("entity0001")) };
    let caller = caller(&[viewer, developer]);
    let context = caller.scope.rls_context();
    assert_eq!(
        (context.platforms.as_str(), context.entities.as_str(), context.caller.as_str()),
        ("aaaaaaaaaa", "entity0001", "someone")
    );
    assert_eq!(Caller::operator().scope.rls_context().platforms, "*");
    assert_eq!(Caller::authenticated("nobody", ActorType::User, vec![]).scope.rls_context().platforms, "");
}
