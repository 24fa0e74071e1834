//! Brings the catalogue to what a manifest says.

use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};
use stack_definition::{Manifest, StackDefinition};

use crate::api::{Api, Failure};

/// What became of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Done {
    pub(crate) template: Step,
    pub(crate) version: Step,
    pub(crate) dry_run: bool,
    pub(crate) notes: Vec<String>,
}

/// What was done to a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    Created,
    Changed,
    Unchanged,
}

impl Done {
    /// Whether anything was done.
    pub(crate) fn is_change(&self) -> bool {
        (self.template, self.version) != (Step::Unchanged, Step::Unchanged)
    }
}

/// In which order manifests are published, by their places: what others depend on before them. What depends on each
/// other in a circle stays as it stands; the server refuses it.
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

/// Publishes one manifest. What is there already as the manifest has it stays as it is.
pub(crate) async fn one(api: &Api, manifest: &Manifest) -> Result<Done, Failure> {
    let mut notes = Vec::new();
    let template = template(api, manifest, &mut notes).await.map_err(in_file)?;
    let version = if api.dry_run && template == Step::Created {
        notes.push("the template is not there yet, so the server could not check the version".to_owned());
        Step::Created
    } else {
        version(api, manifest, &mut notes).await.map_err(in_file)?
    };
    Ok(Done { template, version, dry_run: api.dry_run, notes })
}

async fn template(api: &Api, manifest: &Manifest, notes: &mut Vec<String>) -> Result<Step, Failure> {
    let path = format!("/api/v1/stacks/{}", manifest.name);
    let found = match api.get(&path).await {
        Err(failure) if failure.is("NOT_FOUND") => {
            let mut body = json!({
                "name": manifest.name, "displayName": manifest.display_name, "description": manifest.description,
            });
            put(&mut body, "icon", manifest.icon.as_ref().map(|icon| json!(icon)));
            put(&mut body, "domain", manifest.domain.as_ref().map(|domain| json!(domain)));
            match api.write(Method::POST, "/api/v1/stacks", &body).await {
                Ok(_) => return Ok(Step::Created),
                // Someone else was faster.
                Err(failure) if failure.is("ALREADY_EXISTS") => api.get(&path).await?,
                Err(failure) => return Err(failure),
            }
        }
        found => found?,
    };
    let there = found.get("template").cloned().unwrap_or_default();
    if let Some(domain) =
        manifest.domain.as_ref().filter(|domain| there.get("domain") != Some(&json!(domain)))
    {
        notes.push(format!("the template's domain cannot be changed to '{}' any more", domain.as_str()));
    }
    let mut change = json!({});
    for (field, name, wanted) in [
        ("display_name", "displayName", json!(manifest.display_name)),
        ("description", "description", json!(manifest.description)),
        ("icon", "icon", json!(manifest.icon)),
    ] {
        put(&mut change, name, (there.get(field) != Some(&wanted)).then_some(wanted));
    }
    if change.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(Step::Unchanged);
    }
    api.write(Method::PATCH, &path, &change).await.map(|_| Step::Changed)
}

fn put(body: &mut Value, name: &str, value: Option<Value>) {
    if let (Some(body), Some(value)) = (body.as_object_mut(), value) {
        body.insert(name.to_owned(), value);
    }
}

async fn version(api: &Api, manifest: &Manifest, notes: &mut Vec<String>) -> Result<Step, Failure> {
    let path = format!("/api/v1/stacks/{}", manifest.name);
    let at = format!("{path}/{}", manifest.version);
    // First: what is published stays, also where it could not be published any more.
    let found = match api.get(&at).await {
        Err(failure) if failure.is("NOT_FOUND") => {
            let body = json!({
                "version": manifest.version, "nnoSdkVersion": manifest.nno_sdk_version,
                "stackDefinition": manifest.definition,
            });
            match api.write(Method::POST, &format!("{path}/versions"), &body).await {
                Ok(_) => return Ok(Step::Created),
                Err(failure) if failure.is("ALREADY_EXISTS") => api.get(&at).await?,
                Err(failure) => return Err(failure),
            }
        }
        found => found?,
    };
    compare(manifest, &found, notes)
}

/// A version is what it was published as.
fn compare(manifest: &Manifest, found: &Value, notes: &mut Vec<String>) -> Result<Step, Failure> {
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
        return Ok(Step::Unchanged);
    }
    Err(Failure::Refused {
        status: 409,
        code: "ALREADY_EXISTS".to_owned(),
        message: format!(
            "Version {} of '{}' is published already with another {}, and versions do not change: choose another version",
            manifest.version,
            manifest.name,
            different.join(" and ")
        ),
        faults: Vec::new(),
        request_id: None,
    })
}

/// What the server calls the parts of a manifest, by the names that its author gave them.
fn in_file(failure: Failure) -> Failure {
    let Failure::Refused { status, code, message, mut faults, request_id } = failure else { return failure };
    for fault in &mut faults {
        fault.path = match fault.path.strip_prefix("/stackDefinition") {
            Some(rest) => format!("/definition{rest}"),
            None if fault.path.is_empty() => continue,
            None => format!("/{}", fault.path),
        };
    }
    Failure::Refused { status, code, message, faults, request_id }
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
    fn what_others_depend_on_comes_first() {
        let all = [
            manifest("a", &["c", "elsewhere"]),
            manifest("b", &["a"]),
            manifest("c", &[]),
            manifest("d", &["d"]),
        ];
        assert_eq!(names(&all), ["c", "a", "b", "d"]);
        let circle = [manifest("a", &["b"]), manifest("b", &["a"]), manifest("c", &[])];
        assert_eq!(names(&circle), ["c", "a", "b"]);
    }

    #[test]
    fn a_version_is_the_same_or_another() {
        let manifest = manifest("a", &["b"]);
        let mut found = json!({
            "stack_definition": manifest.definition.canonical().unwrap(), "nno_sdk_version": "1.0.0", "status": "active",
        });
        let mut notes = Vec::new();
        assert_eq!(compare(&manifest, &found, &mut notes).unwrap(), Step::Unchanged);
        assert!(notes.is_empty());
        found["status"] = json!("deprecated");
        compare(&manifest, &found, &mut notes).unwrap();
        assert_eq!(notes, ["the version is deprecated"]);
        found["nno_sdk_version"] = json!("2.0.0");
        assert!(compare(&manifest, &found, &mut notes).unwrap_err().is("ALREADY_EXISTS"));
        found["stack_definition"] = json!("{}");
        let Err(Failure::Refused { message, .. }) = compare(&manifest, &found, &mut notes) else { panic!() };
        assert!(message.contains("another definition and nnoSdkVersion"), "{message}");
    }
}
