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

fn operation() -> impl Strategy<Value = &'static Operation> {
    prop::sample::select(OPERATIONS.iter().collect::<Vec<_>>())
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
fn the_table_names_each_operation_once() {
    for (at, operation) in OPERATIONS.iter().enumerate() {
        assert!(OPERATIONS.iter().skip(at + 1).all(|other| other.id != operation.id), "{}", operation.id);
        assert!(!operation.id.ends_with("Alias"), "{} is found by what it is an alias of", operation.id);
    }
}

#[test]
fn only_operators_do_what_is_about_everything() {
    let everything = OPERATIONS.iter().filter(|operation| operation.about == About::Everything);
    assert!(everything.clone().count() > 20);
    for operation in everything {
        assert_eq!(operation.least, Role::Operator, "{}", operation.id);
    }
}

#[test]
fn a_role_where_it_holds_and_where_not() {
    let (id, other) = (PlatformId::parse("aaaaaaaaaa").unwrap(), PlatformId::parse("bbbbbbbbbb").unwrap());
    let (root, child) = (EntityId::parse("entity0001").unwrap(), EntityId::parse("entity0002").unwrap());
    let held = [Grant { role: Role::Developer, reach: Reach::Entity(id.clone(), root.clone()) }];
    let verdict =
        |operation: &str, target: &Target<'_>| Operation::find(operation).unwrap().verdict(&held, target);
    let (own, under, sibling) = ([root.clone()], [child.clone(), root], [child]);
    assert_eq!(verdict("updateEntity", &Target::Entity(&id, &own)), Verdict::Allowed);
    assert_eq!(verdict("updateEntity", &Target::Entity(&id, &under)), Verdict::Allowed);
    assert_eq!(verdict("updateEntity", &Target::Entity(&id, &sibling)), Verdict::Outside);
    assert_eq!(verdict("updateEntity", &Target::Entity(&other, &own)), Verdict::Outside);
    assert_eq!(verdict("getPlatform", &Target::Platform(&id)), Verdict::Outside, "what it is under");
    assert_eq!(verdict("listAudit", &Target::Everything), Verdict::Forbidden);
    assert_eq!(verdict("listPlatforms", &Target::Everything), Verdict::Allowed);
}
