//! The control interface of a fake provider: setting its script and reading its state.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;

use crate::FakeProvider;
use crate::script::{Rule, Script};
use crate::state::{self, Call, LiveTarget, sql};
use provisioning::providers::{ErrorContext as _, ProviderError, Target};

/// Numbers of effects on targets of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Targets that exist.
    pub live: u64,
    /// Creations.
    pub created: u64,
    /// Changes to a different spec.
    pub changed: u64,
    /// Removals.
    pub destroyed: u64,
}

impl FakeProvider {
    /// Sets the script for all users of this provider. Its rules count calls from now on. Calls that hang without a
    /// duration continue.
    ///
    /// # Errors
    ///
    /// A [`ProviderError`] with the message of SQLite.
    pub async fn set_script(&self, script: Script) -> Result<(), ProviderError> {
        self.call(move |connection| state::set_script(connection, &script)).await
    }

    /// Sets a script that consists of `rules` only; see [`FakeProvider::set_script`].
    ///
    /// # Errors
    ///
    /// A [`ProviderError`] with the message of SQLite.
    pub async fn follow(&self, rules: impl Into<Vec<Rule>>) -> Result<(), ProviderError> {
        self.set_script(Script { rules: rules.into(), ..Script::default() }).await
    }

    /// Returns the current script.
    ///
    /// # Errors
    ///
    /// A [`ProviderError`] with the message of SQLite.
    pub async fn script(&self) -> Result<Script, ProviderError> {
        self.call(|connection| state::script(connection)).await
    }

    /// Returns all calls, oldest first.
    ///
    /// # Errors
    ///
    /// A [`ProviderError`] with the message of SQLite.
    pub async fn calls(&self) -> Result<Vec<Call>, ProviderError> {
        self.call(|connection| {
            let rows = rows(
                connection,
                "SELECT seq, at, operation, identity, outcome FROM calls ORDER BY seq",
                |row| {
                    let outcome: Option<String> = row.get(4)?;
                    let call = Call {
                        number: row.get(0)?,
                        at: row.get(1)?,
                        operation: row.get(2)?,
                        identity: row.get(3)?,
                        outcome: None,
                    };
                    Ok((call, outcome))
                },
            )?;
            rows.into_iter()
                .map(|(call, outcome)| {
                    let outcome = outcome.map(|text| serde_json::from_str(&text)).transpose();
                    Ok(Call { outcome: outcome.during(|| "reading the outcome".to_owned())?, ..call })
                })
                .collect()
        })
        .await
    }

    /// Returns the targets that exist, in the order of their creation.
    ///
    /// # Errors
    ///
    /// A [`ProviderError`] with the message of SQLite.
    pub async fn live(&self) -> Result<Vec<LiveTarget>, ProviderError> {
        self.call(|connection| {
            rows(connection, "SELECT identity, kind, name, provider_id FROM targets ORDER BY seq", |row| {
                Ok(LiveTarget {
                    identity: row.get(0)?,
                    kind: row.get(1)?,
                    name: row.get(2)?,
                    provider_id: row.get(3)?,
                })
            })
        })
        .await
    }

    /// Returns the targets that exist and are not in `expected`.
    ///
    /// # Errors
    ///
    /// A [`ProviderError`] with the message of SQLite.
    pub async fn orphans(&self, expected: &[Target]) -> Result<Vec<LiveTarget>, ProviderError> {
        let expected: BTreeSet<String> = expected.iter().map(Target::identity).collect();
        let mut live = self.live().await?;
        live.retain(|found| !expected.contains(&found.identity));
        Ok(live)
    }

    /// Returns the identities of which more than one target exists.
    ///
    /// # Errors
    ///
    /// A [`ProviderError`] with the message of SQLite.
    pub async fn duplicates(&self) -> Result<Vec<String>, ProviderError> {
        self.call(|connection| {
            let query =
                "SELECT identity FROM targets GROUP BY identity HAVING count(*) > 1 ORDER BY identity";
            rows(connection, query, |row| row.get(0))
        })
        .await
    }

    /// Returns the identities that were created more than once, even if the first target no longer exists.
    ///
    /// # Errors
    ///
    /// A [`ProviderError`] with the message of SQLite.
    pub async fn recreated(&self) -> Result<Vec<String>, ProviderError> {
        self.call(|connection| {
            let query = "SELECT identity FROM effects WHERE effect = 'created'
                 GROUP BY identity HAVING count(*) > 1 ORDER BY identity";
            rows(connection, query, |row| row.get(0))
        })
        .await
    }

    /// Returns the numbers of effects by
    /// [`ResourceKind::as_str`](provisioning::providers::ResourceKind::as_str) of the kind.
    ///
    /// # Errors
    ///
    /// A [`ProviderError`] with the message of SQLite.
    pub async fn counts(&self) -> Result<BTreeMap<String, Counts>, ProviderError> {
        self.call(|connection| {
            let query = "SELECT kind, effect, count(*) FROM effects GROUP BY kind, effect
                 UNION ALL SELECT kind, 'live', count(*) FROM targets GROUP BY kind";
            let rows: Vec<(String, String, i64)> =
                rows(connection, query, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            let mut counts = BTreeMap::<String, Counts>::new();
            for (kind, what, count) in rows {
                let counts = counts.entry(kind).or_default();
                let count = u64::try_from(count).unwrap_or_default();
                match what.as_str() {
                    "created" => counts.created = count,
                    "changed" => counts.changed = count,
                    "destroyed" => counts.destroyed = count,
                    _ => counts.live = count,
                }
            }
            Ok(counts)
        })
        .await
    }
}

/// Reads all rows of a query.
fn rows<T>(
    connection: &Connection,
    query: &str,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, ProviderError> {
    sql(connection.prepare(query).and_then(|mut statement| statement.query_map((), read)?.collect()))
}
