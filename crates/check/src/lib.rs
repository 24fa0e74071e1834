//! Reads JSON into a type and reports all faults at once.
//!
//! The JSON must match the type's own published schema, which is built once, and then serde, which applies the rules
//! that are code. Validation therefore agrees with the documentation. Serde stops at the first fault; the schema finds
//! all of them.

mod strict;

use std::{
    any::{TypeId, type_name},
    collections::{HashMap, HashSet},
    sync::{Arc, LazyLock, PoisonError, RwLock},
};

use domain::{Error, Fault, Result};
use jsonschema::Validator;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Reads `value` as a `T`.
///
/// # Errors
/// [`domain::Kind::Validation`] with all faults, by dotted path.
pub fn from_value<T: DeserializeOwned + ToSchema + 'static>(value: Value) -> Result<T> {
    let faults = match from_value_with_pointers(&value) {
        Ok(read) => return Ok(read),
        Err(faults) => faults,
    };
    let read = match without_nulls::<T>(value, &faults) {
        Some(value) => from_value_with_pointers(&value),
        None => Err(faults),
    };
    read.map_err(|faults| Error::validation(faults.into_iter().map(dotted).collect()))
}

/// The body without its optional fields that are null but not nullable, because many clients write null for an absent
/// field. `None` if the body has no such fields.
fn without_nulls<T: ToSchema + 'static>(mut body: Value, faults: &[Fault]) -> Option<Value> {
    let (schema, fields) = (schema_of::<T>()?, body.as_object_mut()?);
    let before = fields.len();
    fields.retain(|name, value| {
        let at = format!("/{}", escaped(name));
        !(value.is_null() && schema.optional.contains(name) && faults.iter().any(|fault| fault.path == at))
    });
    (fields.len() < before).then_some(body)
}

/// Reads `value` as a `T`, for bodies whose field names may contain dots.
///
/// # Errors
/// All faults, by JSON pointer (RFC 6901).
pub fn from_value_with_pointers<T: DeserializeOwned + ToSchema + 'static>(
    value: &Value,
) -> Result<T, Vec<Fault>> {
    let schema = schema_of::<T>();
    let fits = schema.as_ref().is_none_or(|schema| schema.validator.is_valid(value));
    if fits && let Ok(read) = T::deserialize(value) {
        return Ok(read);
    }
    let found = schema.map(|schema| faults(&schema.validator, value)).unwrap_or_default();
    match serde_path_to_error::deserialize::<_, T>(value) {
        Ok(_) => Err(found),
        Err(error) => Err(with_serde_fault(found, &error)),
    }
}

/// Reads the bytes of a body as a `T`. An empty body is read as the empty object.
///
/// # Errors
/// [`domain::Kind::Validation`], also if the bytes are not JSON.
pub fn from_bytes<T: DeserializeOwned + ToSchema + 'static>(body: &[u8]) -> Result<T> {
    let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    let parsed: Value = serde_json::from_slice(body)
        .map_err(|error| Error::invalid("", format!("The body is not JSON: {error}")).context(&error))?;
    let faults = strict::faults(body);
    if faults.is_empty() { from_value(parsed) } else { Err(Error::validation(faults)) }
}

/// Reads the JSON text in a field.
///
/// # Errors
/// [`domain::Kind::Validation`] at `field`, or at a path below it if the JSON cannot be stored unchanged.
pub fn from_json_text(field: &str, text: &str) -> Result<Value> {
    let parsed = serde_json::from_str(text)
        .map_err(|error| Error::invalid(field, format!("must be JSON text: {error}")).context(&error))?;
    let mut faults = strict::faults(text.as_bytes());
    for fault in &mut faults {
        let path = if fault.path.is_empty() { field.to_owned() } else { format!("{field}.{}", fault.path) };
        *fault = Fault::new(path, &fault.message);
    }
    if faults.is_empty() { Ok(parsed) } else { Err(Error::validation(faults)) }
}

fn with_serde_fault(
    mut faults: Vec<Fault>,
    error: &serde_path_to_error::Error<serde_json::Error>,
) -> Vec<Fault> {
    let path = pointer(error.path());
    // The schema reports unknown and missing fields at their own path, serde at the path of the parent.
    if !faults.iter().any(|fault| is_at_or_below(&fault.path, &path)) {
        faults.push(Fault::new(path, predicate(&error.inner().to_string())));
    }
    faults
}

/// The message of a parser as the predicate of a [`Fault`]: "is invalid: missing field `id`".
pub fn predicate(message: &str) -> String {
    const VERBS: [&str; 5] = ["is ", "must ", "has ", "does ", "cannot "];
    if VERBS.iter().any(|verb| message.starts_with(verb)) {
        message.to_owned()
    } else {
        format!("is invalid: {message}")
    }
}

