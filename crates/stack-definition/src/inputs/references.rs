//! References between subschemas. A reference must lead to a subschema of the same schema.

use std::collections::HashMap;

use domain::Fault;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::graph::Id;

/// Message of a fault for a reference that leads to no subschema of the same schema.
pub(super) const ELSEWHERE: &str = "must refer to a subschema of these inputs, such as #/$defs/name";

/// Keywords that make the result of a subschema depend on the path to it, so that results could not be reused.
const UNSUPPORTED: [(&str, &str); 6] = [
    ("$dynamicRef", "is not supported: use $ref"),
    ("$dynamicAnchor", "is not supported: use $anchor"),
    ("$recursiveRef", "is not supported: use $ref"),
    ("$recursiveAnchor", "is not supported: use $anchor"),
    ("unevaluatedProperties", "is not supported: use additionalProperties"),
    ("unevaluatedItems", "is not supported: use items"),
];

/// Rejects keywords of a subschema that cannot be evaluated in bounded time.
pub(super) fn reject_unsupported(at: &str, schema: &Map<String, Value>) -> Result<(), Fault> {
    let found = UNSUPPORTED.iter().find(|(keyword, _)| schema.contains_key(*keyword));
    if let Some((keyword, why)) = found {
        return Err(Fault::new(format!("{at}/{keyword}"), *why));
    }
    // An inner `$id` would change the base of the references below it.
    if !at.is_empty() && schema.contains_key("$id") {
        return Err(Fault::new(format!("{at}/$id"), "is supported only at the root of the inputs"));
    }
    Ok(())
}

/// The subschema that a reference leads to.
pub(super) fn target(
    reference: &str,
    pointers: &HashMap<String, Id>,
    anchors: &HashMap<String, Id>,
) -> Option<Id> {
    let fragment = reference.strip_prefix('#')?;
    let fragment = percent_decode_str(fragment).decode_utf8().ok()?;
    let index = if fragment.is_empty() || fragment.starts_with('/') { pointers } else { anchors };
    index.get(fragment.as_ref()).copied()
}
