//! The demo templates, which are embedded in the program.

use anyhow::{Result, anyhow};
use runtime::config::Secret;
use stack_definition::Manifest;

use super::{files, publish};
use crate::api::{Address, Api, Failure};

const CATALOGUE: [(&str, &str); 3] = [
    ("identity", include_str!("../../../../catalogue/identity/stack.yaml")),
    ("storefront", include_str!("../../../../catalogue/storefront/stack.yaml")),
    ("helpdesk", include_str!("../../../../catalogue/helpdesk/stack.yaml")),
];

/// Publishes the demo templates. Returns the number of manifests that changed the catalogue, and of all manifests.
///
/// # Errors
/// When the server rejects a manifest or cannot be reached.
pub async fn publish(url: &str, key: Secret) -> Result<(usize, usize)> {
    let api = Api::new(Address::parse(url)?, key, false)?;
    let manifests = catalogue()?;
    let all: Vec<&Manifest> = manifests.iter().collect();
    let mut changed = 0;
    for index in publish::order(&all) {
        let Some(manifest) = manifests.get(index) else { continue };
        let result =
            publish::publish(&api, manifest).await.map_err(|failure| error(&manifest.name, failure))?;
        changed += usize::from(result.is_change());
    }
    Ok((changed, manifests.len()))
}

fn error(name: &domain::Slug, failure: Failure) -> anyhow::Error {
    match failure {
        Failure::Rejected { code, message, .. } => anyhow!("{name}: {code}: {message}"),
        Failure::Unreachable(why) => anyhow!("{name}: {why}"),
    }
}

fn catalogue() -> Result<Vec<Manifest>> {
    let read = |(name, text): &(&str, &str)| {
        let value = files::yaml(text).map_err(|why| anyhow!("{name} {why}"))?;
        Manifest::read(&value).map_err(|faults| anyhow!("{name}: {faults:?}"))
    };
    CATALOGUE.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use domain::Version;
    use serde_json::{Value, json};
    use stack_definition::check_inputs;

    use super::*;

    #[test]
    fn every_template_of_the_catalogue_is_embedded_and_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../catalogue");
        let folders: BTreeSet<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.ends_with(".md"))
            .collect();
        let manifests = catalogue().unwrap();
        let names: BTreeSet<String> = manifests.iter().map(|one| one.name.to_string()).collect();
        assert_eq!(names, folders);
        for ((name, _), manifest) in CATALOGUE.iter().zip(&manifests) {
            assert_eq!(*name, manifest.name.as_str());
            assert!(manifest.definition.features().iter().any(|feature| feature.is_required()), "{name}");
            for dependency in manifest.definition.depends_on() {
                let found = manifests.iter().find(|one| one.name == *dependency.template()).unwrap();
                assert!(dependency.version_range().matches(&found.version), "{name}");
            }
        }
        assert!(manifests.iter().all(|one| one.version >= Version::parse("1.0.0").unwrap()));
    }

    #[test]
    fn inputs_are_validated_by_the_schemas() {
        let manifests = catalogue().unwrap();
        let of = |name: &str| &manifests.iter().find(|one| one.name.as_str() == name).unwrap().definition;
        let paths = |name: &str, values: Value| {
            let faults = check_inputs(of(name), &values).err().unwrap_or_default();
            faults.into_iter().map(|fault| fault.path).collect::<Vec<_>>()
        };
        let good = [
            ("identity", json!({ "allowedDomains": ["acme.example"], "sessionHours": 8 })),
            ("storefront", json!({ "shopName": "Acme", "currency": "EUR", "vatPercent": 19 })),
            ("helpdesk", json!({ "supportEmail": "help@acme.example", "firstResponseHours": 4 })),
        ];
        for (name, values) in good {
            assert_eq!(paths(name, values), [""; 0], "{name}");
        }
        assert_eq!(paths("storefront", json!({ "currency": "euro" })), ["/currency", "/shopName"]);
        assert_eq!(paths("helpdesk", json!({ "supportEmail": "nobody", "x": 1 })), ["/supportEmail", "/x"]);
        assert_eq!(paths("identity", json!({ "sessionHours": 0 })), ["/sessionHours"]);
    }
}
