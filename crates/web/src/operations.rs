//! The operation of a request, found by its route.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use actix_web::HttpRequest;
use anyhow::Context;
use domain::{
    Error, Result,
    access::{Access, Operation},
};
use utoipa::openapi::OpenApi;

use super::document::{declared_access, operations};

/// The operations of a service, by the paths and methods of its document.
#[derive(Debug)]
pub(super) struct Operations(HashMap<String, HashMap<&'static str, Arc<Operation>>>);

impl Operations {
    /// Reads the operations of a document.
    ///
    /// # Errors
    /// When a handler does not declare the access that it requires. Nobody could call such an operation.
    pub(super) fn from_document(mut document: OpenApi) -> anyhow::Result<Self> {
        let mut found: HashMap<String, HashMap<_, _>> = HashMap::new();
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                let id = operation.operation_id.as_deref().unwrap_or_default();
                let access = declared_access(operation)
                    .with_context(|| format!("{method} {path}: cannot parse '{}'", Access::EXTENSION))?;
                let access = access.with_context(|| {
                    format!("{method} {path}: '{id}' declares no '{}'", Access::EXTENSION)
                })?;
                found.entry(path.clone()).or_default().insert(method, Arc::new(Operation::new(id, access)));
            }
        }
        Ok(Self(found))
    }

    /// Returns the operation of a request.
    ///
    /// # Errors
    /// [`domain::Kind::Internal`] when the document does not contain the route: without declared access, nobody may
    /// call it.
    pub(super) fn find(&self, request: &HttpRequest) -> Result<Arc<Operation>> {
        let pattern = request.match_pattern().unwrap_or_default();
        // A HEAD request has the method GET here: see `head`.
        let row =
            self.0.get(&*without_patterns(&pattern)).and_then(|item| item.get(request.method().as_str()));
        row.cloned().ok_or_else(|| Error::internal(format!("no operation {} {pattern}", request.method())))
    }
}

/// Removes the patterns of path parameters, which documents do not contain: `/{id:[0-9]{4}}` becomes `/{id}`.
fn without_patterns(pattern: &str) -> Cow<'_, str> {
    if !pattern.contains(':') {
        return Cow::Borrowed(pattern);
    }
    let (mut plain, mut depth, mut in_pattern) = (String::with_capacity(pattern.len()), 0u32, false);
    for c in pattern.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ':' if depth == 1 => in_pattern = true,
            _ => {}
        }
        if c == '}' && depth == 0 {
            in_pattern = false;
        }
        if !in_pattern {
            plain.push(c);
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(extensions: serde_json::Value) -> OpenApi {
        let mut operation = json!({ "operationId": "listNotes", "responses": {} });
        operation.as_object_mut().unwrap().extend(extensions.as_object().unwrap().clone());
        let info = json!({ "title": "Notes", "version": "1" });
        let document =
            json!({ "openapi": "3.1.0", "info": info, "paths": { "/notes": { "get": operation } } });
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn operations_have_the_access_that_they_declare() {
        let operations =
            Operations::from_document(document(json!({ "x-access": { "about": "everything" } }))).unwrap();
        let expected = Operation::new("listNotes", Access::Everything);
        assert_eq!(*operations.0["/notes"]["GET"], expected);
    }

    #[test]
    fn operations_without_declared_access_are_rejected() {
        let undeclared = Operations::from_document(document(json!({}))).unwrap_err();
        assert_eq!(undeclared.to_string(), "GET /notes: 'listNotes' declares no 'x-access'");
        for access in
            [json!("everyone"), json!({ "about": "entity" }), json!({ "about": "entity", "role": "king" })]
        {
            Operations::from_document(document(json!({ "x-access": access }))).unwrap_err();
        }
    }

    #[test]
    fn patterns_of_path_parameters_are_removed() {
        for (pattern, plain) in [
            ("/a/{b}/c", "/a/{b}/c"),
            ("/a/{b:[0-9a-f-]{36}}", "/a/{b}"),
            ("/{a:x{1,2}y}/b/{c:.*}/d", "/{a}/b/{c}/d"),
            ("/a:b/{c}", "/a:b/{c}"),
        ] {
            assert_eq!(without_patterns(pattern), plain);
        }
    }
}
