//! References between subschemas: only within the schema, and only to its subschemas.

use std::collections::HashMap;

use domain::Fault;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::graph::Id;

/// The fault of a reference that leads to no subschema of the same schema.
pub(super) const ELSEWHERE: &str = "must lead to a subschema of these inputs, such as #/$defs/name";

/// Keywords that make the meaning of a subschema depend on how it was reached. A result could not be used again.
const UNSUPPORTED: [(&str, &str); 6] = [
    ("$dynamicRef", "is not supported: use $ref"),
    ("$dynamicAnchor", "is not supported: use $anchor"),
    ("$recursiveRef", "is not supported: use $ref"),
    ("$recursiveAnchor", "is not supported: use $anchor"),
    ("unevaluatedProperties", "is not supported: use additionalProperties"),
    ("unevaluatedItems", "is not supported: use items"),
];

/// Refuses keywords of a subschema that cannot be evaluated in bounded time.
pub(super) fn refuse_unsupported(at: &str, schema: &Map<String, Value>) -> Result<(), Fault> {
    let found = UNSUPPORTED.iter().find(|(keyword, _)| schema.contains_key(*keyword));
    if let Some((keyword, why)) = found {
        return Err(Fault::new(format!("{at}/{keyword}"), *why));
    }
    // It would change what the references below it are relative to.
    if !at.is_empty() && schema.contains_key("$id") {
        return Err(Fault::new(format!("{at}/$id"), "is supported only at the root of the inputs"));
    }
    Ok(())
}

/// The subschema that a reference leads to.
pub(super) fn target(
    reference: &str,
    places: &HashMap<String, Id>,
    anchors: &HashMap<String, Id>,
) -> Option<Id> {
    let fragment = reference.strip_prefix('#')?;
    let fragment = percent_decode_str(fragment).decode_utf8().ok()?;
    let found = if fragment.is_empty() || fragment.starts_with('/') { places } else { anchors };
    found.get(fragment.as_ref()).copied()
}