/// The message of a schema validator as the predicate of a [`Fault`]. It does not contain the value, which may be long
/// or a secret.
pub fn schema_predicate(error: &jsonschema::ValidationError<'_>) -> String {
    let message = error.masked().to_string();
    predicate(message.strip_prefix("value ").unwrap_or(&message))
}

fn is_at_or_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The JSON pointer of the value at which serde stopped.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let part = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } | Segment::Enum { variant: key } => format!("/{}", escaped(key)),
        Segment::Unknown => String::new(),
    };
    path.iter().map(part).collect()
}

/// A name as a segment of a JSON pointer.
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn dotted(fault: Fault) -> Fault {
    let path = fault.path.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~");
    Fault { path, ..fault }
}

/// The schema of a type.
struct Schema {
    validator: Validator,
    /// The fields that may be absent.
    optional: HashSet<String>,
}

/// Cache of the schemas by type.
static SCHEMAS: LazyLock<RwLock<HashMap<TypeId, Option<Arc<Schema>>>>> = LazyLock::new(RwLock::default);

fn schema_of<T: ToSchema + 'static>() -> Option<Arc<Schema>> {
    let id = TypeId::of::<T>();
    if let Some(known) = SCHEMAS.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
        return known.clone();
    }
    let built = build_schema::<T>().map(Arc::new);
    SCHEMAS.write().unwrap_or_else(PoisonError::into_inner).entry(id).or_insert(built).clone()
}

fn build_schema<T: ToSchema>() -> Option<Schema> {
    let mut parts = Vec::new();
    T::schemas(&mut parts);
    let components: serde_json::Map<String, Value> = parts
        .into_iter()
        .filter_map(|(name, schema)| serde_json::to_value(schema).ok().map(|schema| (name, schema)))
        .collect();
    let mut schema = serde_json::to_value(T::schema()).unwrap_or_default();
    if let Some(object) = schema.as_object_mut() {
        object.insert("components".to_owned(), json!({ "schemas": components }));
    }
    let validator = jsonschema::validator_for(&schema)
        .inspect_err(
            |error| tracing::error!(of = type_name::<T>(), %error, "the schema of a type is invalid"),
        )
        .ok()?;
    let required: Vec<&Value> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().collect();
    let fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let is_optional = |name: &&String| !required.iter().any(|required| *required == name.as_str());
    let optional = fields.map(|(name, _)| name).filter(is_optional).cloned().collect();
    Some(Schema { validator, optional })
}

/// Returns all faults that a schema finds in `value`, by JSON pointer.
pub fn faults(schema: &Validator, value: &Value) -> Vec<Fault> {
    let mut faults: Vec<Fault> =
        schema.iter_errors(value).flat_map(|error| faults_of(&error, value)).collect();
    faults.sort_by(|a, b| a.path.cmp(&b.path));
    faults.dedup();
    faults
}

