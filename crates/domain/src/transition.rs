//! What the lives of things have in common: a table of (from, event, to), and nothing lawful beside it.

use std::fmt::Display;

use serde::Serialize;

use crate::error::{Error, Kind, Result};

/// The status that `event` leads to, for a `thing` such as "a platform".
///
/// # Errors
/// [`Kind::InvalidTransition`], whose details name `from`, `event` and the events `allowed` now.
pub(crate) fn after<S, E>(table: &[(S, E, S)], thing: &str, from: S, event: E) -> Result<S>
where
    S: Copy + PartialEq + Display + Serialize,
    E: Copy + PartialEq + Display + Serialize,
{
    let row = table.iter().find(|(status, on, _)| (*status, *on) == (from, event));
    row.map(|(_, _, to)| *to).ok_or_else(|| {
        Error::new(Kind::InvalidTransition, format!("{thing} that is {from} cannot {event}"))
            .with("from", from)
            .with("event", event)
            .with("allowed", allowed(table, from))
    })
}

/// The events that may happen to what is `from`.
pub(crate) fn allowed<S: Copy + PartialEq, E: Copy>(table: &[(S, E, S)], from: S) -> Vec<E> {
    table.iter().filter(|(status, _, _)| *status == from).map(|(_, event, _)| *event).collect()
}
