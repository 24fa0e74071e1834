//! Publication of a manifest.

use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};
use stack_definition::{Manifest, StackDefinition};

use crate::api::{Api, Failure};

/// Result of the publication of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Publication {
    pub(crate) template: Change,
    pub(crate) version: Change,
    pub(crate) dry_run: bool,
    pub(crate) notes: Vec<String>,
}

/// Change to a template or version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    Created,
    Changed,
    Unchanged,
}

impl Publication {
    /// Returns true if the template or the version changed.
    pub(crate) fn is_change(&self) -> bool {
        (self.template, self.version) != (Change::Unchanged, Change::Unchanged)
    }
}

/// Returns the indexes of the manifests in publication order: dependencies before dependents. Manifests of a cycle keep
/// their order, and the server rejects them.
pub(crate) fn order(manifests: &[&Manifest]) -> Vec<usize> {
    let waits_for = |one: &Manifest, other: &Manifest| {
        one.name != other.name
            && one.definition.depends_on().iter().any(|dependency| *dependency.template() == other.name)
    };
    let (mut left, mut order): (Vec<usize>, _) = ((0..manifests.len()).collect(), Vec::new());
    while !left.is_empty() {
        let of = |index: &usize| manifests.get(*index);
        let is_free = |index: &usize| {
            of(index).is_some_and(|one| !left.iter().filter_map(of).any(|other| waits_for(one, other)))
        };
        let next = left.iter().position(is_free).unwrap_or_default();
        order.push(left.remove(next));
    }
    order
}

/// Publishes one manifest. A template or version that already equals the manifest is not changed.
pub(crate) async fn publish(api: &Api, manifest: &Manifest) -> Result<Publication, Failure> {
    let mut notes = Vec::new();
    let template = template(api, manifest, &mut notes).await.map_err(with_file_paths)?;
    let version = if api.dry_run && template == Change::Created {
        notes
            .push("the template does not exist yet, so the server could not validate the version".to_owned());
        Change::Created
    } else {
        version(api, manifest, &mut notes).await.map_err(with_file_paths)?
    };
    Ok(Publication { template, version, dry_run: api.dry_run, notes })
}

async fn template(api: &Api, manifest: &Manifest, notes: &mut Vec<String>) -> Result<Change, Failure> {
    let path = format!("/api/v1/stacks/{}", manifest.name);
    let found = match api.get(&path).await {
        Err(failure) if failure.is("NOT_FOUND") => {
            let mut body = json!({
                "name": manifest.name, "displayName": manifest.display_name, "description": manifest.description,
            });
            put(&mut body, "icon", manifest.icon.as_ref().map(|icon| json!(icon)));
            put(&mut body, "domain", manifest.domain.as_ref().map(|domain| json!(domain)));
            match api.write(Method::POST, "/api/v1/stacks", &body).await {
                Ok(_) => return Ok(Change::Created),
                // Another client created it first.
                Err(failure) if failure.is("ALREADY_EXISTS") => api.get(&path).await?,
                Err(failure) => return Err(failure),
            }
        }
        found => found?,
    };
    let current = found.get("template").cloned().unwrap_or_default();
    if let Some(domain) =
        manifest.domain.as_ref().filter(|domain| current.get("domain") != Some(&json!(domain)))
    {
        notes.push(format!("the template's domain cannot be changed to '{}'", domain.as_str()));
    }
    let mut change = json!({});
    for (field, name, wanted) in [
        ("display_name", "displayName", json!(manifest.display_name)),
        ("description", "description", json!(manifest.description)),
        ("icon", "icon", json!(manifest.icon)),
    ] {
        put(&mut change, name, (current.get(field) != Some(&wanted)).then_some(wanted));
    }
    if change.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(Change::Unchanged);
    }
    api.write(Method::PATCH, &path, &change).await.map(|_| Change::Changed)
}

fn put(body: &mut Value, name: &str, value: Option<Value>) {
    if let (Some(body), Some(value)) = (body.as_object_mut(), value) {
        body.insert(name.to_owned(), value);
    }
}

async fn version(api: &Api, manifest: &Manifest, notes: &mut Vec<String>) -> Result<Change, Failure> {
    let path = format!("/api/v1/stacks/{}", manifest.name);
    let at = format!("{path}/{}", manifest.version);
    // Fetched first: an existing version is accepted even if it could not be published any more.
    let found = match api.get(&at).await {
        Err(failure) if failure.is("NOT_FOUND") => {
            let body = json!({
                "version": manifest.version, "nnoSdkVersion": manifest.nno_sdk_version,
                "stackDefinition": manifest.definition,
            });
            match api.write(Method::POST, &format!("{path}/versions"), &body).await {
                Ok(_) => return Ok(Change::Created),
                Err(failure) if failure.is("ALREADY_EXISTS") => api.get(&at).await?,
                Err(failure) => return Err(failure),
            }
        }
        found => found?,
    };
    compare(manifest, &found, notes)
}

