//! The paths of a document and the methods that each takes, to tell 405 from 404.

use actix_web::{HttpResponse, dev::ResourceDef, http::header};
use domain::{Error, Kind, Result, masked::masked_path};
use utoipa::openapi::OpenApi;

use super::document::operations;

/// What is at which path.
pub struct Paths(Vec<Item>);

struct Item {
    pattern: ResourceDef,
    /// How much of the path may be anything.
    holes: usize,
    methods: Vec<String>,
}

impl std::fmt::Debug for Paths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Paths({})", self.0.len())
    }
}

impl Paths {
    /// Those with these names and methods.
    pub fn new(items: impl IntoIterator<Item = (String, Vec<String>)>) -> Self {
        let item = |(path, methods): (String, _)| Item {
            holes: path.matches('{').count(),
            pattern: ResourceDef::new(path),
            methods,
        };
        Self(items.into_iter().map(item).collect())
    }

    /// Those of a document.
    pub(super) fn of(mut document: OpenApi) -> Self {
        let methods = |item| operations(item).map(|(method, _)| method.to_owned()).collect();
        Self::new(document.paths.paths.iter_mut().map(|(path, item)| (path.clone(), methods(item))))
    }

    /// The answer to `OPTIONS`: the methods that a path takes.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is nothing at it.
    pub fn options(&self, path: &str) -> Result<HttpResponse> {
        let item = self.nearest(path).ok_or_else(|| nothing_at(path))?;
        Ok(HttpResponse::NoContent().insert_header((header::ALLOW, item.allowed().join(", "))).finish())
    }

    fn at<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Item> {
        self.0.iter().filter(move |item| item.pattern.is_match(path))
    }

    /// Of `/{name}/versions` and `/{name}/{version}` the first is meant.
    fn nearest<'a>(&'a self, path: &'a str) -> Option<&'a Item> {
        self.at(path).min_by_key(|item| item.holes)
    }

    /// Why a request for `path` finds nothing that takes its method.
    pub fn refusal(&self, path: &str, method: &str) -> Error {
        let takes_it = self.at(path).any(|item| item.allowed().contains(&method));
        match self.nearest(path) {
            Some(item) if !takes_it => {
                let message = format!("'{}' does not take {method}", masked_path(path));
                Error::new(Kind::MethodNotAllowed, message).with("allowed", item.allowed())
            }
            // A path that fits a template whose own rule it breaks, such as an id that can be none, names nothing.
            _ => nothing_at(path),
        }
    }
}

impl Item {
    /// All methods that it takes: those of the document, and what follows from them.
    fn allowed(&self) -> Vec<&str> {
        let (reads, writes): (Vec<_>, Vec<_>) =
            self.methods.iter().map(String::as_str).partition(|method| *method == "GET");
        let head = reads.first().map(|_| "HEAD");
        reads.into_iter().chain(head).chain(["OPTIONS"]).chain(writes).collect()
    }
}

fn nothing_at(path: &str) -> Error {
    Error::new(Kind::NotFound, format!("There is nothing at '{}'", masked_path(path)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_methods_told_are_those_of_the_nearest_path() {
        let item = |path: &str, methods: [&str; 2]| (path.to_owned(), methods.map(str::to_owned).to_vec());
        let paths = Paths::new([
            item("/things", ["GET", "POST"]),
            item("/things/{name}/{version}", ["GET", "DELETE"]),
            item("/things/{name}/versions", ["GET", "POST"]),
        ]);
        for (path, method, allowed) in [
            ("/things", "PUT", json!(["GET", "HEAD", "OPTIONS", "POST"])),
            ("/things/a/versions", "TRACE", json!(["GET", "HEAD", "OPTIONS", "POST"])),
            ("/things/a/1", "POST", json!(["GET", "HEAD", "OPTIONS", "DELETE"])),
        ] {
            let refusal = paths.refusal(path, method);
            assert_eq!((refusal.kind(), &refusal.details()["allowed"]), (Kind::MethodNotAllowed, &allowed));
        }
        for (path, method) in
            [("/thing", "PUT"), ("/things/a", "GET"), ("/things", "GET"), ("", "GET"), ("/things", "HEAD")]
        {
            assert_eq!(paths.refusal(path, method).kind(), Kind::NotFound, "{method} {path}");
        }
    }
}
