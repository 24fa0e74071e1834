//! Which operation a request asks for, by the route that it came to.

use std::{borrow::Cow, collections::HashMap};

use actix_web::HttpRequest;
use domain::{Error, Result, access::Operation};
use utoipa::openapi::OpenApi;

use super::document::operations;

/// The operations of a service, by path and method as its document has them.
#[derive(Debug)]
pub(super) struct Operations(HashMap<String, HashMap<&'static str, &'static Operation>>);

impl Operations {
    /// Those of a document.
    ///
    /// # Errors
    /// When one is not in the table of who may do what: it would be refused to everyone.
    pub(super) fn of(mut document: OpenApi) -> anyhow::Result<Self> {
        let mut found: HashMap<String, HashMap<_, _>> = HashMap::new();
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                let id = operation.operation_id.as_deref().unwrap_or_default();
                let row = Operation::find(id).ok_or_else(|| {
                    anyhow::anyhow!("{method} {path}: '{id}' is not in domain::access::OPERATIONS")
                })?;
                found.entry(path.clone()).or_default().insert(method, row);
            }
        }
        Ok(Self(found))
    }

    /// The operation that a request asks for.
    ///
    /// # Errors
    /// [`domain::Kind::Internal`] when its route is none of the document's: nobody may do what is not in the table.
    pub(super) fn asked(&self, request: &HttpRequest) -> Result<&'static Operation> {
        let pattern = request.match_pattern().unwrap_or_default();
        // HEAD comes here as GET: see `head`.
        let row = self.0.get(&*without_rules(&pattern)).and_then(|item| item.get(request.method().as_str()));
        row.copied().ok_or_else(|| Error::internal(format!("no operation {} {pattern}", request.method())))
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
    use super::*;

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
