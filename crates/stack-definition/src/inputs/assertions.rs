//! The keywords that look at one value alone, checked by the `jsonschema` crate, and what that costs.

use domain::Fault;
use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::{graph::validator, instance::Instance};

/// The keywords that apply no subschema.
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

/// Longest pattern, in bytes.
pub(crate) const MAX_PATTERN: usize = 1024;
/// Limits of the compiled size of a pattern, in bytes, and the steps that each byte of a text then costs: a search
/// takes time in proportion to the product of both.
const SIZES: [(usize, usize); 2] = [(64 * 1024, 1), (1024 * 1024, 16)];
/// Maximum compiled size of all patterns of a schema, in bytes.
pub(crate) const MAX_PATTERNS_BYTES: usize = 4 * 1024 * 1024;

/// The assertions of one subschema.
#[derive(Debug)]
pub(crate) struct Assertions {
    pub(crate) validator: Validator,
    /// Steps for each byte of a text.
    per_byte: usize,
    /// Values that the value is compared with.
    compared: usize,
    unique: bool,
}

/// A pattern of names.
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

/// Builds a validator whose pattern is as small as possible, and returns the steps for each byte of a text.
fn sized(
    at: &str,
    pattern: Option<&str>,
    schema: &Value,
    pattern_bytes: &mut usize,
) -> Result<(Validator, usize), Fault> {
    let wrong = |message: String| Fault::new(at, message);
    if pattern.is_some_and(|pattern| pattern.len() > MAX_PATTERN) {
        return Err(wrong(format!("pattern must be at most {MAX_PATTERN} characters")));
    }
    let mut last = None;
    for (size, per_byte) in SIZES {
        match validator(schema, size) {
            Ok(validator) if pattern.is_none() => return Ok((validator, 0)),
            Ok(validator) => {
                *pattern_bytes += size;
                if *pattern_bytes > MAX_PATTERNS_BYTES {
                    return Err(wrong("the patterns of the inputs are too many or too large".to_owned()));
                }
                return Ok((validator, per_byte));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(match last {
        Some(error) => Fault::new(format!("{at}{}", error.instance_path()), error.masked().to_string()),
        None => wrong("cannot be used".to_owned()),
    })
}

impl Assertions {
    /// The steps that checking a value takes.
    pub(super) fn cost(&self, instance: &Instance<'_>) -> usize {
        let compared = if self.compared > 0 { self.compared + instance.size } else { 0 };
        let unique = if self.unique { instance.size } else { 0 };
        self.per_byte * instance.text_len() + compared + unique
    }
}

impl Pattern {
    /// A pattern at a JSON pointer.
    pub(super) fn build(at: &str, pattern: &str, pattern_bytes: &mut usize) -> Result<Self, Fault> {
        let schema = json!({ "pattern": pattern });
        let (validator, per_byte) = sized(at, Some(pattern), &schema, pattern_bytes)
            .map_err(|fault| Fault::new(at, fault.message))?;
        Ok(Self { validator, per_byte })
    }

    /// The steps that a search of a name takes.
    pub(super) fn cost(&self, name: &str) -> usize {
        1 + self.per_byte * name.len()
    }

    /// Whether a name, as a value, has the pattern.
    pub(super) fn matches(&self, name: &Value) -> bool {
        self.validator.is_valid(name)
    }
}

/// A whole number that is not negative, also if it is written as `2.0`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and is never negative"
)]
pub(super) fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0).map(|n| n as u64))
}
