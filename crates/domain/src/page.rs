//! Pages of a list, newest first, by keyset: page 10,000 costs what page 1 costs.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeZone, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Kind, Result};

/// How many things a page holds: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u8);

impl Limit {
    const MAX: u64 = 100;
    /// The first thing alone.
    pub const ONE: Self = Self(1);

    /// Reads `?limit=`: absent is 50, above 100 is cut to 100.
    ///
    /// # Errors
    /// [`Kind::Validation`] for anything that is not a whole number of 1 or more.
    pub fn parse(text: Option<&str>) -> Result<Self> {
        let Some(text) = text else { return Ok(Self::default()) };
        let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        // More digits than a u64 has is still a number above 100.
        let value = if digits { text.parse().unwrap_or(Self::MAX) } else { 0 };
        match u8::try_from(value.min(Self::MAX)) {
            Ok(limit) if limit > 0 => Ok(Self(limit)),
            _ => Err(Error::invalid("limit", "must be a whole number from 1 to 100")),
        }
    }

    /// Rows to ask the database for: one more than the page holds tells whether there is a next one.
    pub fn rows(self) -> i64 {
        i64::from(self.0) + 1
    }

    /// Things on a page.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

/// Where a page starts: after the thing with this time and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Creation time of the last thing seen, whole microseconds.
    pub at: DateTime<Utc>,
    /// Id of the last thing seen.
    pub id: String,
}

/// What the token holds: version, digest of the list and its filter, microseconds, id.
#[derive(Serialize, Deserialize)]
struct Token(u8, String, i64, String);

const TOKEN_VERSION: u8 = 1;

impl Cursor {
    /// The place before everything: where the first page starts.
    pub fn start() -> Self {
        // Above every id, and a time that Postgres still knows.
        Self {
            at: DateTime::from_timestamp(253_402_300_799, 0).unwrap_or(DateTime::<Utc>::MAX_UTC),
            id: "~".to_owned(),
        }
    }

    /// The opaque token of this place in the list that `list` names, filter included.
    pub fn encode(&self, list: &str) -> String {
        let token = Token(TOKEN_VERSION, digest(list), self.at.timestamp_micros(), self.id.clone());
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }

    /// Reads a token made for the same list and filter.
    ///
    /// # Errors
    /// [`Kind::InvalidCursor`] for a token that is not ours, of another version, list or filter.
    pub fn decode(token: &str, list: &str) -> Result<Self> {
        Self::read(token, list).ok_or_else(|| {
            Error::new(Kind::InvalidCursor, "The cursor is not one that this list and filter gave")
        })
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
    /// The things, newest first.
    pub items: Vec<T>,
    /// The token of the next page, if there is one.
    pub next: Option<String>,
    /// How many things the whole list has.
    pub total: Total,
}

/// How many things a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    Exact(i64),
    /// More than are worth counting: about so many.
    Estimate(i64),
}

impl From<i64> for Total {
    fn from(total: i64) -> Self {
        Self::Exact(total)
    }
}

impl<T> Page<T> {
    /// Makes a page of the rows of a query that asked for [`Limit::rows`].
    pub fn new(
        mut items: Vec<T>,
        limit: Limit,
        total: impl Into<Total>,
        list: &str,
        place: impl Fn(&T) -> Cursor,
    ) -> Self {
        let more = items.len() > limit.get();
        items.truncate(limit.get());
        let next = if more { items.last().map(|last| place(last).encode(list)) } else { None };
        Self { items, next, total: total.into() }
    }

    /// The same page with each item converted: rows to what the API shows of them.
    pub fn convert<U: for<'a> From<&'a T>>(self) -> Page<U> {
        Page { items: self.items.iter().map(U::from).collect(), next: self.next, total: self.total }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn limits() {
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
        fn a_cursor_reads_back_for_its_list_alone(micros in -62_135_596_800_000_000i64..253_402_300_799_999_999, id in "[a-z0-9-]{1,36}", list in ".{0,20}", other in ".{0,20}") {
            let cursor = Cursor { at: Utc.timestamp_micros(micros).unwrap(), id };
            let token = cursor.encode(&list);
            prop_assert_eq!(Cursor::decode(&token, &list).unwrap(), cursor);
            if list != other {
                prop_assert_eq!(Cursor::decode(&token, &other).unwrap_err().kind(), Kind::InvalidCursor);
            }
        }

        #[test]
        fn no_text_panics(token in "\\PC*") {
            let _ = Cursor::decode(&token, "list");
        }

        #[test]
        fn a_changed_token_is_refused_or_reads(token in "[A-Za-z0-9_-]{0,60}") {
            let _ = Cursor::decode(&token, "list");
        }
    }

    #[test]
    fn a_page_knows_its_next() {
        let at = Utc.timestamp_micros(0).unwrap();
        let place = |id: &u32| Cursor { at, id: id.to_string() };
        let limit = Limit::parse(Some("2")).unwrap();
        let page = Page::new(vec![1, 2, 3], limit, 3, "l", place);
        assert_eq!(page.items, [1, 2]);
        assert_eq!(Cursor::decode(&page.next.unwrap(), "l").unwrap().id, "2");
        assert!(Page::new(vec![1, 2], limit, 2, "l", place).next.is_none());
    }
}
