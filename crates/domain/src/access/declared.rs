//! The operations that an OpenAPI document declares.

use serde::Deserialize;
use serde_json::Value;

use super::{Access, Operation};

/// The methods of a path that may have an operation, in the order of [`declared_operations`].
pub const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Returns the operation that an operation object of a document describes.
///
/// # Errors
/// A message, if the object has no `operationId` or declares no access.
pub fn declared_operation(object: &Value) -> Result<Operation, String> {
    let id = object.get("operationId").and_then(Value::as_str).ok_or("an operation without operationId")?;
    let access = object.get(Access::EXTENSION);
    let access = access.ok_or_else(|| format!("'{id}' declares no '{}'", Access::EXTENSION))?;
    let access = Access::deserialize(access).map_err(|error| format!("the access of '{id}': {error}"))?;
    Ok(Operation::new(id, access))
}

/// Returns the operations of a document by path, without those that are aliases of others.
///
/// # Errors
/// A message, if an operation does not declare the access that it requires.
pub fn declared_operations(document: &Value) -> Result<Vec<Operation>, String> {
    let paths = document.get("paths").and_then(Value::as_object).ok_or("a document without paths")?;
    let objects = paths.values().flat_map(|item| METHODS.iter().filter_map(|method| item.get(method)));
    objects.filter(|object| !is_alias(object)).map(declared_operation).collect()
}

fn is_alias(object: &Value) -> bool {
    let id = object.get("operationId").and_then(Value::as_str).unwrap_or_default();
    Operation::without_alias(id) != id
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Role;

    #[test]
    fn aliases_are_not_operations_of_their_own() {
        let get =
            |id: &str| json!({ "operationId": id, "x-access": { "about": "entity", "role": "viewer" } });
        let document =
            json!({ "paths": { "/a": { "get": get("getA") }, "/b": { "get": get("getAAlias") } } });
        let expected = [Operation::new("getA", Access::Entity(Role::Viewer))];
        assert_eq!(declared_operations(&document).unwrap(), expected);
    }

    #[test]
    fn operation_without_access_is_an_error() {
        let document = json!({ "paths": { "/a": { "get": { "operationId": "getA" } } } });
        assert_eq!(declared_operations(&document).unwrap_err(), "'getA' declares no 'x-access'");
    }
}
