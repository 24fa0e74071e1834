//! The API that clients were promised, and where a service falls short of it.
//!
//! A service may do more than was promised: further operations, further fields in answers, further optional
//! parameters, further statuses of errors. What it takes may be narrower in value, such as one of three words where
//! any text was promised; never in form.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::document::operations;

const REGISTRY: &str = include_str!("../contract/registry.json");
const STACK_REGISTRY: &str = include_str!("../contract/stack-registry.json");

/// What must be the same where it was promised.
const BOUNDS: [&str; 5] = ["pattern", "minLength", "maxLength", "enum", "default"];

/// Whose promise it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    Registry,
    StackRegistry,
    /// It stands in the registry's.
    Onboarding,
}

impl Promise {
    /// The document that was promised, with the operations of this service alone.
    pub fn document(self) -> Value {
        let text = if self == Self::StackRegistry { STACK_REGISTRY } else { REGISTRY };
        let mut document: Value = serde_json::from_str(text).expect("a contract");
        document["paths"].as_object_mut().expect("paths").retain(|path, _| self.has(path));
        document
    }

    fn has(self, path: &str) -> bool {
        let is_onboardings = path.starts_with("/api/v1/onboarding") || !path.starts_with("/api/");
        self == Self::StackRegistry || is_onboardings == (self == Self::Onboarding)
    }
}

/// Everything in which the document falls short of the promise. `missing` are the operations that are not there yet,
/// such as `get /path`; one that is there after all falls short too, so that the list shrinks.
pub fn shortfalls(ours: &Value, promise: Promise, missing: &[&str]) -> Vec<String> {
    let promised = promise.document();
    let (there, wanted) = (operations(ours), operations(&promised));
    let mut compared = Compared { ours, promised: &promised, faults: Vec::new() };
    for (method, path) in &wanted {
        let name = format!("{method} {path}");
        match (there.contains(&(method.clone(), path.clone())), missing.contains(&name.as_str())) {
            (true, false) => compared.operation(&name, &["paths", path, method]),
            (false, true) => {}
            (true, true) => compared.fault(&name, "is there; take it off the list"),
            (false, false) => compared.fault(&name, "is not there"),
        }
    }
    for name in missing {
        let known = wanted.iter().any(|(method, path)| format!("{method} {path}") == *name);
        compared.unless(known, name, "is on the list and was never promised");
    }
    compared.faults
}

/// Which way a schema is read: what clients send may be more than was promised, what they get must not be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

struct Compared<'a> {
    ours: &'a Value,
    promised: &'a Value,
    faults: Vec<String>,
}

impl Compared<'_> {
    fn fault(&mut self, at: &str, what: impl std::fmt::Display) {
        self.faults.push(format!("{at}: {what}"));
    }

    fn unless(&mut self, good: bool, at: &str, what: impl std::fmt::Display) {
        if !good {
            self.fault(at, what);
        }
    }

    fn operation(&mut self, at: &str, place: &[&str]) {
        let find = |document: &Value| place.iter().fold(document, |value, key| &value[*key]).clone();
        let (ours, promised) = (find(self.ours), find(self.promised));
        self.parameters(at, &ours, &promised);
        self.body(at, &ours["requestBody"], &promised["requestBody"]);
        let responses = |operation: &Value| operation["responses"].as_object().cloned().unwrap_or_default();
        let (ours, promised) = (responses(&ours), responses(&promised));
        for status in ours.keys().filter(|status| status.starts_with('2')) {
            self.unless(promised.contains_key(status), at, format!("{status} was not promised"));
        }
        for (status, theirs) in promised {
            let at = format!("{at} {status}");
            let Some(mine) = ours.get(&status) else {
                self.fault(&at, "is not told");
                continue;
            };
            let (mine, theirs) = (resolved(self.ours, mine), resolved(self.promised, &theirs));
            match (schema_of(&mine), schema_of(&theirs)) {
                (Value::Null, Value::Null) => {}
                (Value::Null, _) | (_, Value::Null) => self.fault(&at, "one has a body, the other none"),
                (mine, theirs) => self.schema(&at, mine, theirs, Way::Out),
            }
        }
    }

    fn parameters(&mut self, at: &str, ours: &Value, promised: &Value) {
        let (mine, theirs) = (parameters(self.ours, ours), parameters(self.promised, promised));
        let told = ours["parameters"].as_array().map_or(0, Vec::len);
        self.unless(mine.len() == told, at, "a parameter is told twice");
        for (place, name, required) in &theirs {
            let found = mine.contains(&(place.clone(), name.clone(), *required));
            self.unless(found, at, format!("parameter {name} in {place}, required {required}"));
        }
        for (place, name, required) in &mine {
            let is_promised = theirs.iter().any(|(other, known, _)| (other, known) == (place, name));
            self.unless(is_promised || !required, at, format!("parameter {name} in {place} is required"));
        }
    }

    fn body(&mut self, at: &str, ours: &Value, promised: &Value) {
        // Where the contract says nothing of a body, product rules do.
        if promised.is_null() {
            return;
        }
        let at = format!("{at} body");
        let is_required = |body: &Value| body["required"].as_bool().unwrap_or_default();
        self.unless(
            is_required(ours) == is_required(promised),
            &at,
            format!("required {}", is_required(promised)),
        );
        self.schema(&at, schema_of(ours), schema_of(promised), Way::In);
    }

    fn schema(&mut self, at: &str, ours: &Value, promised: &Value, way: Way) {
        let (ours, promised) = (resolved(self.ours, ours), resolved(self.promised, promised));
        let (mine, theirs) = (types(&ours), types(&promised));
        // What was promised as anything may be something.
        let fits = theirs.is_empty()
            || match way {
                Way::In => mine.is_superset(&theirs),
                Way::Out => mine == theirs,
            };
        self.unless(fits, at, format!("type {mine:?}, promised {theirs:?}"));
        // A format or a list of words is narrower than a length.
        let is_narrow = way == Way::In && (ours.get("enum").is_some() || ours.get("format").is_some());
        for bound in BOUNDS.into_iter().chain((way == Way::Out).then_some("format")) {
            if let Some(value) = promised.get(bound).filter(|_| !(is_narrow && bound.ends_with("Length"))) {
                let mine = ours.get(bound);
                let found = mine.map_or_else(|| "none".to_owned(), Value::to_string);
                let fits = set(mine) == set(Some(value));
                self.unless(fits, at, format!("{bound} {found}, promised {value}"));
            }
        }
        let (mine, theirs) = (required(&ours), required(&promised));
        let fits = if way == Way::In { mine == theirs } else { mine.is_superset(&theirs) };
        self.unless(
            fits || promised.get("properties").is_none(),
            at,
            format!("requires {mine:?}, promised {theirs:?}"),
        );
        for (name, theirs) in promised["properties"].as_object().into_iter().flatten() {
            match ours["properties"].get(name) {
                Some(mine) => self.schema(&format!("{at} {name}"), mine, theirs, way),
                None => self.fault(&format!("{at} {name}"), "is not there"),
            }
        }
        if let Some(theirs) = promised.get("items") {
            self.schema(&format!("{at} items"), &ours["items"], theirs, way);
        }
    }
}

