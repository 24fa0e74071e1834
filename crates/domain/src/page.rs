//! Keyset pagination of lists, newest first. Page 10,000 costs the same as page 1.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeZone, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Kind, Result};

/// Number of items on a page: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u8);

impl Limit {
    const MAX: u64 = 100;
    /// A page of one item.
    pub const ONE: Self = Self(1);

    /// Reads `?limit=`. The default is 50, and a value above 100 is reduced to 100.
    ///
    /// # Errors
    /// [`Kind::Validation`] for anything that is not a whole number of 1 or more.
    pub fn parse(text: Option<&str>) -> Result<Self> {
        let Some(text) = text else { return Ok(Self::default()) };
        let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        // A number that is too large for a u64 is still above 100.
        let value = if digits { text.parse().unwrap_or(Self::MAX) } else { 0 };
        match u8::try_from(value.min(Self::MAX)) {
            Ok(limit) if limit > 0 => Ok(Self(limit)),
            _ => Err(Error::invalid("limit", "must be a whole number from 1 to 100")),
        }
    }

    /// Number of rows to query: one more than the page holds shows whether a next page exists.
    pub fn rows(self) -> i64 {
        i64::from(self.0) + 1
    }

    /// Number of items on a page.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

/// Position in a list. A page starts after the item with this time and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Creation time of the last item of the page before, in whole microseconds.
    pub at: DateTime<Utc>,
    /// Id of the last item of the page before.
    pub id: String,
}

/// Content of a page token: version, digest of the list and its filter, microseconds, id.
#[derive(Serialize, Deserialize)]
struct Token(u8, String, i64, String);

const TOKEN_VERSION: u8 = 1;

impl Cursor {
    /// The position before the first item.
    pub fn start() -> Self {
        // Above every id, and within the range of PostgreSQL's timestamps.
        Self {
            at: DateTime::from_timestamp(253_402_300_799, 0).unwrap_or(DateTime::<Utc>::MAX_UTC),
            id: "~".to_owned(),
        }
    }

    /// The opaque token of this position in `list`, which names the list and its filter.
    pub fn encode(&self, list: &str) -> String {
        let token = Token(TOKEN_VERSION, digest(list), self.at.timestamp_micros(), self.id.clone());
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }

    /// Reads a token of the same list and filter.
    ///
    /// # Errors
    /// [`Kind::InvalidCursor`] for a malformed token, and for one of a different version, list or filter.
    pub fn decode(token: &str, list: &str) -> Result<Self> {
        let message = "The cursor does not belong to this list and filter. Start again without a cursor.";
        Self::read(token, list).ok_or_else(|| Error::new(Kind::InvalidCursor, message))
    }

    fn read(token: &str, list: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let Token(version, of, micros, id) = serde_json::from_slice(&bytes).ok()?;
        let at = Utc.timestamp_micros(micros).single()?;
        (version == TOKEN_VERSION && of == digest(list) && !id.contains('\0')).then_some(Self { at, id })
    }
}

fn digest(list: &str) -> String {
    let hash = Sha256::digest(list.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.get(..6).unwrap_or_default())
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// The token of the next page, if there is one.
    pub next: Option<String>,
    /// Number of items in the whole list.
    pub total: Total,
}

/// Number of items in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    Exact(i64),
    /// Approximate number, for a list that is too long to count.
    Estimate(i64),
}

impl From<i64> for Total {
    fn from(total: i64) -> Self {
        Self::Exact(total)
    }
}

impl<T> Page<T> {
    /// Makes a page of the rows of a query for [`Limit::rows`] rows. `cursor` returns the position of an item.
    pub fn new(
        mut items: Vec<T>,
        limit: Limit,
        total: impl Into<Total>,
        list: &str,
        cursor: impl Fn(&T) -> Cursor,
    ) -> Self {
        let more = items.len() > limit.get();
        items.truncate(limit.get());
        let next = if more { items.last().map(|last| cursor(last).encode(list)) } else { None };
        Self { items, next, total: total.into() }
    }

    /// The same page with each item converted, such as a row to its API representation.
    pub fn convert<U: From<T>>(self) -> Page<U> {
        Page { items: self.items.into_iter().map(U::from).collect(), next: self.next, total: self.total }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn limit_is_at_least_1_and_reduced_to_100() {
        let read = |text| Limit::parse(Some(text)).map(Limit::get).map_err(|e| e.kind());
        assert_eq!(Limit::parse(None).unwrap().get(), 50);
        assert_eq!(read("1"), Ok(1));
        assert_eq!(read("100"), Ok(100));
        assert_eq!(read("101"), Ok(100));
        assert_eq!(read("99999999999999999999999"), Ok(100));
        for bad in ["0", "-1", "", "1.5", "ten", " 1", "+1", "00"] {
            assert_eq!(read(bad), Err(Kind::Validation), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn cursor_is_valid_only_for_its_list(micros in -62_135_596_800_000_000i64..253_402_300_799_999_999, id in "[a-z0-9-]{1,36}", list in ".{0,20}", other in ".{0,20}") {
            let cursor = Cursor { at: Utc.timestamp_micros(micros).unwrap(), id };
            let token = cursor.encode(&list);
            prop_assert_eq!(Cursor::decode(&token, &list).unwrap(), cursor);
            if list != other {
                prop_assert_eq!(Cursor::decode(&token, &other).unwrap_err().kind(), Kind::InvalidCursor);
            }
        }

        #[test]
        fn decoding_never_panics(token in "\\PC*") {
            let _ = Cursor::decode(&token, "list");
        }

        #[test]
        fn decoding_of_base64_never_panics(token in "[A-Za-z0-9_-]{0,60}") {
            let _ = Cursor::decode(&token, "list");
        }
    }

    #[test]
    fn page_has_a_next_token_only_if_more_rows_exist() {
        let at = Utc.timestamp_micros(0).unwrap();
        let cursor = |id: &u32| Cursor { at, id: id.to_string() };
        let limit = Limit::parse(Some("2")).unwrap();
        let page = Page::new(vec![1, 2, 3], limit, 3, "l", cursor);
        assert_eq!(page.items, [1, 2]);
        assert_eq!(Cursor::decode(&page.next.unwrap(), "l").unwrap().id, "2");
        assert!(Page::new(vec![1, 2], limit, 2, "l", cursor).next.is_none());
    }
}
