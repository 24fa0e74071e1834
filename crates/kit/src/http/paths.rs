//! The paths of a document and the methods that each takes, to tell 405 from 404.

use actix_web::dev::ResourceDef;
use domain::{Error, Kind, masked::masked_path};
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

    /// Why a request for `path` finds nothing that takes its method.
    pub fn refusal(&self, path: &str, method: &str) -> Error {
        let shown = masked_path(path);
        let at_path: Vec<&Item> = self.0.iter().filter(|item| item.pattern.is_match(path)).collect();
        let takes_it = at_path.iter().any(|item| item.methods.iter().any(|one| one == method));
        // Of `/{name}/versions` and `/{name}/{version}` the first is meant.
        match at_path.iter().min_by_key(|item| item.holes) {
            Some(item) if !takes_it => {
                let message = format!("'{shown}' does not take {method}");
                Error::new(Kind::MethodNotAllowed, message).with("allowed", &item.methods)
            }
            // A path that fits a template whose own rule it breaks, such as an id that can be none, names nothing.
            _ => Error::new(Kind::NotFound, format!("There is nothing at '{shown}'")),
        }
    }
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
            ("/things", "PUT", json!(["GET", "POST"])),
            ("/things/a/versions", "OPTIONS", json!(["GET", "POST"])),
            ("/things/a/1", "OPTIONS", json!(["GET", "DELETE"])),
        ] {
            let refusal = paths.refusal(path, method);
            assert_eq!((refusal.kind(), &refusal.details()["allowed"]), (Kind::MethodNotAllowed, &allowed));
        }
        for (path, method) in [("/thing", "PUT"), ("/things/a", "GET"), ("/things", "GET"), ("", "GET")] {
            assert_eq!(paths.refusal(path, method).kind(), Kind::NotFound, "{method} {path}");
        }
    }
}
