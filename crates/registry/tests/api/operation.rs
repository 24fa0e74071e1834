//! How each operation is called. Every resource has its cases in its own test file; the tests of every operation
//! collect them here.

use reqwest::Method;
use serde_json::Value;

/// A call that succeeds on the platform of the fixture. Parts in braces of the path and of the body stand for ids of
/// the fixture.
pub(crate) struct Operation {
    pub(crate) method: Method,
    /// The path in the OpenAPI document, without `/api/v1`.
    pub(crate) template: String,
    /// The path of the request, without `/api/v1`.
    pub(crate) path: String,
    /// Null for none.
    pub(crate) body: Value,
    /// Whether only operators may call it.
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

    /// The same, where only operators may call it.
    pub(crate) fn for_operators(self) -> Self {
        Self { is_for_operators: true, ..self }
    }
}

/// An object that the fixture creates before any operation is called.
pub(crate) struct Created {
    /// The part in braces that stands for its id.
    pub(crate) part: &'static str,
    /// The path that it is posted to, without `/api/v1`.
    pub(crate) path: &'static str,
    pub(crate) body: Value,
}

/// The cases of a resource.
pub(crate) struct Cases {
    /// The objects that its operations need.
    pub(crate) created: fn() -> Vec<Created>,
    /// Each of its operations at least once, in an order in which all succeed.
    pub(crate) operations: fn() -> Vec<Operation>,
}

/// The cases of every resource of a platform.
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

/// Every operation, in an order in which all succeed: those of the platform come last, because they end it.
pub(crate) fn operations() -> Vec<Operation> {
    let all = ALL.iter().chain([&crate::platforms::CASES]);
    let (reads, writes): (Vec<_>, Vec<_>) =
        all.flat_map(|cases| (cases.operations)()).partition(|operation| operation.method == Method::GET);
    reads.into_iter().chain(writes).collect()
}
