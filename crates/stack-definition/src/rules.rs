//! Checks a definition and reports all faults at once.
//!
//! The schema of the types finds faults of structure. The rules here find faults that only code can detect. They check
//! the JSON itself: each part of it that has the right structure, even if other parts do not.

use std::{
    collections::{HashMap, HashSet},
    str::FromStr,
};

use check::escaped;
use domain::{Fault, PlatformId, Slug, StackId, Version, resource::Environment, stack::SHARED};
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    StackDefinition, VersionRange, inputs,
    text::{NOT_PLAIN, is_plain},
};

/// Reads a definition.
///
/// # Errors
/// All faults, by JSON pointer.
pub(crate) fn read(value: &Value) -> Result<StackDefinition, Vec<Fault>> {
    let mut rules = Rules::default();
    let read = check::from_value_with_pointers(value);
    rules.faults_of(&read);
    rules.definition("", value);
    rules.outcome(read)
}

/// Reads an object with a definition in the field `definition` and versions in `version` and `nnoSdkVersion`.
///
/// # Errors
/// All faults, by JSON pointer.
pub fn read_with_definition<T: DeserializeOwned + ToSchema + 'static>(
    value: &Value,
    definition: &str,
) -> Result<T, Vec<Fault>> {
    let mut rules = Rules::default();
    let read = check::from_value_with_pointers(value);
    rules.faults_of(&read);
    rules.parses_as::<Version>("", value, "version");
    rules.parses_as::<Version>("", value, "nnoSdkVersion");
    if let Some(inner) = value.get(definition) {
        rules.definition(&format!("/{definition}"), inner);
    }
    rules.outcome(read)
}

/// Faults found so far, only the first at each path.
#[derive(Default)]
struct Rules {
    paths: HashSet<String>,
    faults: Vec<Fault>,
}

impl Rules {
    fn faults_of<T>(&mut self, read: &Result<T, Vec<Fault>>) {
        for fault in read.as_ref().err().into_iter().flatten() {
            self.add(fault.path.clone(), &fault.message);
        }
    }

    fn outcome<T>(mut self, read: Result<T, Vec<Fault>>) -> Result<T, Vec<Fault>> {
        match read {
            Ok(read) if self.faults.is_empty() => Ok(read),
            _ => {
                self.faults.sort_by(|a, b| a.path.cmp(&b.path));
                Err(self.faults)
            }
        }
    }

    fn add(&mut self, at: String, message: &str) {
        if self.paths.insert(at.clone()) {
            self.faults.push(Fault::new(at, message));
        }
    }

    fn definition(&mut self, at: &str, definition: &Value) {
        self.plain(at, definition);
        self.features(at, items(definition, "features"));
        for (index, dependency) in items(definition, "dependsOn").iter().enumerate() {
            self.parses_as::<VersionRange>(&format!("{at}/dependsOn/{index}"), dependency, "versionRange");
        }
        if let Some(inputs) = definition.get("inputs").filter(|inputs| inputs.is_object()) {
            self.inputs(&format!("{at}/inputs"), inputs);
        }
    }

    /// Requires that the text of a field parses as a `T`.
    fn parses_as<T: FromStr<Err = String>>(&mut self, at: &str, object: &Value, field: &str) {
        if let Some(text) = object.get(field).and_then(Value::as_str)
            && let Err(why) = text.parse::<T>()
        {
            self.add(format!("{at}/{field}"), &why);
        }
    }

    /// Requires that no text and no field name contains control characters.
    fn plain(&mut self, at: &str, value: &Value) {
        match value {
            Value::String(text) if !is_plain(text) => self.add(at.to_owned(), NOT_PLAIN),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.plain(&format!("{at}/{index}"), item);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    let at = format!("{at}/{}", escaped(name));
                    if !is_plain(name) {
                        self.add(at.clone(), "must not have control characters in its name");
                    }
                    self.plain(&at, field);
                }
            }
            _ => {}
        }
    }

    fn features(&mut self, root: &str, features: &[Value]) {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for (index, feature) in features.iter().enumerate() {
            let at = format!("{root}/features/{index}");
            self.parses_as::<Version>(&at, feature, "version");
            let Some(id) = feature.get("id").and_then(Value::as_str) else { continue };
            if let Some(first) = seen.get(id) {
                self.add(
                    format!("{at}/id"),
                    &format!("must be unique: {root}/features/{first} has the same id"),
                );
            } else {
                seen.insert(id, index);
            }
            // With an invalid id, every permission key would be a fault.
            if let Ok(slug) = Slug::parse(id) {
                if id == SHARED {
                    let message = "must not be 'shared', which names the resources that features share";
                    self.add(format!("{at}/id"), message);
                } else if !can_run(&slug) {
                    self.add(format!("{at}/id"), NO_NAMES);
                }
                self.permissions(&at, id, items(feature, "permissions"));
            }
        }
    }

    fn permissions(&mut self, at: &str, feature: &str, permissions: &[Value]) {
        for (index, permission) in permissions.iter().enumerate() {
            if permission.as_str().is_some_and(|key| !is_permission(feature, key)) {
                let message = format!("must be '{feature}:' followed by letters a-z and '-'");
                self.add(format!("{at}/permissions/{index}"), &message);
            }
        }
    }

    /// Requires that `inputs` is a supported JSON Schema.
    fn inputs(&mut self, at: &str, schema: &Value) {
        for fault in inputs::faults_of_schema(schema) {
            self.add(format!("{at}{}", fault.path), &fault.message);
        }
    }
}