/// Compares a published version, which cannot change, with the manifest.
fn compare(manifest: &Manifest, found: &Value, notes: &mut Vec<String>) -> Result<Change, Failure> {
    let text = |field: &str| found.get(field).and_then(Value::as_str).unwrap_or_default();
    let definition = StackDefinition::from_published(text("stack_definition"));
    let same_definition = definition.is_ok_and(|definition| definition == manifest.definition);
    let different = [
        ("definition", same_definition),
        ("nnoSdkVersion", text("nno_sdk_version") == manifest.nno_sdk_version.as_str()),
    ];
    let different: Vec<&str> = different.iter().filter(|(_, same)| !same).map(|(name, _)| *name).collect();
    if different.is_empty() {
        if text("status") == "deprecated" {
            notes.push("the version is deprecated".to_owned());
        }
        return Ok(Change::Unchanged);
    }
    Err(Failure::Rejected {
        status: 409,
        code: "ALREADY_EXISTS".to_owned(),
        message: format!(
            "Version {} of '{}' is already published with a different {}, and versions are immutable. Choose a new version.",
            manifest.version,
            manifest.name,
            different.join(" and ")
        ),
        faults: Vec::new(),
        request_id: None,
    })
}

/// Converts the paths of faults from those of the request to those of the manifest file.
fn with_file_paths(failure: Failure) -> Failure {
    let Failure::Rejected { status, code, message, mut faults, request_id } = failure else { return failure };
    for fault in &mut faults {
        fault.path = match fault.path.strip_prefix("/stackDefinition") {
            Some(rest) => format!("/definition{rest}"),
            None if fault.path.is_empty() => continue,
            None => format!("/{}", fault.path),
        };
    }
    Failure::Rejected { status, code, message, faults, request_id }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, on: &[&str]) -> Manifest {
        let on: Vec<Value> = on.iter().map(|name| json!({ "template": name, "versionRange": "*" })).collect();
        Manifest::read(&json!({
            "name": name, "displayName": name, "description": name, "version": "1.0.0", "nnoSdkVersion": "1.0.0",
            "definition": {
                "schemaVersion": 1, "displayName": name, "features": [], "dependsOn": on,
                "resources": { "d1": false, "r2": false, "kv": false, "queue": false },
            },
        }))
        .unwrap()
    }

    fn names(manifests: &[Manifest]) -> Vec<&str> {
        let all: Vec<&Manifest> = manifests.iter().collect();
        order(&all).into_iter().map(|index| manifests[index].name.as_str()).collect()
    }

    #[test]
    fn dependencies_are_published_first() {
        let all = [
            manifest("a", &["c", "elsewhere"]),
            manifest("b", &["a"]),
            manifest("c", &[]),
            manifest("d", &["d"]),
        ];
        assert_eq!(names(&all), ["c", "a", "b", "d"]);
        let cycle = [manifest("a", &["b"]), manifest("b", &["a"]), manifest("c", &[])];
        assert_eq!(names(&cycle), ["c", "a", "b"]);
    }

    #[test]
    fn published_version_must_equal_the_manifest() {
        let manifest = manifest("a", &["b"]);
        let mut found = json!({
            "stack_definition": manifest.definition.canonical().unwrap(), "nno_sdk_version": "1.0.0", "status": "active",
        });
        let mut notes = Vec::new();
        assert_eq!(compare(&manifest, &found, &mut notes).unwrap(), Change::Unchanged);
        assert!(notes.is_empty());
        found["status"] = json!("deprecated");
        compare(&manifest, &found, &mut notes).unwrap();
        assert_eq!(notes, ["the version is deprecated"]);
        found["nno_sdk_version"] = json!("2.0.0");
        assert!(compare(&manifest, &found, &mut notes).unwrap_err().is("ALREADY_EXISTS"));
        found["stack_definition"] = json!("{}");
        let Err(Failure::Rejected { message, .. }) = compare(&manifest, &found, &mut notes) else { panic!() };
        assert!(message.contains("different definition and nnoSdkVersion"), "{message}");
    }
}
