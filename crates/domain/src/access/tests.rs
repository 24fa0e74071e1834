use proptest::prelude::*;

use super::*;

fn platform() -> impl Strategy<Value = PlatformId> {
    prop::sample::select(vec!["aaaaaaaaaa", "bbbbbbbbbb"]).prop_map(|id| PlatformId::parse(id).unwrap())
}

fn entity() -> impl Strategy<Value = EntityId> {
    prop::sample::select(vec!["entity0001", "entity0002", "entity0003"])
        .prop_map(|id| EntityId::parse(id).unwrap())
}

fn reach() -> impl Strategy<Value = Reach> {
    prop_oneof![
        Just(Reach::All),
        platform().prop_map(Reach::Platform),
        (platform(), entity()).prop_map(|(platform, entity)| Reach::Entity(platform, entity)),
    ]
}

fn grant() -> impl Strategy<Value = Grant> {
    (prop::sample::select(Role::ALL), reach()).prop_map(|(role, reach)| Grant { role, reach })
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
    fn a_grant_more_never_takes_away(
        operation in operation(), mut held in grants(), more in grant(), id in platform(),
        line in prop::collection::vec(entity(), 1..3),
    ) {
        for target in [Target::Everything, Target::Platform(&id), Target::Entity(&id, &line)] {
            let before = operation.verdict(&held, &target);
            held.push(more.clone());
            let after = operation.verdict(&held, &target);
            prop_assert!(before != Verdict::Allowed || after == Verdict::Allowed);
            held.pop();
        }
    }

    #[test]
    fn what_reaches_the_platform_reaches_all_in_it(own in grant(), id in platform(), line in prop::collection::vec(entity(), 1..3)) {
        prop_assert!(!own.reach.includes(&Target::Platform(&id)) || own.reach.includes(&Target::Entity(&id, &line)));
        prop_assert!(!own.reach.includes(&Target::Everything) || own.reach.includes(&Target::Platform(&id)));
    }

    #[test]
    fn nobody_gains_by_granting(held in grants(), wanted in grant(), operation in operation(), id in platform(), line in prop::collection::vec(entity(), 1..3)) {
        // The entity of the grant is at the end of its line.
        let line = match &wanted.reach {
            Reach::Entity(_, entity) => [line, vec![entity.clone()]].concat(),
            _ => line,
        };
        prop_assume!(may_grant(&held, &wanted, &line));
        let granted = [wanted];
        for target in [Target::Everything, Target::Platform(&id), Target::Entity(&id, &line)] {
            if operation.verdict(&granted, &target) == Verdict::Allowed {
                prop_assert_eq!(operation.verdict(&held, &target), Verdict::Allowed);
            }
        }
    }
}

#[test]
fn an_alias_is_the_operation_that_it_stands_for() {
    let operation = Operation::new("getOnboardingAlias", Access::Caller);
    assert_eq!(operation, Operation::new("getOnboarding", Access::Caller));
}

#[test]
fn only_operators_do_what_is_about_everything() {
    assert_eq!(Access::Everything.least(), Role::Operator);
}

#[test]
fn documents_name_the_role_and_the_subject() {
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
fn a_role_where_it_holds_and_where_not() {
    let (id, other) = (PlatformId::parse("aaaaaaaaaa").unwrap(), PlatformId::parse("bbbbbbbbbb").unwrap());
    let (root, child) = (EntityId::parse("entity0001").unwrap(), EntityId::parse("entity0002").unwrap());
    let held = [Grant { role: Role::Developer, reach: Reach::Entity(id.clone(), root.clone()) }];
    let verdict =
        |access: Access, target: &Target<'_>| Operation::new("anything", access).verdict(&held, target);
    let update_entity = Access::Entity(Role::Developer);
    let (own, under, sibling) = ([root.clone()], [child.clone(), root], [child]);
    assert_eq!(verdict(update_entity, &Target::Entity(&id, &own)), Verdict::Allowed);
    assert_eq!(verdict(update_entity, &Target::Entity(&id, &under)), Verdict::Allowed);
    assert_eq!(verdict(update_entity, &Target::Entity(&id, &sibling)), Verdict::Outside);
    assert_eq!(verdict(update_entity, &Target::Entity(&other, &own)), Verdict::Outside);
    assert_eq!(
        verdict(Access::Platform(Role::Viewer), &Target::Platform(&id)),
        Verdict::Outside,
        "what it is under"
    );
    assert_eq!(verdict(Access::Everything, &Target::Everything), Verdict::Forbidden);
    assert_eq!(verdict(Access::Caller, &Target::Everything), Verdict::Allowed);
}
