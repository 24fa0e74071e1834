//! What operations cost: as how many requests one counts that answers with more than a page. Its handler declares it, as
//! `x-cost` of the operation.

use actix_web::{dev::ResourceDef, http::Method};
use serde_json::Value;

use super::merge::entries;

/// The operations that cost more than others.
#[derive(Debug)]
pub(crate) struct Costs(Vec<(ResourceDef, Method, usize)>);

impl Costs {
    /// Those of the document.
    pub(super) fn of(document: &Value) -> Self {
        let mut costs = Vec::new();
        for (path, item) in document.get("paths").map(entries).unwrap_or_default() {
            for (method, operation) in entries(&item) {
                let cost = operation
                    .get("x-cost")
                    .and_then(Value::as_u64)
                    .and_then(|cost| usize::try_from(cost).ok());
                let method = Method::from_bytes(method.to_uppercase().as_bytes());
                if let (Some(cost), Ok(method)) = (cost, method) {
                    costs.push((ResourceDef::new(path.clone()), method, cost));
                }
            }
        }
        Self(costs)
    }

    /// As how many requests one counts.
    pub(crate) fn of_request(&self, method: &Method, path: &str) -> usize {
        let costly = self.0.iter().find(|(pattern, of, _)| of == method && pattern.is_match(path));
        costly.map_or(1, |(_, _, cost)| *cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docs::merge;

    #[test]
    fn a_list_without_pages_costs_more_than_a_page() {
        let costs = Costs::of(&merge::document().unwrap());
        let entities = "/api/v1/platforms/a0b1c2d3e4/entities";
        assert_eq!(costs.of_request(&Method::GET, &format!("{entities}/f5g6h7i8j9/descendants")), 256);
        assert_eq!(costs.of_request(&Method::GET, entities), 1);
        assert_eq!(costs.of_request(&Method::POST, &format!("{entities}/f5g6h7i8j9/descendants")), 1);
    }
}
