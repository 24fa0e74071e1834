//! A durable queue: a message stays until the one who received it says it is done.

use std::time::Duration;

use rusqlite::TransactionBehavior;

use super::place::Spot;
use super::sqlite::Database;
use crate::providers::{Clock, ProviderError};

/// The most bytes of a message.
pub const MAX_MESSAGE_BYTES: usize = 128 * 1024;

/// The tables of a queue.
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

/// A queue. Cheap to clone; its clones share one connection.
#[derive(Clone, Debug)]
pub struct Queue {
    database: Database,
    clock: Clock,
}

/// A message that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Grows with every message sent to the queue.
    pub id: i64,
    /// What was sent.
    pub body: Vec<u8>,
    /// When it was sent, in Unix milliseconds.
    pub sent_at: i64,
    /// How often it has been received, this time included.
    pub attempts: i64,
    /// Says that this receiver is done with it; worth nothing once somebody else has received the message.
    pub receipt: String,
}

/// How much there is in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Messages that can be received now.
    pub visible: i64,
    /// Messages that somebody has received, or that were sent or given back with a delay.
    pub hidden: i64,
}

impl Queue {
    pub(super) fn new(spot: Spot, clock: Clock) -> Self {
        Self { database: Database::new(spot), clock }
    }

    /// Adds a message, to be received after `delay`; its id. It is on disk when this returns.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], permanent if the queue does not exist or the message is too long.
    pub async fn send(&self, body: Vec<u8>, delay: Duration) -> Result<i64, ProviderError> {
        if body.len() > MAX_MESSAGE_BYTES {
            return Err(ProviderError::permanent(format!("a message has at most {MAX_MESSAGE_BYTES} bytes")));
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

    /// Takes at most `most` messages, the oldest first, and hides them from everybody else for `hidden`.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], permanent if the queue does not exist.
    pub async fn receive(&self, most: u32, hidden: Duration) -> Result<Vec<Message>, ProviderError> {
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
                    .query_map((visible_at, now, most), |row| {
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
                // RETURNING promises no order.
                messages.sort_unstable_by_key(|message| message.id);
                Ok(messages)
            })
            .await
    }

    /// Removes the message that was received with `receipt`; says whether that was still the latest receipt.
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

    /// Gives the message that was received with `receipt` back, to be received again after `delay`; says whether that
    /// was still the latest receipt.
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

    /// How much there is in the queue.
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
