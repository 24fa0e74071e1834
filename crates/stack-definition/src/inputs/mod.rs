//! Inputs: the values that a user fills in for a stack, and their validation against the schema of its definition.
//!
//! The schema and the values come from different authors, and neither may use up the time of this process. The schema
//! has limits when it is published and when it is used, and each validation has a budget.

mod assertions;
mod evaluate;
mod graph;
mod instance;
mod references;

use domain::Fault;

use serde_json::{Map, Value};

use self::{
    evaluate::Budget,
    graph::{Graph, MAX_BYTES},
};
use crate::StackDefinition;

/// The only supported draft of JSON Schema.
pub(crate) const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Returns the faults of a schema of inputs, by JSON pointer. The schema must match its meta-schema, be self-contained
/// and stay within the limits.
pub(crate) fn faults_of_schema(schema: &Value) -> Vec<Fault> {
    let named = schema.get("$schema").and_then(Value::as_str).unwrap_or(DRAFT);
    if named.trim_end_matches('#') != DRAFT {
        return vec![Fault::new("/$schema", format!("must be {DRAFT}"))];
    }
    if schema.to_string().len() <= MAX_BYTES {
        let meta = jsonschema::draft202012::meta::validator();
        let faults: Vec<Fault> = meta
            .iter_errors(schema)
            .map(|error| Fault::new(error.instance_path().as_str(), check::schema_predicate(&error)))
            .collect();
        if !faults.is_empty() {
            return faults;
        }
    }
    Graph::build(schema).err().into_iter().collect()
}

/// Checks the inputs for a stack of this definition. A `default` of the schema only documents a common value and is not
/// applied.
///
/// The check takes up to a second. Do not call it on a thread that serves other requests.
///
/// # Errors
/// All faults, by JSON pointer into `values`. Values that are too costly to check are one fault with an empty path.
pub fn check_inputs(definition: &StackDefinition, values: &Value) -> Result<(), Vec<Fault>> {
    let Some(fields) = values.as_object() else { return Err(vec![Fault::new("", "must be an object")]) };
    let mut faults = match definition.inputs() {
        Some(schema) => schema_faults(schema, values).map_err(|fault| vec![fault])?,
        None => {
            let unknown =
                |name: &String| Fault::new(format!("/{}", check::escaped(name)), "is not a known field");
            fields.keys().map(unknown).collect()
        }
    };
    faults.sort_by(|a, b| a.path.cmp(&b.path));
    faults.dedup();
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn schema_faults(schema: &Map<String, Value>, values: &Value) -> Result<Vec<Fault>, Fault> {
    // The current limits apply even if the version was published under different ones.
    let graph = Graph::build(&Value::Object(schema.clone())).map_err(|fault| {
        let message = format!(
            "cannot be checked, because the template's schema is not supported: {} {}. Its author must publish a new \
             version",
            fault.path, fault.message
        );
        Fault::new("", message)
    })?;
    evaluate::check(&graph, values, Budget::default())
        .map_err(|exceeded| Fault::new("", exceeded.to_string()))
}

#[cfg(test)]
mod tests;
