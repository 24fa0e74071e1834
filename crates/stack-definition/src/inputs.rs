//! What a person fills in: the schema that a definition has for it, and whether values fit.

use domain::Fault;
use jsonschema::{PatternOptions, ValidationError, Validator};
use kit::check;
use serde_json::Value;

use crate::StackDefinition;

/// The one draft that inputs are described in.
pub(crate) const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Makes a validator of a schema of inputs. Patterns are searched in linear time, so that no value can make the search
/// take long; look-around and back-references are not part of them.
pub(crate) fn validator(schema: &Value) -> Result<Validator, ValidationError<'static>> {
    jsonschema::draft202012::options().with_pattern_options(PatternOptions::regex()).build(schema)
}

/// Checks what was filled in for a stack of this definition. Nothing is filled in for it: a `default` of the schema
/// tells people what is usual, and is not applied.
///
/// # Errors
/// Every fault, by its JSON pointer into `values`.
pub fn check_inputs(definition: &StackDefinition, values: &Value) -> Result<(), Vec<Fault>> {
    let Some(given) = values.as_object() else { return Err(vec![Fault::new("", "must be an object")]) };
    let Some(inputs) = definition.inputs() else {
        let unknown =
            |name: &String| Fault::new(format!("/{}", check::escaped(name)), "is not a known field");
        let faults: Vec<Fault> = given.keys().map(unknown).collect();
        return if faults.is_empty() { Ok(()) } else { Err(faults) };
    };
    let validator = validator(&Value::Object(inputs.clone()))
        .map_err(|error| vec![Fault::new("", format!("the definition's schema cannot be used: {error}"))])?;
    let faults = check::faults(&validator, values);
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with_inputs(inputs: Option<Value>) -> StackDefinition {
        let mut definition = json!({
            "schemaVersion": 1, "displayName": "A shop", "features": [],
            "resources": { "d1": false, "r2": false, "kv": false, "queue": false },
        });
        if let Some(inputs) = inputs {
            definition["inputs"] = inputs;
        }
        StackDefinition::read(&definition).unwrap()
    }

    fn paths(definition: &StackDefinition, values: &Value) -> Vec<String> {
        let faults = check_inputs(definition, values).err().unwrap_or_default();
        faults.into_iter().map(|fault| fault.path).collect()
    }

    #[test]
    fn every_fault_at_once() {
        let definition = with_inputs(Some(json!({
            "type": "object",
            "properties": {
                "currency": { "type": "string", "pattern": "^[A-Z]{3}$", "default": "EUR" },
                "mail": { "type": "object", "properties": { "a/b": { "type": "integer", "minimum": 1 } } },
                "title": { "type": "string", "minLength": 1 },
            },
            "required": ["title"],
            "additionalProperties": false,
        })));
        assert_eq!(paths(&definition, &json!({ "title": "T" })), [""; 0]);
        let wrong = json!({ "currency": "euro", "mail": { "a/b": 0 }, "colour": "red" });
        assert_eq!(paths(&definition, &wrong), ["/colour", "/currency", "/mail/a~1b", "/title"]);
        assert_eq!(paths(&definition, &json!([])), [""]);
        // A value may be a secret, and is not repeated.
        let faults = check_inputs(&definition, &json!({ "title": "T", "currency": "hunter2" })).unwrap_err();
        assert!(!faults[0].message.contains("hunter2"), "{faults:?}");
    }

    #[test]
    fn where_nothing_is_to_be_filled_in_nothing_may_be() {
        let definition = with_inputs(None);
        assert_eq!(paths(&definition, &json!({})), [""; 0]);
        assert_eq!(paths(&definition, &json!({ "a/b": 1 })), ["/a~1b"]);
    }

    #[test]
    fn defaults_are_not_applied() {
        let definition = with_inputs(Some(json!({
            "properties": { "plan": { "default": "small" } }, "required": ["plan"],
        })));
        assert_eq!(paths(&definition, &json!({})), ["/plan"]);
    }
}
