//! Transition tables of (from, event, to). A transition that is not in its table is invalid.

use std::fmt::Display;

use serde::Serialize;

use crate::error::{Error, Kind, Result};

/// The status after `event`. `object` names the object in the error message, such as "a platform".
///
/// # Errors
/// [`Kind::InvalidTransition`], whose details contain `from`, `event` and the events `allowed` now.
pub(crate) fn after<S, E>(table: &[(S, E, S)], object: &str, from: S, event: E) -> Result<S>
where
    S: Copy + PartialEq + Display + Serialize,
    E: Copy + PartialEq + Display + Serialize,
{
    let row = table.iter().find(|(status, on, _)| (*status, *on) == (from, event));
    row.map(|(_, _, to)| *to).ok_or_else(|| {
        let message = format!("The status of {object} is {from}, which does not allow the event {event}.");
        Error::new(Kind::InvalidTransition, message)
            .with("from", from)
            .with("event", event)
            .with("allowed", allowed(table, from))
    })
}

/// The events that the status `from` allows.
pub(crate) fn allowed<S: Copy + PartialEq, E: Copy>(table: &[(S, E, S)], from: S) -> Vec<E> {
    table.iter().filter(|(status, _, _)| *status == from).map(|(_, event, _)| *event).collect()
}

/// Compares a transition table with a second copy of it, written as texts, for every status and event.
#[cfg(test)]
pub(crate) fn check<S: Copy + Display, E: Copy + Display>(
    statuses: &[S],
    events: &[E],
    after: impl Fn(S, E) -> Result<S>,
    expected: impl Fn(&str, &str) -> Option<&'static str>,
) {
    for (from, event) in statuses.iter().flat_map(|from| events.iter().map(move |event| (*from, *event))) {
        let got = after(from, event).map(|to| to.to_string());
        let (from, event) = (from.to_string(), event.to_string());
        match (expected(&from, &event), got) {
            (Some(to), got) => assert_eq!(got.unwrap(), to, "{from} {event}"),
            (None, got) => {
                let error = got.unwrap_err();
                assert_eq!(error.kind(), crate::Kind::InvalidTransition);
                assert_eq!(
                    (&error.details()["from"], &error.details()["event"]),
                    (&from.clone().into(), &event.into())
                );
                let events = events.iter().map(E::to_string);
                let allowed: Vec<_> = events.filter(|event| expected(&from, event).is_some()).collect();
                assert_eq!(error.details()["allowed"], serde_json::json!(allowed), "{from}");
            }
        }
    }
}
