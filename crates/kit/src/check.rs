//! Reads JSON into a type and names every fault at once.
//!
//! Serde stops at the first fault. So what it refuses is held against the type's own published schema, which
//! finds them all; what the schema cannot say (a rule that is code) is told in serde's words. A lawful body pays
//! for none of this.

use domain::{Error, Fault, Result};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Reads `value` as a `T`.
///
/// # Errors
/// [`domain::Kind::Validation`] with all faults, by dotted path.
pub fn value<T: DeserializeOwned + ToSchema>(value: Value) -> Result<T> {
    match serde_path_to_error::deserialize::<_, T>(&value) {
        Ok(read) => Ok(read),
        Err(error) => Err(Error::validation(faults::<T>(&value, &error))),
    }
}

/// Reads the bytes of a body as a `T`; an empty body is the empty object.
///
/// # Errors
/// [`domain::Kind::Validation`], also when the bytes are not JSON.
pub fn bytes<T: DeserializeOwned + ToSchema>(body: &[u8]) -> Result<T> {
    let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    let mut reader = serde_json::Deserializer::from_slice(body);
    if let Ok(read) = T::deserialize(&mut reader)
        && reader.end().is_ok()
    {
        return Ok(read);
    }
    let parsed: Value = serde_json::from_slice(body)
        .map_err(|error| Error::invalid("", format!("The body is not JSON: {error}")).context(&error))?;
    value(parsed)
}

fn faults<T: ToSchema>(value: &Value, error: &serde_path_to_error::Error<serde_json::Error>) -> Vec<Fault> {
    let mut faults = schema_faults::<T>(value);
    let path = match error.path().to_string() {
        dot if dot == "." => String::new(),
        path => path,
    };
    let message = error.inner().to_string();
    // Unknown and missing fields are named by the schema at their own path, by serde at their parent's.
    if faults.is_empty() || !(path.is_empty() || faults.iter().any(|fault| fault.path == path)) {
        faults.push(Fault::new(path, message));
    }
    faults
}

fn schema_faults<T: ToSchema>(value: &Value) -> Vec<Fault> {
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
    let Ok(validator) = jsonschema::validator_for(&schema) else { return Vec::new() };
    let mut faults: Vec<Fault> = validator.iter_errors(value).flat_map(|error| told(&error)).collect();
    faults.sort_by(|a, b| a.path.cmp(&b.path));
    faults.dedup();
    faults
}

/// The fault in our words, at the path of the field it is about.
fn told(error: &jsonschema::ValidationError<'_>) -> Vec<Fault> {
    use jsonschema::error::ValidationErrorKind as K;
    let at = error.instance_path().as_str().trim_start_matches('/').replace('/', ".");
    let under = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    match error.kind() {
        K::Required { property } => {
            vec![Fault::new(under(property.as_str().unwrap_or_default()), "is required")]
        }
        K::AdditionalProperties { unexpected } | K::UnevaluatedProperties { unexpected } => {
            unexpected.iter().map(|name| Fault::new(under(name), "is not a known field")).collect()
        }
        // The value itself is not repeated: it may be long, and it may be a secret.
        _ => vec![Fault::new(at, error.masked().to_string())],
    }
}
