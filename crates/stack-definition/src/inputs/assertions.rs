//! Keywords that constrain only the value itself, checked by the `jsonschema` crate, and the cost of that check.

use domain::Fault;
use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::{graph::validator, instance::Instance};

/// Keywords that apply no subschema.
const KEYWORDS: [&str; 19] = [
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxProperties",
    "minProperties",
    "required",
    "dependentRequired",
    "format",
];

/// Maximum length of a pattern, in bytes.
pub(crate) const MAX_PATTERN: usize = 1024;
/// Limits of the compiled size of a pattern, in bytes, each with the steps per byte of text. The time of a search is
/// proportional to the product of the sizes of pattern and text.
const SIZES: [(usize, usize); 2] = [(64 * 1024, 1), (1024 * 1024, 16)];
/// Maximum compiled size of all patterns of a schema, in bytes.
pub(crate) const MAX_PATTERNS_BYTES: usize = 4 * 1024 * 1024;

/// Assertions of one subschema.
#[derive(Debug)]
pub(crate) struct Assertions {
    pub(crate) validator: Validator,
    /// Steps per byte of text.
    per_byte: usize,
    /// Number of values that `enum` and `const` compare with.
    compared: usize,
    unique: bool,
}

/// Pattern for field names.
#[derive(Debug)]
pub(crate) struct Pattern {
    validator: Validator,
    per_byte: usize,
}

/// The assertions of a subschema, if it has any.
pub(super) fn build(
    at: &str,
    schema: &Map<String, Value>,
    pattern_bytes: &mut usize,
) -> Result<Option<Assertions>, Fault> {
    let own: Map<String, Value> = KEYWORDS
        .iter()
        .filter_map(|keyword| schema.get(*keyword).map(|value| ((*keyword).to_owned(), value.clone())))
        .collect();
    if own.is_empty() {
        return Ok(None);
    }
    let compared = own.get("enum").and_then(Value::as_array).map_or(0, Vec::len)
        + usize::from(own.contains_key("const"));
    let unique = own.get("uniqueItems") == Some(&Value::Bool(true));
    let pattern = own.get("pattern").and_then(Value::as_str).map(str::to_owned);
    let (validator, per_byte) = sized(at, pattern.as_deref(), &Value::Object(own), pattern_bytes)?;
    Ok(Some(Assertions { validator, per_byte, compared, unique }))
}

/// Builds a validator with the smallest limit that fits its pattern, and returns the steps per byte of text.
fn sized(
    at: &str,
    pattern: Option<&str>,
    schema: &Value,
    pattern_bytes: &mut usize,
) -> Result<(Validator, usize), Fault> {
    let wrong = |message: String| Fault::new(at, message);
    if pattern.is_some_and(|pattern| pattern.len() > MAX_PATTERN) {
        return Err(wrong(format!("must have a pattern of at most {MAX_PATTERN} characters")));
    }
    let mut last = None;
    for (size, per_byte) in SIZES {
        match validator(schema, size) {
            Ok(validator) if pattern.is_none() => return Ok((validator, 0)),
            Ok(validator) => {
                *pattern_bytes += size;
                if *pattern_bytes > MAX_PATTERNS_BYTES {
                    return Err(wrong("must have fewer or smaller patterns in total".to_owned()));
                }
                return Ok((validator, per_byte));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(match last {
        Some(error) => Fault::new(format!("{at}{}", error.instance_path()), check::schema_predicate(&error)),
        None => wrong("is not supported".to_owned()),
    })
}

impl Assertions {
    /// The number of steps to check a value.
    pub(super) fn cost(&self, instance: &Instance<'_>) -> usize {
        let compared = if self.compared > 0 { self.compared + instance.size } else { 0 };
        let unique = if self.unique { instance.size } else { 0 };
        self.per_byte * instance.text_len() + compared + unique
    }
}

impl Pattern {
    /// Builds the pattern at a JSON pointer.
    pub(super) fn build(at: &str, pattern: &str, pattern_bytes: &mut usize) -> Result<Self, Fault> {
        let schema = json!({ "pattern": pattern });
        let (validator, per_byte) = sized(at, Some(pattern), &schema, pattern_bytes)
            .map_err(|fault| Fault::new(at, fault.message))?;
        Ok(Self { validator, per_byte })
    }

    /// The number of steps to search a name.
    pub(super) fn cost(&self, name: &str) -> usize {
        1 + self.per_byte * name.len()
    }

    /// Returns true if a name, as a JSON value, matches the pattern.
    pub(super) fn matches(&self, name: &Value) -> bool {
        self.validator.is_valid(name)
    }
}

/// Reads a non-negative whole number, which may be written as `2.0`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and is never negative"
)]
pub(super) fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0).map(|n| n as u64))
}
