use proptest::prelude::*;

use super::*;

fn platform() -> impl Strategy<Value = PlatformId> {
    prop::sample::select(vec!["aaaaaaaaaa", "bbbbbbbbbb"]).prop_map(|id| PlatformId::parse(id).unwrap())
}

fn entity() -> impl Strategy<Value = EntityId> {
    prop::sample::select(vec!["entity0001", "entity0002", "entity0003"])
        .prop_map(|id| EntityId::parse(id).unwrap())
}

fn scope() -> impl Strategy<Value = GrantScope> {
    prop_oneof![
        Just(GrantScope::All),
        platform().prop_map(GrantScope::Platform),
        (platform(), entity()).prop_map(|(platform, entity)| GrantScope::Entity(platform, entity)),
    ]
}

fn grant() -> impl Strategy<Value = Grant> {
    (prop::sample::select(Role::ALL), scope()).prop_map(|(role, scope)| Grant { role, scope })
}

fn grants() -> impl Strategy<Value = Vec<Grant>> {
    prop::collection::vec(grant(), 0..4)
}

fn operation() -> impl Strategy<Value = Operation> {
    let role = || prop::sample::select(Role::ALL);
    let access = prop_oneof![
        Just(Access::Caller),
        Just(Access::Everything),
        role().prop_map(Access::Platform),
        role().prop_map(Access::Entity),
    ];
    access.prop_map(|access| Operation::new("anything", access))
}

proptest! {
    #[test]
    fn additional_grant_never_removes_access(
        operation in operation(), mut held in grants(), additional in grant(), id in platform(),
        path in prop::collection::vec(entity(), 1..3),
    ) {
        for target in [Target::Everything, Target::Platform(&id), Target::Entity(&id, &path)] {
            let before = operation.decide(&held, &target);
            held.push(additional.clone());
            let after = operation.decide(&held, &target);
            prop_assert!(before != AccessDecision::Allowed || after == AccessDecision::Allowed);
            held.pop();
        }
    }

    #[test]
    fn scope_of_a_platform_includes_its_entities(own in grant(), id in platform(), path in prop::collection::vec(entity(), 1..3)) {
        prop_assert!(!own.scope.includes(&Target::Platform(&id)) || own.scope.includes(&Target::Entity(&id, &path)));
        prop_assert!(!own.scope.includes(&Target::Everything) || own.scope.includes(&Target::Platform(&id)));
    }

    #[test]
    fn caller_gains_nothing_by_granting(held in grants(), new in grant(), operation in operation(), id in platform(), path in prop::collection::vec(entity(), 1..3)) {
        // The path of the grant's entity ends with the entity.
        let path = match &new.scope {
            GrantScope::Entity(_, entity) => [path, vec![entity.clone()]].concat(),
            _ => path,
        };
        prop_assume!(may_grant(&held, &new, &path));
        let granted = [new];
        for target in [Target::Everything, Target::Platform(&id), Target::Entity(&id, &path)] {
            if operation.decide(&granted, &target) == AccessDecision::Allowed {
                prop_assert_eq!(operation.decide(&held, &target), AccessDecision::Allowed);
            }
        }
    }
}

#[test]
fn alias_equals_its_operation() {
    let operation = Operation::new("getOnboardingAlias", Access::Caller);
    assert_eq!(operation, Operation::new("getOnboarding", Access::Caller));
}

#[test]
fn operations_about_everything_require_an_operator() {
    assert_eq!(Access::Everything.least(), Role::Operator);
}

#[test]
fn access_serializes_role_and_subject() {
    for (access, text) in [
        (Access::Caller, r#"{"about":"caller"}"#),
        (Access::Everything, r#"{"about":"everything"}"#),
        (Access::Platform(Role::PlatformAdmin), r#"{"about":"platform","role":"platform-admin"}"#),
        (Access::Entity(Role::Developer), r#"{"about":"entity","role":"developer"}"#),
    ] {
        assert_eq!(serde_json::to_string(&access).unwrap(), text);
        assert_eq!(serde_json::from_str::<Access>(text).unwrap(), access);
    }
}

#[test]
fn grant_applies_only_within_its_scope() {
    let (id, other) = (PlatformId::parse("aaaaaaaaaa").unwrap(), PlatformId::parse("bbbbbbbbbb").unwrap());
    let (root, child) = (EntityId::parse("entity0001").unwrap(), EntityId::parse("entity0002").unwrap());
    let held = [Grant { role: Role::Developer, scope: GrantScope::Entity(id.clone(), root.clone()) }];
    let decide =
        |access: Access, target: &Target<'_>| Operation::new("anything", access).decide(&held, target);
    let update_entity = Access::Entity(Role::Developer);
    let (own, under, sibling) = ([root.clone()], [child.clone(), root], [child]);
    assert_eq!(decide(update_entity, &Target::Entity(&id, &own)), AccessDecision::Allowed);
    assert_eq!(decide(update_entity, &Target::Entity(&id, &under)), AccessDecision::Allowed);
    assert_eq!(decide(update_entity, &Target::Entity(&id, &sibling)), AccessDecision::Outside);
    assert_eq!(decide(update_entity, &Target::Entity(&other, &own)), AccessDecision::Outside);
    assert_eq!(
        decide(Access::Platform(Role::Viewer), &Target::Platform(&id)),
        AccessDecision::Outside,
        "the platform of the entity"
    );
    assert_eq!(decide(Access::Everything, &Target::Everything), AccessDecision::Forbidden);
    assert_eq!(decide(Access::Caller, &Target::Everything), AccessDecision::Allowed);
}
