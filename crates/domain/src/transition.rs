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

/// Holds a table of transitions to the same table written a second time, as texts: for every status and event.
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
