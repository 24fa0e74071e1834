//! The cost of operations: the number of requests that one request counts as. A page of a list costs [`PAGE`]. A
//! handler may declare a different cost, as `x-cost` of its operation.

use std::collections::BTreeMap;

use actix_web::{dev::ResourceDef, http::Method};
use serde_json::Value;

use super::merge::entries;

/// The cost of a page. With the default limits, one tenant can read six pages of a service at a time. More would leave
/// too little of two processors for others.
const PAGE: usize = 128;

/// The operations with a cost above one, grouped by method and cost, so that the paths of a group are matched together.
#[derive(Debug)]
pub(crate) struct Costs(Vec<(Method, usize, ResourceDef)>);

impl Costs {
    /// Reads the costs of a document.
    pub(super) fn from_document(document: &Value) -> Self {
        let mut costs = BTreeMap::<_, Vec<String>>::new();
        for (path, item) in document.get("paths").map(entries).unwrap_or_default() {
            for (method, operation) in entries(&item) {
                if let Some(cost) = cost(&operation) {
                    costs.entry((cost, method.to_uppercase())).or_default().push(path.clone());
                }
            }
        }
        let group = |((cost, method), paths): ((usize, String), _)| {
            Some((Method::from_bytes(method.as_bytes()).ok()?, cost, ResourceDef::new(paths)))
        };
        Self(costs.into_iter().filter_map(group).collect())
    }

    /// Returns the number of requests that a request with this method and path counts as.
    pub(crate) fn cost(&self, method: &Method, path: &str) -> usize {
        let costly = self.0.iter().find(|(of, _, paths)| of == method && paths.is_match(path));
        costly.map_or(1, |(_, cost, _)| *cost)
    }
}

fn cost(operation: &Value) -> Option<usize> {
    let declared = operation.get("x-cost").and_then(Value::as_u64);
    let parameters = operation.get("parameters").and_then(Value::as_array);
    let is_page =
        parameters.is_some_and(|all| all.iter().any(|one| one.get("name") == Some(&"limit".into())));
    declared.and_then(|cost| usize::try_from(cost).ok()).or(is_page.then_some(PAGE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docs::merge;

    #[test]
    fn page_costs_more_than_an_object_and_a_whole_list_more_than_a_page() {
        let costs = Costs::from_document(&merge::document().unwrap());
        let entities = "/api/v1/platforms/a0b1c2d3e4/entities";
        assert_eq!(costs.cost(&Method::GET, &format!("{entities}/f5g6h7i8j9/descendants")), 256);
        assert_eq!(costs.cost(&Method::GET, entities), PAGE);
        assert_eq!(costs.cost(&Method::GET, &format!("{entities}/f5g6h7i8j9")), 1);
        assert_eq!(costs.cost(&Method::POST, &format!("{entities}/f5g6h7i8j9/descendants")), 1);
    }
}