const NO_NAMES: &str = "must have at most 34 characters and must not begin or end with '-': the names of its worker \
                        and host contain it";

/// Returns true if the resources of the feature can have valid names. Ids of platforms and stacks have a fixed length,
/// so the result is the same for all of them.
fn can_run(feature: &Slug) -> bool {
    let ids = (PlatformId::parse("0000000000"), StackId::parse("0000000000"));
    let (Ok(platform), Ok(stack)) = ids else { return false };
    domain::feature::check_names(&platform, &stack, feature, Environment::Stg).is_ok()
}

/// The items of a field; none if the field is not a list.
fn items<'v>(object: &'v Value, field: &str) -> &'v [Value] {
    object.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn is_permission(feature: &str, key: &str) -> bool {
    let verb = key.strip_prefix(feature).and_then(|rest| rest.strip_prefix(':'));
    verb.is_some_and(|verb| !verb.is_empty() && verb.bytes().all(|c| c.is_ascii_lowercase() || c == b'-'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition() -> Value {
        json!({
            "schemaVersion": 1,
            "displayName": "A shop",
            "features": [{ "id": "cart", "version": "1.0.0", "package": "cart", "required": true, "permissions": ["cart:read"] }],
            "resources": { "d1": true, "r2": true, "kv": true, "queue": true },
        })
    }

    fn paths<T>(read: Result<T, Vec<Fault>>) -> Vec<String> {
        read.err().into_iter().flatten().map(|fault| fault.path).collect()
    }

    /// The paths of the faults when the value at `pointer` in the definition is `value`.
    fn faults_with(pointer: &str, value: Value) -> Vec<String> {
        let mut definition = definition();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        definition.pointer_mut(parent).unwrap()[name] = value;
        paths(read(&definition))
    }

    #[test]
    fn valid_definitions_have_no_faults() {
        assert_eq!(paths(read(&definition())), [""; 0]);
        let valid = [
            ("/description", json!("Two\nlines")),
            ("/labels", json!({ "zone.example/tier": "gold" })),
            ("/features", json!([])),
            ("/features/0/permissions", json!(["cart:read", "cart:-"])),
            ("/features/0/service", json!(false)),
            (
                "/dependsOn",
                json!([{ "template": "a", "versionRange": "*" }, { "template": "b", "versionRange": "^1.2, <1.9" }]),
            ),
            ("/inputs", json!({})),
            (
                "/inputs",
                json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object" }),
            ),
            (
                "/inputs",
                json!({ "properties": { "a": { "$ref": "#/$defs/a" } }, "$defs": { "a": { "pattern": "^a$" } } }),
            ),
        ];
        for (pointer, value) in valid {
            assert_eq!(faults_with(pointer, value.clone()), [""; 0], "{pointer} {value}");
        }
    }

    #[test]
    fn each_fault_has_the_path_of_its_value() {
        let wrong = [
            ("/schemaVersion", json!(2), "/schemaVersion"),
            ("/schemaVersion", json!(1.0), "/schemaVersion"),
            ("/displayName", json!(""), "/displayName"),
            ("/displayName", json!("a\0"), "/displayName"),
            ("/description", Value::Null, "/description"),
            ("/labels", json!({ "a": 1 }), "/labels/a"),
            ("/labels", json!({ "a\0": "" }), "/labels/a\0"),
            ("/labels", json!({ "a~/b": "\u{7}" }), "/labels/a~0~1b"),
            ("/features", Value::Null, "/features"),
            ("/features/0/id", json!("Cart"), "/features/0/id"),
            (
                "/features",
                json!([{ "id": "shared", "version": "1.0.0", "package": "p", "required": true, "permissions": [] }]),
                "/features/0/id",
            ),
            ("/features/0/version", json!("01.0.0"), "/features/0/version"),
            ("/features/0/package", json!("x".repeat(215)), "/features/0/package"),
            ("/features/0/required", json!("yes"), "/features/0/required"),
            ("/features/0/service", Value::Null, "/features/0/service"),
            ("/features/0/permissions", json!(["cart:read", "cart:Read"]), "/features/0/permissions/1"),
            ("/features/0/permissions", json!(["cart"]), "/features/0/permissions/0"),
            ("/features/0/permissions", json!(["cartel:read"]), "/features/0/permissions/0"),
            ("/features/0/colour", json!("red"), "/features/0/colour"),
            ("/resources/d1", json!(1), "/resources/d1"),
            ("/resources/r3", json!(true), "/resources/r3"),
            ("/dependsOn", json!([{ "template": "a" }]), "/dependsOn/0/versionRange"),
            ("/dependsOn", json!([{ "template": "A b", "versionRange": "*" }]), "/dependsOn/0/template"),
            ("/dependsOn", json!([{ "template": "a", "versionRange": "new" }]), "/dependsOn/0/versionRange"),
            (
                "/dependsOn",
                json!([{ "template": "a", "versionRange": "^1".repeat(129) }]),
                "/dependsOn/0/versionRange",
            ),
            ("/inputs", json!(true), "/inputs"),
            ("/inputs", json!({ "type": "text" }), "/inputs/type"),
            ("/inputs", json!({ "$schema": "http://json-schema.org/draft-07/schema#" }), "/inputs/$schema"),
            (
                "/inputs",
                json!({ "properties": { "a": { "minLength": -1 } } }),
                "/inputs/properties/a/minLength",
            ),
        ];
        for (pointer, value, path) in wrong {
            assert_eq!(faults_with(pointer, value.clone()), [path], "{pointer} {value}");
        }
    }

    #[test]
    fn unsupported_input_schemas_are_rejected() {
        for unusable in [
            json!({ "properties": { "a": { "pattern": "(" } } }),
            json!({ "properties": { "a": { "pattern": "^(?=a)(a+)+$" } } }),
            json!({ "$ref": "#/$defs/gone" }),
            json!({ "$ref": "https://elsewhere.example/schema" }),
            json!({ "properties": { "a": { "$ref": "https://json-schema.org/draft/2020-12/schema" } } }),
            json!({ "$ref": "#/properties/a/enum/0", "properties": { "a": { "enum": [{}] } } }),
        ] {
            let faults = faults_with("/inputs", unusable.clone());
            assert_eq!(faults.len(), 1, "{unusable}");
            assert!(faults[0].starts_with("/inputs"), "{faults:?}");
        }
    }

    #[test]
    fn feature_ids_must_make_valid_resource_names() {
        let of = |id: &str| {
            let mut feature = definition()["features"][0].clone();
            feature["id"] = json!(id);
            feature["permissions"] = json!([]);
            faults_with("/features", json!([feature]))
        };
        assert_eq!(of(&"x".repeat(34)), [""; 0]);
        for bad in [&"x".repeat(35), "-cart", "cart-"] {
            assert_eq!(of(bad), ["/features/0/id"], "{bad}");
        }
    }

    #[test]
    fn duplicate_feature_id_is_a_fault_of_the_later_feature() {
        let feature = definition()["features"][0].clone();
        let faults = faults_with("/features", json!([feature, feature, feature]));
        assert_eq!(faults, ["/features/1/id", "/features/2/id"]);
    }

    #[test]
    fn faults_of_a_manifest_and_its_definition_are_reported_together() {
        let mut manifest = json!({
            "$schema": "x", "name": "A shop", "displayName": "A shop", "description": "Sells goods",
            "version": "01.0.0", "nnoSdkVersion": 1, "definition": definition(),
        });
        manifest["definition"]["features"][0]["permissions"] = json!(["cart:Read"]);
        manifest["definition"]["colour"] = json!("red");
        let mut faults = paths(read_with_definition::<crate::Manifest>(&manifest, "definition"));
        faults.sort();
        let expected = [
            "/definition/colour",
            "/definition/features/0/permissions/0",
            "/name",
            "/nnoSdkVersion",
            "/version",
        ];
        assert_eq!(faults, expected);
    }

    #[test]
    fn canonical_text_of_a_definition_is_stable() {
        let text = read(&definition()).unwrap().canonical().unwrap();
        let again = StackDefinition::from_published(&text).unwrap();
        assert_eq!(again, read(&serde_json::from_str(&text).unwrap()).unwrap());
        assert_eq!(again.canonical().unwrap(), text);
        assert!(text.starts_with(r#"{"displayName":"A shop","features":[{"id":"cart","#), "{text}");
        let cart = &again.features()[0];
        assert_eq!((cart.id().as_str(), cart.package(), cart.is_required()), ("cart", "cart", true));
        assert!(cart.has_service() && again.resources().queue && again.depends_on().is_empty());
    }
}
