//! Times in requests.

use chrono::{DateTime, TimeZone, Utc};
use serde::{Deserialize, Deserializer};

/// The last millisecond of the year 9999: RFC 3339 has four digits for the year.
const MAX: i64 = 253_402_300_799_999;

/// Time in Unix milliseconds, within the years 1970 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnixMillis(DateTime<Utc>);

impl UnixMillis {
    /// Reads a number of milliseconds.
    ///
    /// # Errors
    /// A predicate that states the fault.
    pub fn parse(millis: i64) -> Result<Self, String> {
        let time = if (0..=MAX).contains(&millis) { Utc.timestamp_millis_opt(millis).single() } else { None };
        time.map(Self).ok_or_else(|| format!("must be Unix milliseconds from 0 to {MAX}"))
    }

    /// The time.
    pub fn time(self) -> DateTime<Utc> {
        self.0
    }
}

impl<'de> Deserialize<'de> for UnixMillis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for UnixMillis {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::Type::Integer)
            .description(Some("Unix milliseconds"))
            .minimum(Some(0))
            .maximum(Some(MAX))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for UnixMillis {
    fn name() -> std::borrow::Cow<'static, str> {
        "UnixMillis".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_times_of_the_years_1970_to_9999_are_valid() {
        assert_eq!(UnixMillis::parse(0).unwrap().time().to_rfc3339(), "1970-01-01T00:00:00+00:00");
        assert_eq!(UnixMillis::parse(MAX).unwrap().time().to_rfc3339(), "9999-12-31T23:59:59.999+00:00");
        for bad in [-1, MAX + 1, i64::MIN, i64::MAX] {
            assert!(UnixMillis::parse(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<UnixMillis>("1.5").is_err());
    }
}