/// The faults of a schema error, each at the path of its own field.
fn faults_of(error: &jsonschema::ValidationError<'_>, whole: &Value) -> Vec<Fault> {
    use jsonschema::error::ValidationErrorKind as K;
    let at = error.instance_path().as_str();
    let under = |name: &str| format!("{at}/{}", escaped(name));
    match error.kind() {
        K::Required { property } => {
            vec![Fault::new(under(property.as_str().unwrap_or_default()), "is required")]
        }
        K::AdditionalProperties { unexpected } | K::UnevaluatedProperties { unexpected } => {
            unexpected.iter().map(|name| Fault::new(under(name), "is not a known field")).collect()
        }
        // The validator reports any field of an object without declared fields as a false schema of the object.
        K::FalseSchema if let Some(Value::Object(fields)) = whole.pointer(at) => {
            fields.keys().map(|name| Fault::new(under(name), "is not a known field")).collect()
        }
        K::FalseSchema => vec![Fault::new(at, "is not allowed")],
        _ => vec![Fault::new(at, schema_predicate(error))],
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Outer {
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Inner {
        id: domain::Slug,
        version: domain::Version,
    }

    fn paths(faults: &[Fault]) -> Vec<&str> {
        faults.iter().map(|fault| fault.path.as_str()).collect()
    }

    #[test]
    fn faults_have_json_pointers() {
        let wrong =
            json!({ "inner": [{ "id": "A" }, { "id": "a", "version": "1.0.0", "x/y.z": 1 }], "no": 1 });
        let faults = from_value_with_pointers::<Outer>(&wrong).unwrap_err();
        assert_eq!(paths(&faults), ["/inner/0/id", "/inner/0/version", "/inner/1/x~1y.z", "/no"]);
    }

    #[test]
    fn messages_are_predicates() {
        let wrong = json!({ "inner": [{ "id": 1, "version": "01.0.0" }, { "id": "A", "version": "1.0.0" }] });
        let faults = from_value_with_pointers::<Outer>(&wrong).unwrap_err();
        assert!(faults.iter().any(|fault| fault.message == "is not of type \"string\""), "{faults:?}");
        assert!(faults.iter().all(|fault| predicate(&fault.message) == fault.message), "{faults:?}");
        assert_eq!(predicate("missing field `id`"), "is invalid: missing field `id`");
    }

    #[test]
    fn faults_of_code_rules_have_their_own_path() {
        let wrong = json!({ "inner": [{ "id": "a", "version": "01.0.0" }] });
        assert_eq!(paths(&from_value_with_pointers::<Outer>(&wrong).unwrap_err()), ["/inner/0/version"]);
        let error = from_value::<Outer>(wrong).unwrap_err();
        assert_eq!(error.details()["fields"][0]["path"], "inner.0.version");
    }

    #[test]
    fn value_of_a_wrong_type_is_a_fault_at_the_root() {
        assert_eq!(paths(&from_value_with_pointers::<Outer>(&json!(1)).unwrap_err()), [""]);
    }

    #[derive(Debug, Deserialize, ToSchema)]
    struct Body {
        #[schema(max_length = 8)]
        name: String,
        #[schema(nullable = false)]
        #[expect(dead_code, reason = "only read")]
        count: Option<i32>,
        more: Option<Value>,
    }

    #[test]
    fn rules_that_only_the_schema_states_apply() {
        let paths = |body: &[u8]| {
            let error = from_bytes::<Body>(body).unwrap_err();
            error.details()["fields"]
                .as_array()
                .unwrap()
                .iter()
                .map(|f| f["path"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(paths(br#"{"name":"abcdefghi","count":"1"}"#), ["count", "name"]);
        assert_eq!(paths(br#"{"name":"abc","count":1.0}"#), ["count"]);
        assert!(from_bytes::<Body>(br#"{"name":"abc","more":null}"#).is_ok());
    }

    #[test]
    fn null_in_an_optional_field_is_read_as_absent() {
        assert!(from_bytes::<Body>(br#"{"name":"abc","count":null}"#).is_ok());
        assert_eq!(paths_of::<Body>(r#"{"name":null,"count":null}"#), ["name"]);
        assert_eq!(paths_of::<Outer>(r#"{"inner":[],"colour":null}"#), ["colour"]);
    }

    fn paths_in(body: &str) -> Vec<String> {
        paths_of::<Value>(body)
    }

    fn paths_of<T: DeserializeOwned + ToSchema + 'static>(body: &str) -> Vec<String> {
        let error = from_bytes::<T>(body.as_bytes()).map(drop).unwrap_err();
        let faults = error.details()["fields"].as_array().unwrap();
        faults.iter().map(|fault| fault["path"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn duplicate_keys_are_faults_at_any_depth() {
        assert_eq!(paths_in(r#"{"a":1,"b":[{"c":1,"\u0063":2}],"a":2}"#), ["b.0.c", "a"]);
        assert!(from_bytes::<Value>(br#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}"#).is_ok());
    }

    #[test]
    fn numbers_that_would_lose_digits_are_faults() {
        assert_eq!(paths_in(r#"{"a":12345678901234567890123,"b":[0.12345678901234567890]}"#), ["a", "b.0"]);
        assert_eq!(
            paths_in(r#"{"a":-9223372036854775809,"b":1e-400,"c":9007199254740993.0}"#),
            ["a", "b", "c"]
        );
        let exact = "[18446744073709551615,-9223372036854775808,0.1,-0.0,1E3,1.50,0e9,1e22,100000000000000000000,3.14e-10]";
        assert!(from_bytes::<Value>(exact.as_bytes()).is_ok());
        assert!(from_bytes::<Value>(br#"{"a":"12345678901234567890123 \" 1e-400"}"#).is_ok());
    }

    #[test]
    fn json_text_in_a_field_follows_the_same_rules() {
        let at =
            |json: &str| from_json_text("metadata", json).unwrap_err().details()["fields"][0]["path"].clone();
        assert_eq!(at("{"), "metadata");
        assert_eq!(at(r#"{"a":"\u0000"}"#), "metadata.a");
        assert_eq!(at(r#"{"\u0000":1}"#), "metadata");
        assert_eq!(at(r#"{"a":1,"a":2}"#), "metadata.a");
        assert_eq!(from_json_text("metadata", "[1]").unwrap(), json!([1]));
    }

    #[test]
    fn nul_is_rejected_everywhere() {
        let error =
            from_bytes::<Body>(br#"{"name":"a\u0000","more":{"x":["\u0000"],"\u0000":1}}"#).unwrap_err();
        let faults = error.details()["fields"].as_array().unwrap().clone();
        let mut paths: Vec<_> = faults.iter().map(|fault| fault["path"].as_str().unwrap()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["more", "more.x.0", "name"]);
        let body = from_bytes::<Body>(br#"{"name":"a\\u0000"}"#).unwrap();
        assert_eq!(body.name, r"a\u0000");
        assert!(body.more.is_none());
    }
}
