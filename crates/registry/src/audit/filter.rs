//! Filters of the audit lists.

use chrono::{DateTime, Utc};
use domain::{EntityId, Error, PlatformId, Result, UnixMillis};
use serde::{Deserialize, Deserializer, de::Error as _};
use uuid::Uuid;

use crate::slices::audit_types;

/// Maximum length of an action or actor in a filter, in bytes.
const MAX_LENGTH: usize = 256;

/// Filter of a list. The default matches every entry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) platform: Option<PlatformId>,
    pub(crate) actor: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) object: Option<ObjectFilter>,
    /// Start of the range, inclusive.
    pub(crate) from: Option<DateTime<Utc>>,
    /// End of the range, exclusive.
    pub(crate) to: Option<DateTime<Utc>>,
}

/// The changed object: all of a type, or one.
#[derive(Debug, Clone)]
pub(crate) enum ObjectFilter {
    Type(String),
    Id(String),
}

impl Filter {
    /// Rejects values that cannot match any entry.
    ///
    /// # Errors
    /// [`domain::Kind::Validation`] with the name of the parameter. `action` is the name of the action parameter in
    /// this list.
    pub(crate) fn check(&self, action: &str) -> Result<()> {
        if self.action.as_deref().is_some_and(|text| !is_action(text)) {
            return Err(Error::invalid(action, "must be <object>.<verb>, such as platform.suspended"));
        }
        if self.actor.as_deref().is_some_and(|text| text.is_empty() || text.len() > MAX_LENGTH) {
            return Err(Error::invalid("actorId", format!("must be 1 to {MAX_LENGTH} characters")));
        }
        if let (Some(from), Some(to)) = (self.from, self.to)
            && to < from
        {
            return Err(Error::invalid("to", "must not be before 'from'"));
        }
        Ok(())
    }

    /// Name of the list, so that a cursor from a different filter is rejected.
    pub(crate) fn list(&self) -> String {
        format!("audit {self:?}")
    }

    /// Returns true if the filter restricts at most the platform. The counters of the log then provide the total.
    pub(crate) fn is_unfiltered(&self) -> bool {
        let Self { platform: _, actor, action, object, from, to } = self;
        actor.is_none() && action.is_none() && object.is_none() && from.is_none() && to.is_none()
    }
}

fn is_action(text: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
    text.len() <= MAX_LENGTH && text.split_once('.').is_some_and(|(object, verb)| word(object) && word(verb))
}

impl<'de> Deserialize<'de> for ObjectFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if audit_types().any(|name| name == text) {
            return Ok(Self::Type(text));
        }
        // Platforms, entities and stacks share one format of ids; all other objects have UUIDs.
        if EntityId::parse(&text).is_ok() {
            return Ok(Self::Id(text));
        }
        match Uuid::parse_str(&text) {
            Ok(id) => Ok(Self::Id(id.to_string())),
            Err(_) => {
                let types: Vec<&str> = audit_types().collect();
                Err(D::Error::custom(format!("must be an id, or one of {}", types.join(", "))))
            }
        }
    }
}

/// Time in a query: RFC 3339, or milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueryTime(pub(crate) DateTime<Utc>);

impl<'de> Deserialize<'de> for QueryTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if let Ok(millis) = text.parse::<i64>() {
            return UnixMillis::parse(millis).map(|time| Self(time.time())).map_err(D::Error::custom);
        }
        let time = DateTime::parse_from_rfc3339(&text).map_err(|error| {
            D::Error::custom(format!("must be an RFC 3339 time, or milliseconds since 1970: {error}"))
        })?;
        Ok(Self(time.to_utc()))
    }
}
