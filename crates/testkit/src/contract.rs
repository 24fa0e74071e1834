//! Contracts of the public API, and a comparison of a service's document with its contract.
//!
//! A service may exceed its contract: more operations, response fields, optional parameters and error statuses. The
//! values that it accepts may be narrower, such as an enum where the contract has any string; their types may not.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::document::operations;

const REGISTRY: &str = include_str!("../contract/registry.json");
const STACK_REGISTRY: &str = include_str!("../contract/stack-registry.json");

/// Constraints that must be equal to those of the contract.
const CONSTRAINTS: [&str; 5] = ["pattern", "minLength", "maxLength", "enum", "default"];

/// The contract of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contract {
    Registry,
    StackRegistry,
    /// Part of the registry's document.
    Onboarding,
}

impl Contract {
    /// Returns the OpenAPI document of the contract, with the operations of this service only.
    pub fn document(self) -> Value {
        let text = if self == Self::StackRegistry { STACK_REGISTRY } else { REGISTRY };
        let mut document: Value = serde_json::from_str(text).expect("a contract");
        document["paths"].as_object_mut().expect("paths").retain(|path, _| self.has(path));
        document
    }

    fn has(self, path: &str) -> bool {
        let is_onboarding = path.starts_with("/api/v1/onboarding") || !path.starts_with("/api/");
        self == Self::StackRegistry || is_onboarding == (self == Self::Onboarding)
    }
}

/// Returns all differences in which the document `ours` violates the contract. `missing` lists the operations that are
/// not implemented yet, such as `get /path`. A listed operation that exists is a violation too, so the list shrinks.
pub fn violations(ours: &Value, contract: Contract, missing: &[&str]) -> Vec<String> {
    let promised = contract.document();
    let (implemented, required) = (operations(ours), operations(&promised));
    let mut comparison = Comparison { ours, promised: &promised, violations: Vec::new() };
    for (method, path) in &required {
        let name = format!("{method} {path}");
        match (implemented.contains(&(method.clone(), path.clone())), missing.contains(&name.as_str())) {
            (true, false) => comparison.operation(&name, &["paths", path, method]),
            (false, true) => {}
            (true, true) => comparison.add(&name, "is implemented; remove it from the list"),
            (false, false) => comparison.add(&name, "is not implemented"),
        }
    }
    for name in missing {
        let is_known = required.iter().any(|(method, path)| format!("{method} {path}") == *name);
        comparison.require(is_known, name, "is on the list, but not in the contract");
    }
    comparison.violations
}

/// The direction of a body. A service may accept more types than the contract has, but must not return more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Response,
}

struct Comparison<'a> {
    ours: &'a Value,
    promised: &'a Value,
    violations: Vec<String>,
}

