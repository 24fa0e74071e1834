//! The paths of a document and the methods of each, to distinguish 405 from 404.

use actix_web::{HttpResponse, dev::ResourceDef, http::header};
use domain::{Error, Kind, Result, masked::masked_path};
use utoipa::openapi::OpenApi;

use super::document::operations;

/// The paths of an API.
pub struct Paths(Vec<Item>);

struct Item {
    pattern: ResourceDef,
    /// Number of path parameters.
    parameters: usize,
    methods: Vec<String>,
}

impl std::fmt::Debug for Paths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Paths({})", self.0.len())
    }
}

impl Paths {
    /// Creates the table from paths and their methods.
    pub fn new(items: impl IntoIterator<Item = (String, Vec<String>)>) -> Self {
        let item = |(path, methods): (String, _)| Item {
            parameters: path.matches('{').count(),
            pattern: ResourceDef::new(path),
            methods,
        };
        Self(items.into_iter().map(item).collect())
    }

    /// Creates the table from a document.
    pub(super) fn from_document(mut document: OpenApi) -> Self {
        let methods = |item| operations(item).map(|(method, _)| method.to_owned()).collect();
        Self::new(document.paths.paths.iter_mut().map(|(path, item)| (path.clone(), methods(item))))
    }

    /// Responds to `OPTIONS` with the methods of a path.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the path does not exist.
    pub fn options(&self, path: &str) -> Result<HttpResponse> {
        let item = self.most_specific(path).ok_or_else(|| not_found(path))?;
        Ok(HttpResponse::NoContent().insert_header((header::ALLOW, item.allowed().join(", "))).finish())
    }

    fn matching<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Item> {
        self.0.iter().filter(move |item| item.pattern.is_match(path))
    }

    /// Returns the match with the fewest parameters: `/{name}/versions` wins over `/{name}/{version}`.
    fn most_specific<'a>(&'a self, path: &'a str) -> Option<&'a Item> {
        self.matching(path).min_by_key(|item| item.parameters)
    }

    /// Returns the error for a request that no handler matched: 405 if only the method is wrong, otherwise 404.
    pub fn rejection(&self, path: &str, method: &str) -> Error {
        let supports_method = self.matching(path).any(|item| item.allowed().contains(&method));
        match self.most_specific(path) {
            Some(item) if !supports_method => {
                let message = format!("'{}' does not support {method}.", masked_path(path));
                Error::new(Kind::MethodNotAllowed, message).with("allowed", item.allowed())
            }
            // The path matches a template but not the pattern of a parameter, such as a malformed id.
            _ => not_found(path),
        }
    }
}

impl Item {
    /// Returns all allowed methods: those of the document, `OPTIONS`, and `HEAD` if there is `GET`.
    fn allowed(&self) -> Vec<&str> {
        let (reads, writes): (Vec<_>, Vec<_>) =
            self.methods.iter().map(String::as_str).partition(|method| *method == "GET");
        let head = reads.first().map(|_| "HEAD");
        reads.into_iter().chain(head).chain(["OPTIONS"]).chain(writes).collect()
    }
}

fn not_found(path: &str) -> Error {
    Error::new(Kind::NotFound, format!("'{}' does not exist.", masked_path(path)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rejection_lists_the_methods_of_the_most_specific_path() {
        let item = |path: &str, methods: [&str; 2]| (path.to_owned(), methods.map(str::to_owned).to_vec());
        let paths = Paths::new([
            item("/notes", ["GET", "POST"]),
            item("/notes/{name}/{version}", ["GET", "DELETE"]),
            item("/notes/{name}/versions", ["GET", "POST"]),
        ]);
        for (path, method, allowed) in [
            ("/notes", "PUT", json!(["GET", "HEAD", "OPTIONS", "POST"])),
            ("/notes/a/versions", "TRACE", json!(["GET", "HEAD", "OPTIONS", "POST"])),
            ("/notes/a/1", "POST", json!(["GET", "HEAD", "OPTIONS", "DELETE"])),
        ] {
            let rejection = paths.rejection(path, method);
            assert_eq!(
                (rejection.kind(), &rejection.details()["allowed"]),
                (Kind::MethodNotAllowed, &allowed)
            );
        }
        for (path, method) in
            [("/note", "PUT"), ("/notes/a", "GET"), ("/notes", "GET"), ("", "GET"), ("/notes", "HEAD")]
        {
            assert_eq!(paths.rejection(path, method).kind(), Kind::NotFound, "{method} {path}");
        }
    }
}