fn schema_of(holder: &Value) -> &Value {
    &holder["content"]["application/json"]["schema"]
}

/// Follows references; of what may be null takes what it else is, with null among its types.
fn resolved(document: &Value, value: &Value) -> Value {
    if let Some(at) = value["$ref"].as_str() {
        let found = document.pointer(at.trim_start_matches('#')).expect("a reference leads somewhere");
        let mut found = resolved(document, found);
        // What stands beside a reference goes over what it leads to.
        for (key, beside) in value.as_object().into_iter().flatten().filter(|(key, _)| *key != "$ref") {
            found[key] = beside.clone();
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

/// A text or a list of texts; whatever else there is stands for nothing.
fn texts(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Array(many) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        one => one.as_str().map(str::to_owned).into_iter().collect(),
    }
}

/// A value for comparison: of a list, the order does not matter, nor that null is among it.
fn set(value: Option<&Value>) -> BTreeSet<String> {
    match value {
        Some(Value::Array(many)) => many.iter().filter(|one| !one.is_null()).map(Value::to_string).collect(),
        one => one.map(Value::to_string).into_iter().collect(),
    }
}

fn parameters(document: &Value, operation: &Value) -> BTreeSet<(String, String, bool)> {
    let told = operation["parameters"].as_array().into_iter().flatten();
    told.map(|one| {
        let one = resolved(document, one);
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        (text("in"), text("name"), one["required"].as_bool().unwrap_or_default())
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

    /// The shortfalls of what was promised, with one value of it replaced.
    fn with(at: &str, value: Value) -> Vec<String> {
        let mut ours = Promise::Registry.document();
        *ours.pointer_mut(at).unwrap_or_else(|| panic!("{at}")) = value;
        shortfalls(&ours, Promise::Registry, &[])
    }

    #[test]
    fn what_was_promised_falls_short_of_nothing() {
        for promise in [Promise::Registry, Promise::StackRegistry, Promise::Onboarding] {
            assert_eq!(shortfalls(&promise.document(), promise, &[]), [""; 0]);
        }
        let count = |promise: Promise| operations(&promise.document()).len();
        let counts = [Promise::Registry, Promise::StackRegistry, Promise::Onboarding].map(count);
        assert_eq!(counts, [56, 8, 8]);
    }

    #[test]
    fn every_kind_of_shortfall_is_found() {
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
        assert_eq!(with(&format!("{body}/properties/slug/minLength"), json!(2)).len(), 1, "to the letter");
        assert_eq!(with(&format!("{body}/required"), json!(["name", "slug", "tier"])).len(), 1);
        assert_eq!(with(&format!("{POST}/requestBody/required"), json!(false)).len(), 1);
        assert_eq!(with(&format!("{POST}/parameters"), json!([{ "in": "query", "name": "x" }])), [""; 0]);
        let needed = json!([{ "in": "query", "name": "x", "required": true }]);
        assert_eq!(with(&format!("{POST}/parameters"), needed).len(), 1);
    }

    #[test]
    fn the_list_of_what_is_missing_shrinks() {
        let mut ours = Promise::Registry.document();
        let short = |ours: &Value, missing: &[&str]| shortfalls(ours, Promise::Registry, missing);
        assert_eq!(short(&ours, &["get /api/v1/audit"]).len(), 1, "it is there");
        assert_eq!(short(&ours, &["get /api/v1/nothing"]).len(), 1, "it was not promised");
        ours["paths"].as_object_mut().unwrap().remove("/api/v1/audit");
        assert_eq!(short(&ours, &[]).len(), 1);
        assert_eq!(short(&ours, &["get /api/v1/audit"]), [""; 0]);
    }
}
