//! The time, as the API tells it.

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};

/// The time now, cut to the milliseconds that the API answers, so that what is stored is what was answered.
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine")]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(3)
}

/// A time as sentences have it: RFC 3339 in UTC, to the second.
pub fn in_words(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// RFC 3339 in UTC with milliseconds: `#[serde(with = "kit::clock::rfc3339")]`, also for an `Option`.
pub mod rfc3339 {
    use chrono::{DateTime, SecondsFormat, Utc};
    use serde::{Deserialize, Deserializer, Serializer};

    /// A time or none; the two are written by one pair of functions.
    pub trait Time: Sized {
        /// The time, if there is one.
        fn time(&self) -> Option<DateTime<Utc>>;
        /// Makes it of what was read.
        ///
        /// # Errors
        /// When a time is needed and there is none.
        fn of(time: Option<DateTime<Utc>>) -> Result<Self, &'static str>;
    }

    impl Time for DateTime<Utc> {
        fn time(&self) -> Option<DateTime<Utc>> {
            Some(*self)
        }
        fn of(time: Option<DateTime<Utc>>) -> Result<Self, &'static str> {
            time.ok_or("must be a time")
        }
    }

    impl Time for Option<DateTime<Utc>> {
        fn time(&self) -> Option<DateTime<Utc>> {
            *self
        }
        fn of(time: Option<DateTime<Utc>>) -> Result<Self, &'static str> {
            Ok(time)
        }
    }

    /// Writes `2026-01-02T03:04:05.678Z` or null.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<T: Time, S: Serializer>(time: &T, serializer: S) -> Result<S::Ok, S::Error> {
        match time.time() {
            Some(time) => serializer.collect_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => serializer.serialize_none(),
        }
    }

    /// Reads what [`serialize`] wrote.
    ///
    /// # Errors
    /// When it is not a time.
    pub fn deserialize<'de, T: Time, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        T::of(Option::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
