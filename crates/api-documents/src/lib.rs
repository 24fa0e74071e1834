//! The committed OpenAPI documents of the services, compiled in, and the operations that they declare.
//!
//! A process that needs the whole API reads it here. It neither links nor calls any service.

use anyhow::{Result, anyhow};
use domain::access::{Operation, declared_operations};

/// Document of the registry.
pub const REGISTRY: &str = include_str!("../../registry/openapi.json");
/// Document of the stack registry.
pub const STACK_REGISTRY: &str = include_str!("../../stack-registry/openapi.json");
/// Document of the onboarding service.
pub const ONBOARDING: &str = include_str!("../../onboarding/openapi.json");
/// Document of the provisioning service.
pub const PROVISIONING: &str = include_str!("../../provisioning/openapi.json");
/// Document of iam.
pub const IAM: &str = include_str!("../../iam/openapi.json");

/// Every document.
pub const ALL: [&str; 5] = [REGISTRY, STACK_REGISTRY, ONBOARDING, PROVISIONING, IAM];

/// Returns the operations of all services.
///
/// # Errors
/// Returns an error if a document cannot be read, or an operation does not declare the access that it requires.
pub fn all_operations() -> Result<Vec<Operation>> {
    let mut all = Vec::new();
    for document in ALL {
        all.extend(declared_operations(&serde_json::from_str(document)?).map_err(|error| anyhow!(error))?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use domain::access::About;

    use super::*;

    #[test]
    fn operation_ids_are_unique() {
        let all = all_operations().unwrap();
        let ids: BTreeSet<&str> = all.iter().map(|operation| operation.id.as_str()).collect();
        assert_eq!(ids.len(), all.len());
        assert!(all.iter().filter(|operation| operation.about == About::Everything).count() > 20);
    }
}
