//! The tables of operations and of gRPC methods.

use domain::access::{About, Operation, declared_operations};
use iam::Iam;
use onboarding::Onboarding;
use provisioning::Provisioning;
use registry::Registry;
use service::Service;
use stack_registry::StackRegistry;
use testkit::document;

use crate::generated::assert_part;

fn row(operation: &Operation) -> String {
    let (least, about) = match operation.about {
        About::Caller => ("anyone known".to_owned(), "the caller"),
        About::Everything => (format!("`{}`", operation.least), "everything"),
        About::Platform => (format!("`{}`", operation.least), "a platform"),
        About::Entity => (format!("`{}`", operation.least), "an entity or its platform"),
    };
    format!("| `{}` | {least} | {about} |\n", operation.id)
}

#[test]
fn the_page_lists_the_access_of_every_operation() {
    let documents = [
        document::of::<Registry>(),
        document::of::<StackRegistry>(),
        document::of::<Onboarding>(),
        document::of::<Provisioning>(),
        document::of::<Iam>(),
    ];
    let operations = documents.iter().flat_map(|document| declared_operations(document).unwrap());
    let rows: String = operations.map(|operation| row(&operation)).collect();
    assert_part(
        "docs/api-reference/permissions.md",
        "operations",
        &format!("| Operation | Least role | About |\n|---|---|---|\n{rows}"),
    );
}

fn methods_of<S: Service>() -> String {
    let row = |(path, callers): &(&str, service::Callers)| {
        let callers: Vec<_> = callers.iter().map(|caller| format!("`{caller}`")).collect();
        format!("| `{}` | {} |\n", path.trim_start_matches('/'), callers.join(", "))
    };
    S::grpc_callers().iter().map(row).collect()
}

#[test]
fn the_page_lists_the_callers_of_every_method() {
    let rows = [
        methods_of::<Registry>(),
        methods_of::<StackRegistry>(),
        methods_of::<Onboarding>(),
        methods_of::<Provisioning>(),
        methods_of::<Iam>(),
    ];
    let rows = rows.concat();
    assert_part(
        "docs/architecture/between-services.md",
        "methods",
        &format!("| Method | Called by |\n|---|---|\n{rows}"),
    );
}
