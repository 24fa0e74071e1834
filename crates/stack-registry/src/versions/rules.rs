//! Reads what is to be published and names every fault of it at once.

use domain::{Error, Fault, Result};
use serde_json::Value;

use super::model::PublishVersion;

/// Where the definition stands in the body.
pub(super) const DEFINITION: &str = "/stackDefinition";

/// Reads the body of a publish.
///
/// # Errors
/// [`domain::Kind::Validation`] with all faults: those in the definition by JSON pointer, because its names may hold
/// dots, the others by the name of the field, as everywhere.
pub(super) fn read(body: &Value) -> Result<PublishVersion> {
    stack_definition::read_with_definition(body, DEFINITION.trim_start_matches('/'))
        .map_err(|faults| Error::validation(faults.into_iter().map(named).collect()))
}

fn named(fault: Fault) -> Fault {
    let inside =
        fault.path.strip_prefix(DEFINITION).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if inside { fault } else { Fault { path: fault.path.trim_start_matches('/').to_owned(), ..fault } }
}