impl Comparison<'_> {
    fn add(&mut self, at: &str, message: impl std::fmt::Display) {
        self.violations.push(format!("{at}: {message}"));
    }

    fn require(&mut self, condition: bool, at: &str, message: impl std::fmt::Display) {
        if !condition {
            self.add(at, message);
        }
    }

    fn operation(&mut self, at: &str, keys: &[&str]) {
        let find = |document: &Value| keys.iter().fold(document, |value, key| &value[*key]).clone();
        let (ours, promised) = (find(self.ours), find(self.promised));
        self.parameters(at, &ours, &promised);
        self.body(at, &ours["requestBody"], &promised["requestBody"]);
        let responses = |operation: &Value| operation["responses"].as_object().cloned().unwrap_or_default();
        let (ours, promised) = (responses(&ours), responses(&promised));
        for status in ours.keys().filter(|status| status.starts_with('2')) {
            self.require(promised.contains_key(status), at, format!("{status} is not in the contract"));
        }
        for (status, theirs) in promised {
            let at = format!("{at} {status}");
            let Some(mine) = ours.get(&status) else {
                self.add(&at, "is not in the document");
                continue;
            };
            let (mine, theirs) = (resolved(self.ours, mine), resolved(self.promised, &theirs));
            match (schema_of(&mine), schema_of(&theirs)) {
                (Value::Null, Value::Null) => {}
                (Value::Null, _) | (_, Value::Null) => self.add(&at, "only one of the documents has a body"),
                (mine, theirs) => self.schema(&at, mine, theirs, Direction::Response),
            }
        }
    }

    fn parameters(&mut self, at: &str, ours: &Value, promised: &Value) {
        let (mine, theirs) = (parameters(self.ours, ours), parameters(self.promised, promised));
        let count = ours["parameters"].as_array().map_or(0, Vec::len);
        self.require(mine.len() == count, at, "a parameter occurs twice");
        for (location, name, required) in &theirs {
            let found = mine.contains(&(location.clone(), name.clone(), *required));
            let message = format!("no parameter {name} in {location} with required {required}");
            self.require(found, at, message);
        }
        for (location, name, required) in &mine {
            let is_promised = theirs.iter().any(|(other, known, _)| (other, known) == (location, name));
            let message = format!("parameter {name} in {location} is required, but not in the contract");
            self.require(is_promised || !required, at, message);
        }
    }

    fn body(&mut self, at: &str, ours: &Value, promised: &Value) {
        // If the contract has no body, the service defines its own.
        if promised.is_null() {
            return;
        }
        let at = format!("{at} body");
        let is_required = |body: &Value| body["required"].as_bool().unwrap_or_default();
        self.require(
            is_required(ours) == is_required(promised),
            &at,
            format!("required must be {}", is_required(promised)),
        );
        self.schema(&at, schema_of(ours), schema_of(promised), Direction::Request);
    }

    fn schema(&mut self, at: &str, ours: &Value, promised: &Value, direction: Direction) {
        let (ours, promised) = (resolved(self.ours, ours), resolved(self.promised, promised));
        let (mine, theirs) = (types(&ours), types(&promised));
        let is_request = direction == Direction::Request;
        // Without a type in the contract, every type is allowed.
        let fits = theirs.is_empty() || if is_request { mine.is_superset(&theirs) } else { mine == theirs };
        self.require(fits, at, format!("type is {mine:?}, must be {theirs:?}"));
        // An enum or a format is narrower than a length.
        let is_narrow = is_request && (ours.get("enum").is_some() || ours.get("format").is_some());
        for constraint in CONSTRAINTS.into_iter().chain((!is_request).then_some("format")) {
            let is_implied = is_narrow && constraint.ends_with("Length");
            if let Some(value) = promised.get(constraint).filter(|_| !is_implied) {
                let mine = ours.get(constraint);
                let found = mine.map_or_else(|| "none".to_owned(), Value::to_string);
                let fits = set(mine) == set(Some(value));
                self.require(fits, at, format!("{constraint} is {found}, must be {value}"));
            }
        }
        let (mine, theirs) = (required(&ours), required(&promised));
        let fits = if is_request { mine == theirs } else { mine.is_superset(&theirs) };
        self.require(
            fits || promised.get("properties").is_none(),
            at,
            format!("required fields are {mine:?}, must be {theirs:?}"),
        );
        for (name, theirs) in promised["properties"].as_object().into_iter().flatten() {
            match ours["properties"].get(name) {
                Some(mine) => self.schema(&format!("{at} {name}"), mine, theirs, direction),
                None => self.add(&format!("{at} {name}"), "is missing"),
            }
        }
        if let Some(theirs) = promised.get("items") {
            self.schema(&format!("{at} items"), &ours["items"], theirs, direction);
        }
    }
}

fn schema_of(holder: &Value) -> &Value {
    &holder["content"]["application/json"]["schema"]
}

/// Follows references. A `oneOf` of null and one schema becomes that schema with null among its types.
fn resolved(document: &Value, value: &Value) -> Value {
    if let Some(at) = value["$ref"].as_str() {
        let found = document.pointer(at.trim_start_matches('#')).expect("a valid reference");
        let mut found = resolved(document, found);
        // Keys next to a reference override those of its target.
        for (key, sibling) in value.as_object().into_iter().flatten().filter(|(key, _)| *key != "$ref") {
            found[key] = sibling.clone();
        }
        return found;
    }
    let either = value["oneOf"].as_array().map(Vec::as_slice).unwrap_or_default();
    let (nulls, others): (Vec<&Value>, Vec<&Value>) = either.iter().partition(|one| one["type"] == "null");
    let ([_, ..], [one]) = (nulls.as_slice(), others.as_slice()) else { return value.clone() };
    let mut one = resolved(document, one);
    let all: Vec<Value> = types(&one).into_iter().chain(["null".to_owned()]).map(Value::from).collect();
    if let Value::Object(schema) = &mut one {
        schema.insert("type".to_owned(), all.into());
    }
    one
}

fn types(schema: &Value) -> BTreeSet<String> {
    texts(&schema["type"])
}

fn required(schema: &Value) -> BTreeSet<String> {
    texts(&schema["required"])
}

/// Returns a string or a list of strings as a set. Other values are empty.
fn texts(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Array(many) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        one => one.as_str().map(str::to_owned).into_iter().collect(),
    }
}

