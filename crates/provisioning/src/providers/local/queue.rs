//! Durable message queue. A message stays in the queue until its receiver acknowledges it.

use std::time::Duration;

use rusqlite::TransactionBehavior;

use super::root_dir::TargetPaths;
use super::sqlite::Database;
use crate::providers::{Clock, ProviderError};

/// Maximum length of a message in bytes.
pub const MAX_MESSAGE_BYTES: usize = 128 * 1024;

/// Tables of a queue.
pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        body BLOB NOT NULL,
        sent_at INTEGER NOT NULL,
        visible_at INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        receipt TEXT UNIQUE
    );
    CREATE INDEX IF NOT EXISTS messages_visible ON messages (visible_at, id);";

/// Message queue. Clones share one connection.
#[derive(Clone, Debug)]
pub struct Queue {
    database: Database,
    clock: Clock,
}

/// Received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Id of the message; ids increase in the order of sending.
    pub id: i64,
    /// Content of the message.
    pub body: Vec<u8>,
    /// Time of sending in Unix milliseconds.
    pub sent_at: i64,
    /// Number of times the message was received, including this time.
    pub attempts: i64,
    /// Acknowledges the message. Becomes invalid when the message is received again.
    pub receipt: String,
}

/// Number of messages in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Messages that can be received now.
    pub visible: i64,
    /// Messages that were received and not acknowledged, or sent or released with a delay.
    pub hidden: i64,
}

impl Queue {
    pub(super) fn new(paths: TargetPaths, clock: Clock) -> Self {
        Self { database: Database::new(paths), clock }
    }

    /// Adds a message that can be received after `delay`, and returns its id. The message is on disk when this returns.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], permanent if the queue does not exist or the message is too long.
    pub async fn send(&self, body: Vec<u8>, delay: Duration) -> Result<i64, ProviderError> {
        if body.len() > MAX_MESSAGE_BYTES {
            return Err(ProviderError::permanent(format!(
                "a message must have at most {MAX_MESSAGE_BYTES} bytes"
            )));
        }
        let (now, visible_at) = (self.clock.now(), self.clock.after(delay));
        self.database
            .call(move |connection| {
                connection
                    .prepare_cached(
                        "INSERT INTO messages (body, sent_at, visible_at) VALUES (?1, ?2, ?3) RETURNING id",
                    )?
                    .query_row((body, now, visible_at), |row| row.get(0))
            })
            .await
    }

    /// Receives at most `limit` messages, oldest first, and hides them from other receivers for `hidden`.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], permanent if the queue does not exist.
    pub async fn receive(&self, limit: u32, hidden: Duration) -> Result<Vec<Message>, ProviderError> {
        let (now, visible_at) = (self.clock.now(), self.clock.after(hidden));
        self.database
            .call(move |connection| {
                let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let mut messages = tx
                    .prepare_cached(
                        "UPDATE messages
                         SET visible_at = ?1, attempts = attempts + 1, receipt = lower(hex(randomblob(16)))
                         WHERE id IN (
                             SELECT id FROM messages WHERE visible_at <= ?2 ORDER BY visible_at, id LIMIT ?3
                         )
                         RETURNING id, body, sent_at, attempts, receipt",
                    )?
                    .query_map((visible_at, now, limit), |row| {
                        Ok(Message {
                            id: row.get(0)?,
                            body: row.get(1)?,
                            sent_at: row.get(2)?,
                            attempts: row.get(3)?,
                            receipt: row.get(4)?,
                        })
                    })?
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                tx.commit()?;
                // `RETURNING` guarantees no order.
                messages.sort_unstable_by_key(|message| message.id);
                Ok(messages)
            })
            .await
    }

    /// Removes the message that was received with `receipt`. Returns true if that was still the latest receipt.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], permanent if the queue does not exist.
    pub async fn ack(&self, receipt: &str) -> Result<bool, ProviderError> {
        let receipt = receipt.to_owned();
        self.database
            .call(move |connection| {
                let removed = connection
                    .prepare_cached("DELETE FROM messages WHERE receipt = ?1")?
                    .execute([receipt])?;
                Ok(removed > 0)
            })
            .await
    }

    /// Returns the message that was received with `receipt` to the queue, to be received again after `delay`. Returns
    /// true if that was still the latest receipt.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], permanent if the queue does not exist.
    pub async fn release(&self, receipt: &str, delay: Duration) -> Result<bool, ProviderError> {
        let receipt = receipt.to_owned();
        let visible_at = self.clock.after(delay);
        self.database
            .call(move |connection| {
                let released = connection
                    .prepare_cached("UPDATE messages SET visible_at = ?2, receipt = NULL WHERE receipt = ?1")?
                    .execute((receipt, visible_at))?;
                Ok(released > 0)
            })
            .await
    }

    /// Returns the number of messages in the queue.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], permanent if the queue does not exist.
    pub async fn depth(&self) -> Result<Depth, ProviderError> {
        let now = self.clock.now();
        self.database
            .call(move |connection| {
                connection.query_row(
                    "SELECT count(*) FILTER (WHERE visible_at <= ?1), count(*) FILTER (WHERE visible_at > ?1)
                     FROM messages",
                    [now],
                    |row| Ok(Depth { visible: row.get(0)?, hidden: row.get(1)? }),
                )
            })
            .await
    }
}
