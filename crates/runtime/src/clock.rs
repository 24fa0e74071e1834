//! Clocks, and the text form of times.

use std::{sync::Arc, time::Instant};

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};

/// Returns the current time, truncated to the milliseconds that the API reports, so that stored and reported times are
/// equal.
#[expect(clippy::disallowed_methods, reason = "the only place that reads the system clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(3)
}

/// The wall clock and the monotonic clock of one machine.
///
/// A cache needs both. Other machines judge expiry by the wall clock, which can be stepped. The monotonic clock cannot
/// be stepped, but it stops while the machine is suspended. An entry is fresh only while it is fresh by both.
#[derive(Clone)]
pub struct Clocks {
    wall: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    monotonic: Arc<dyn Fn() -> Instant + Send + Sync>,
}

impl Clocks {
    /// The clocks of this machine.
    pub fn system() -> Self {
        Self::new(now, Instant::now)
    }

    /// Clocks that read these functions.
    pub fn new(
        wall: impl Fn() -> DateTime<Utc> + Send + Sync + 'static,
        monotonic: impl Fn() -> Instant + Send + Sync + 'static,
    ) -> Self {
        Self { wall: Arc::new(wall), monotonic: Arc::new(monotonic) }
    }

    /// Returns the time of the wall clock, in seconds since the Unix epoch.
    pub fn unix_seconds(&self) -> u64 {
        u64::try_from((self.wall)().timestamp()).unwrap_or_default()
    }

    /// Returns the time of the monotonic clock.
    pub fn monotonic(&self) -> Instant {
        (self.monotonic)()
    }
}

impl std::fmt::Debug for Clocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clocks({})", (self.wall)())
    }
}

/// Formats a time as RFC 3339 in UTC, to the second, for use in messages.
pub fn rfc3339_seconds(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// RFC 3339 in UTC with milliseconds: `#[serde(with = "crate::clock::rfc3339")]`, also for an `Option`.
pub mod rfc3339 {
    use chrono::{DateTime, SecondsFormat, Utc};
    use serde::{Deserialize, Deserializer, Serializer};

    /// `DateTime<Utc>` or `Option<DateTime<Utc>>`, so that one pair of functions serializes both.
    pub trait Time: Sized {
        /// Returns the time, if there is one.
        fn time(&self) -> Option<DateTime<Utc>>;
        /// Creates the value from the deserialized time.
        ///
        /// # Errors
        /// When a time is required and there is none.
        fn from_time(time: Option<DateTime<Utc>>) -> Result<Self, &'static str>;
    }

    impl Time for DateTime<Utc> {
        fn time(&self) -> Option<DateTime<Utc>> {
            Some(*self)
        }
        fn from_time(time: Option<DateTime<Utc>>) -> Result<Self, &'static str> {
            time.ok_or("must be a time")
        }
    }

    impl Time for Option<DateTime<Utc>> {
        fn time(&self) -> Option<DateTime<Utc>> {
            *self
        }
        fn from_time(time: Option<DateTime<Utc>>) -> Result<Self, &'static str> {
            Ok(time)
        }
    }

    /// Writes a time such as `2026-01-02T03:04:05.678Z`, or null.
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
    /// When the value is not a time.
    pub fn deserialize<'de, T: Time, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        T::from_time(Option::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
