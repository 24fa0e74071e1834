//! KV namespace: values by key, with optional expiry.

use std::time::Duration;

use rusqlite::{OptionalExtension as _, TransactionBehavior};

use super::root_dir::TargetPaths;
use super::sqlite::Database;
use crate::providers::{Clock, ProviderError};

/// Maximum length of a key in bytes.
pub const MAX_KEY_BYTES: usize = 512;
/// Maximum length of a value in bytes.
pub const MAX_VALUE_BYTES: usize = 25 * 1024 * 1024;

/// Tables of a namespace. Text keys compare as bytes, so that a prefix is a range of the primary key.
pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS entries (
        key TEXT NOT NULL PRIMARY KEY,
        value BLOB NOT NULL,
        expires_at INTEGER
    );
    CREATE INDEX IF NOT EXISTS entries_expiring ON entries (expires_at) WHERE expires_at IS NOT NULL;";

/// KV namespace. Clones share one connection.
#[derive(Clone, Debug)]
pub struct KvStore {
    database: Database,
    clock: Clock,
}

/// Key with its expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvKey {
    /// The key.
    pub name: String,
    /// Time of expiry in Unix milliseconds, if the key expires.
    pub expires_at: Option<i64>,
}

/// Page of the keys of a namespace, ordered by bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvPage {
    /// The keys.
    pub keys: Vec<KvKey>,
    /// Last key of this page if there are more.
    pub cursor: Option<String>,
}

impl KvStore {
    pub(super) fn new(paths: TargetPaths, clock: Clock) -> Self {
        Self { database: Database::new(paths), clock }
    }

    /// Returns the value of `key`, unless it has expired.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], permanent if the namespace does not exist.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ProviderError> {
        let (key, now) = (key.to_owned(), self.clock.now());
        self.database
            .call(move |connection| {
                connection
                    .prepare_cached(
                        "SELECT value FROM entries WHERE key = ?1 AND (expires_at IS NULL OR expires_at > ?2)",
                    )?
                    .query_row((key, now), |row| row.get(0))
                    .optional()
            })
            .await
    }

    /// Sets the value of `key`, which expires after `ttl` if given. The value is on disk when this returns.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], permanent if the namespace does not exist or the key or value is too long.
    pub async fn put(&self, key: &str, value: Vec<u8>, ttl: Option<Duration>) -> Result<(), ProviderError> {
        if !(1..=MAX_KEY_BYTES).contains(&key.len()) {
            return Err(ProviderError::permanent(format!("a key must have 1 to {MAX_KEY_BYTES} bytes")));
        }
        if value.len() > MAX_VALUE_BYTES {
            return Err(ProviderError::permanent(format!(
                "a value must have at most {MAX_VALUE_BYTES} bytes"
            )));
        }
        let (key, now) = (key.to_owned(), self.clock.now());
        let expires_at = ttl.map(|ttl| self.clock.after(ttl));
        self.database
            .call(move |connection| {
                let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                // Expired values are removed only here.
                tx.prepare_cached("DELETE FROM entries WHERE expires_at <= ?1")?.execute([now])?;
                tx.prepare_cached(
                    "INSERT INTO entries (key, value, expires_at) VALUES (?1, ?2, ?3)
                     ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at",
                )?
                .execute((key, value, expires_at))?;
                tx.commit()
            })
            .await
    }

    /// Removes `key`. Returns true if it existed.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], permanent if the namespace does not exist.
    pub async fn delete(&self, key: &str) -> Result<bool, ProviderError> {
        let (key, now) = (key.to_owned(), self.clock.now());
        self.database
            .call(move |connection| {
                let unexpired: Option<bool> = connection
                    .prepare_cached(
                        "DELETE FROM entries WHERE key = ?1 RETURNING expires_at IS NULL OR expires_at > ?2",
                    )?
                    .query_row((key, now), |row| row.get(0))
                    .optional()?;
                Ok(unexpired == Some(true))
            })
            .await
    }

    /// Returns at most `limit` keys (at least one) that start with `prefix`, after the key `cursor`.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], permanent if the namespace does not exist.
    pub async fn list(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<KvPage, ProviderError> {
        let (prefix, cursor, now) = (prefix.to_owned(), cursor.map(str::to_owned), self.clock.now());
        self.database
            .call(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT key, expires_at FROM entries
                     WHERE key >= ?1 AND (?2 IS NULL OR key > ?2) AND (expires_at IS NULL OR expires_at > ?3)
                     ORDER BY key",
                )?;
                let mut rows = statement.query((&prefix, &cursor, now))?;
                let mut page = KvPage { keys: Vec::new(), cursor: None };
                while let Some(row) = rows.next()? {
                    let key = KvKey { name: row.get(0)?, expires_at: row.get(1)? };
                    if !key.name.starts_with(&prefix) {
                        break;
                    }
                    if page.keys.len() >= limit.max(1) {
                        page.cursor = page.keys.last().map(|last| last.name.clone());
                        break;
                    }
                    page.keys.push(key);
                }
                Ok(page)
            })
            .await
    }
}
