//! Test cases of all operations. Each slice defines its cases in its own test file; tests of every operation collect
//! them here.

use reqwest::Method;
use serde_json::Value;

/// A call that succeeds on the platform of the fixture. Parts in braces in the path and the body stand for ids of the
/// fixture.
pub(crate) struct Operation {
    pub(crate) method: Method,
    /// Path in the OpenAPI document, without `/api/v1`.
    pub(crate) template: String,
    /// Path of the request, without `/api/v1`.
    pub(crate) path: String,
    /// Null for no body.
    pub(crate) body: Value,
    /// True if only operators may call it.
    pub(crate) is_for_operators: bool,
}

impl Operation {
    fn new(method: Method, template: &str, path: &str, body: Value) -> Self {
        let (template, path) = (template.to_owned(), path.to_owned());
        Self { method, template, path, body, is_for_operators: false }
    }

    pub(crate) fn get(template: &str, path: &str) -> Self {
        Self::new(Method::GET, template, path, Value::Null)
    }

    pub(crate) fn post(template: &str, path: &str, body: Value) -> Self {
        Self::new(Method::POST, template, path, body)
    }

    pub(crate) fn patch(template: &str, path: &str, body: Value) -> Self {
        Self::new(Method::PATCH, template, path, body)
    }

    pub(crate) fn delete(template: &str, path: &str) -> Self {
        Self::new(Method::DELETE, template, path, Value::Null)
    }

    /// Marks the operation as limited to operators.
    pub(crate) fn for_operators(self) -> Self {
        Self { is_for_operators: true, ..self }
    }
}

/// An object that the fixture creates before any test case runs.
pub(crate) struct Created {
    /// Part in braces that stands for its id.
    pub(crate) part: &'static str,
    /// Path of the POST request that creates it, without `/api/v1`.
    pub(crate) path: &'static str,
    pub(crate) body: Value,
}

/// Test cases of a slice.
pub(crate) struct Cases {
    /// Objects that its operations need.
    pub(crate) created: fn() -> Vec<Created>,
    /// Each of its operations at least once, in an order in which all succeed.
    pub(crate) operations: fn() -> Vec<Operation>,
}

/// Test cases of every slice inside a platform.
pub(crate) const ALL: &[Cases] = &[
    crate::entities::CASES,
    crate::secrets::CASES,
    crate::builds::CASES,
    crate::features::CASES,
    crate::manifest::CASES,
    crate::stacks::CASES,
    crate::dns::CASES,
    crate::domains::CASES,
    crate::resources::CASES,
    crate::audit::CASES,
];

/// Returns every operation, in an order in which all succeed. Those of the platform come last, because they end it.
pub(crate) fn operations() -> Vec<Operation> {
    let all = ALL.iter().chain([&crate::platforms::CASES]);
    let (reads, writes): (Vec<_>, Vec<_>) =
        all.flat_map(|cases| (cases.operations)()).partition(|operation| operation.method == Method::GET);
    reads.into_iter().chain(writes).collect()
}
