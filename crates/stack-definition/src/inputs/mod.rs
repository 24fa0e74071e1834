//! What a person fills in: the schema that a definition has for it, and whether values fit.
//!
//! A schema has an author, and the values another one. Neither is trusted with the time of this process: the schema has
//! limits when it is published and when it is used, and each validation has a budget.

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

/// The one draft that inputs are described in.
pub(crate) const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The faults of a schema of inputs, by JSON pointer: it must be valid by its meta-schema, stand by itself, and keep to
/// the limits.
pub(crate) fn faults_of_schema(schema: &Value) -> Vec<Fault> {
    let named = schema.get("$schema").and_then(Value::as_str).unwrap_or(DRAFT);
    if named.trim_end_matches('#') != DRAFT {
        return vec![Fault::new("/$schema", format!("must be {DRAFT}"))];
    }
    if schema.to_string().len() <= MAX_BYTES {
        let meta = jsonschema::draft202012::meta::validator();
        let faults: Vec<Fault> = meta
            .iter_errors(schema)
            .map(|error| Fault::new(error.instance_path().as_str(), error.masked().to_string()))
            .collect();
        if !faults.is_empty() {
            return faults;
        }
    }
    Graph::build(schema).err().into_iter().collect()
}

/// Checks what was filled in for a stack of this definition. Nothing is filled in for it: a `default` of the schema
/// tells people what is usual, and is not applied.
///
/// It takes up to a second, so it does not belong on a thread that serves others.
///
/// # Errors
/// Every fault, by its JSON pointer into `values`. Values that are too costly to check are one fault of the whole.
pub fn check_inputs(definition: &StackDefinition, values: &Value) -> Result<(), Vec<Fault>> {
    let Some(given) = values.as_object() else { return Err(vec![Fault::new("", "must be an object")]) };
    let mut faults = match definition.inputs() {
        Some(schema) => by_schema(schema, values).map_err(|fault| vec![fault])?,
        None => {
            let unknown =
                |name: &String| Fault::new(format!("/{}", check::escaped(name)), "is not a known field");
            given.keys().map(unknown).collect()
        }
    };
    faults.sort_by(|a, b| a.path.cmp(&b.path));
    faults.dedup();
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn by_schema(schema: &Map<String, Value>, values: &Value) -> Result<Vec<Fault>, Fault> {
    // A version that was published under other limits is held to those of today.
    let graph = Graph::build(&Value::Object(schema.clone())).map_err(|fault| {
        let message = format!(
            "the template's schema cannot be used: {} {}. Its author must publish another version",
            fault.path, fault.message
        );
        Fault::new("", message)
    })?;
    evaluate::check(&graph, values, Budget::default())
        .map_err(|exceeded| Fault::new("", exceeded.to_string()))
}

#[cfg(test)]
mod tests;
