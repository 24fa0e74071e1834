//! What audit lists can be narrowed to.

use chrono::{DateTime, Utc};
use domain::{EntityId, Error, PlatformId, Result, UnixMillis};
use serde::{Deserialize, Deserializer, de::Error as _};
use uuid::Uuid;

use crate::slices::audit_types;

/// The longest action or actor that is looked for, in bytes.
const LONGEST: usize = 256;

/// What a list is narrowed to; the default is everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) platform: Option<PlatformId>,
    pub(crate) actor: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) thing: Option<Thing>,
    /// The earliest time.
    pub(crate) from: Option<DateTime<Utc>>,
    /// The time that ends the range and lies outside it.
    pub(crate) to: Option<DateTime<Utc>>,
}

/// The changed thing: all of a type, or one.
#[derive(Debug, Clone)]
pub(crate) enum Thing {
    Type(String),
    Id(String),
}

impl Filter {
    /// Refuses what could match nothing because it is no such value.
    ///
    /// # Errors
    /// [`domain::Kind::Validation`] with the name of the parameter; `action` is what this list calls its own.
    pub(crate) fn check(&self, action: &str) -> Result<()> {
        if self.action.as_deref().is_some_and(|text| !is_action(text)) {
            return Err(Error::invalid(action, "must be <thing>.<verb>, such as platform.suspended"));
        }
        if self.actor.as_deref().is_some_and(|text| text.is_empty() || text.len() > LONGEST) {
            return Err(Error::invalid("actorId", format!("must be 1 to {LONGEST} characters")));
        }
        if let (Some(from), Some(to)) = (self.from, self.to)
            && to < from
        {
            return Err(Error::invalid("to", "must not be before 'from'"));
        }
        Ok(())
    }

    /// Names the list, so that a cursor of another filter is refused.
    pub(crate) fn list(&self) -> String {
        format!("audit {self:?}")
    }

    /// Whether it narrows to nothing but a platform, whose entries are counted as they are written.
    pub(crate) fn is_plain(&self) -> bool {
        let Self { platform: _, actor, action, thing, from, to } = self;
        actor.is_none() && action.is_none() && thing.is_none() && from.is_none() && to.is_none()
    }
}

fn is_action(text: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
    text.len() <= LONGEST && text.split_once('.').is_some_and(|(thing, verb)| word(thing) && word(verb))
}

impl<'de> Deserialize<'de> for Thing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if audit_types().any(|name| name == text) {
            return Ok(Self::Type(text));
        }
        // Platforms, entities and stacks have ids of one shape, everything else a UUID.
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

/// A time of a query: RFC 3339 or milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment(pub(crate) DateTime<Utc>);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if let Ok(millis) = text.parse::<i64>() {
            return UnixMillis::parse(millis).map(|time| Self(time.time())).map_err(D::Error::custom);
        }
        let time = DateTime::parse_from_rfc3339(&text).map_err(|error| {
            D::Error::custom(format!("must be a time by RFC 3339, or milliseconds since 1970: {error}"))
        })?;
        Ok(Self(time.to_utc()))
    }
}