/// Returns a value for comparison. Lists ignore the order and nulls.
fn set(value: Option<&Value>) -> BTreeSet<String> {
    match value {
        Some(Value::Array(many)) => many.iter().filter(|one| !one.is_null()).map(Value::to_string).collect(),
        one => one.map(Value::to_string).into_iter().collect(),
    }
}

/// Returns the location and the name of each parameter, and whether it is required.
fn parameters(document: &Value, operation: &Value) -> BTreeSet<(String, String, bool)> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters
        .map(|parameter| {
            let parameter = resolved(document, parameter);
            let text = |key: &str| parameter[key].as_str().unwrap_or_default().to_owned();
            (text("in"), text("name"), parameter["required"].as_bool().unwrap_or_default())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GET: &str = "/paths/~1api~1v1~1platforms~1{platformId}/get";
    const POST: &str = "/paths/~1api~1v1~1platforms/post";
    const SCHEMA: &str = "/content/application~1json/schema";

    /// Returns the violations of the contract's own document with one value replaced.
    fn with(at: &str, value: Value) -> Vec<String> {
        let mut ours = Contract::Registry.document();
        *ours.pointer_mut(at).unwrap_or_else(|| panic!("{at}")) = value;
        violations(&ours, Contract::Registry, &[])
    }

    #[test]
    fn contracts_satisfy_themselves() {
        for contract in [Contract::Registry, Contract::StackRegistry, Contract::Onboarding] {
            assert_eq!(violations(&contract.document(), contract, &[]), [""; 0]);
        }
        let count = |contract: Contract| operations(&contract.document()).len();
        let counts = [Contract::Registry, Contract::StackRegistry, Contract::Onboarding].map(count);
        assert_eq!(counts, [56, 8, 8]);
    }

    #[test]
    fn every_kind_of_violation_is_found() {
        let field = format!("{GET}/responses/200{SCHEMA}/properties/status/type");
        assert_eq!(with(&field, json!(["string", "null"])).len(), 1);
        let nullable = format!("{GET}/responses/200{SCHEMA}/properties/deletedAt/type");
        assert_eq!(with(&nullable, json!("string")).len(), 1);
        assert_eq!(with(&format!("{GET}/responses/200{SCHEMA}/required"), json!(["id"])).len(), 1);
        assert_eq!(with(&format!("{GET}/responses/200{SCHEMA}/properties"), json!({})).len(), 17);
        assert_eq!(with(&format!("{GET}/responses/200"), json!({})).len(), 1);
        assert_eq!(with(&format!("{GET}/responses"), json!({ "201": {} })).len(), 4);
        assert_eq!(with(&format!("{GET}/parameters/0/in"), json!("query")).len(), 2);
        let body = format!("{POST}/requestBody{SCHEMA}");
        assert_eq!(with(&format!("{body}/properties/tier/enum"), json!(["starter"])).len(), 1);
        assert_eq!(with(&format!("{body}/properties/slug/pattern"), json!("^[a-z]+$")).len(), 1);
        assert_eq!(with(&format!("{body}/properties/slug/minLength"), json!(0)).len(), 1);
        assert_eq!(
            with(&format!("{body}/properties/slug/minLength"), json!(2)).len(),
            1,
            "bounds must be equal"
        );
        assert_eq!(with(&format!("{body}/required"), json!(["name", "slug", "tier"])).len(), 1);
        assert_eq!(with(&format!("{POST}/requestBody/required"), json!(false)).len(), 1);
        assert_eq!(with(&format!("{POST}/parameters"), json!([{ "in": "query", "name": "x" }])), [""; 0]);
        let needed = json!([{ "in": "query", "name": "x", "required": true }]);
        assert_eq!(with(&format!("{POST}/parameters"), needed).len(), 1);
    }

    #[test]
    fn missing_operations_must_be_in_the_contract_only() {
        let mut ours = Contract::Registry.document();
        let short = |ours: &Value, missing: &[&str]| violations(ours, Contract::Registry, missing);
        assert_eq!(short(&ours, &["get /api/v1/audit"]).len(), 1, "it is implemented");
        assert_eq!(short(&ours, &["get /api/v1/nothing"]).len(), 1, "it is not in the contract");
        ours["paths"].as_object_mut().unwrap().remove("/api/v1/audit");
        assert_eq!(short(&ours, &[]).len(), 1);
        assert_eq!(short(&ours, &["get /api/v1/audit"]), [""; 0]);
    }
}
