//! Validation of a version to publish, which reports all faults at once.

use domain::{Error, Fault, Result};
use serde_json::Value;

use super::model::PublishVersion;

/// JSON pointer of the definition in the body.
pub(super) const DEFINITION: &str = "/stackDefinition";

/// Reads the body of a publish.
///
/// # Errors
/// [`domain::Kind::Validation`] with all faults. Faults in the definition have JSON pointers, because its names may
/// contain dots; all others have the names of their fields.
pub(super) fn parse(body: &Value) -> Result<PublishVersion> {
    stack_definition::read_with_definition(body, DEFINITION.trim_start_matches('/'))
        .map_err(|faults| Error::validation(faults.into_iter().map(named).collect()))
}

fn named(fault: Fault) -> Fault {
    let inside =
        fault.path.strip_prefix(DEFINITION).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if inside { fault } else { Fault { path: fault.path.trim_start_matches('/').to_owned(), ..fault } }
}
