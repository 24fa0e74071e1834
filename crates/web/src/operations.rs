//! Which operation a request asks for, by the route that it came to.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use actix_web::HttpRequest;
use anyhow::Context;
use domain::{
    Error, Result,
    access::{Access, Operation},
};
use utoipa::openapi::OpenApi;

use super::document::{declared_access, operations};

/// The operations of a service, by path and method as its document has them.
#[derive(Debug)]
pub(super) struct Operations(HashMap<String, HashMap<&'static str, Arc<Operation>>>);

impl Operations {
    /// Those of a document.
    ///
    /// # Errors
    /// When a handler does not declare the access that it requires: nobody could call it.
    pub(super) fn of(mut document: OpenApi) -> anyhow::Result<Self> {
        let mut found: HashMap<String, HashMap<_, _>> = HashMap::new();
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                let id = operation.operation_id.as_deref().unwrap_or_default();
                let access = declared_access(operation)
                    .with_context(|| format!("{method} {path}: '{}' cannot be read", Access::EXTENSION))?;
                let access = access.with_context(|| {
                    format!("{method} {path}: '{id}' declares no '{}'", Access::EXTENSION)
                })?;
                found.entry(path.clone()).or_default().insert(method, Arc::new(Operation::new(id, access)));
            }
        }
        Ok(Self(found))
    }

    /// The operation that a request asks for.
    ///
    /// # Errors
    /// [`domain::Kind::Internal`] when its route is none of the document's: nobody may do what declares no access.
    pub(super) fn asked(&self, request: &HttpRequest) -> Result<Arc<Operation>> {
        let pattern = request.match_pattern().unwrap_or_default();
        // HEAD comes here as GET: see `head`.
        let row = self.0.get(&*without_rules(&pattern)).and_then(|item| item.get(request.method().as_str()));
        row.cloned().ok_or_else(|| Error::internal(format!("no operation {} {pattern}", request.method())))
    }
}

/// `/{id}` of `/{id:[0-9]{4}}`: documents do not tell of the rules that parts of a path have.
fn without_rules(pattern: &str) -> Cow<'_, str> {
    if !pattern.contains(':') {
        return Cow::Borrowed(pattern);
    }
    let (mut plain, mut depth, mut in_rule) = (String::with_capacity(pattern.len()), 0u32, false);
    for c in pattern.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ':' if depth == 1 => in_rule = true,
            _ => {}
        }
        if c == '}' && depth == 0 {
            in_rule = false;
        }
        if !in_rule {
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
        let operations = Operations::of(document(json!({ "x-access": { "about": "everything" } }))).unwrap();
        let expected = Operation::new("listNotes", Access::Everything);
        assert_eq!(*operations.0["/notes"]["GET"], expected);
    }

    #[test]
    fn a_service_with_an_undeclared_operation_does_not_start() {
        let undeclared = Operations::of(document(json!({}))).unwrap_err();
        assert_eq!(undeclared.to_string(), "GET /notes: 'listNotes' declares no 'x-access'");
        for access in
            [json!("everyone"), json!({ "about": "entity" }), json!({ "about": "entity", "role": "king" })]
        {
            Operations::of(document(json!({ "x-access": access }))).unwrap_err();
        }
    }

    #[test]
    fn a_pattern_is_known_without_its_rules() {
        for (pattern, plain) in [
            ("/a/{b}/c", "/a/{b}/c"),
            ("/a/{b:[0-9a-f-]{36}}", "/a/{b}"),
            ("/{a:x{1,2}y}/b/{c:.*}/d", "/{a}/b/{c}/d"),
            ("/a:b/{c}", "/a:b/{c}"),
        ] {
            assert_eq!(without_rules(pattern), plain);
        }
    }
}
