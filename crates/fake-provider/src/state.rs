//! The state of the fake provider. Each function is one transaction.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::script::{Action, Operation, Rule, Script};
use provisioning::providers::{
    DestroyOutcome, ErrorContext as _, ObservedState, Owner, ProviderError, ResourceKind, Spec, Target,
};

/// The tables. Every creation of a target is a row of its own, so that tests can detect duplicates.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS targets (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        identity TEXT NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        provider_id TEXT NOT NULL UNIQUE,
        spec_digest TEXT NOT NULL,
        details TEXT NOT NULL,
        owner TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS targets_identity ON targets (identity);
    CREATE TABLE IF NOT EXISTS calls (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        operation TEXT NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        identity TEXT NOT NULL,
        capped INTEGER NOT NULL,
        outcome TEXT
    );
    CREATE INDEX IF NOT EXISTS calls_at ON calls (at);
    CREATE TABLE IF NOT EXISTS effects (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        identity TEXT NOT NULL,
        kind TEXT NOT NULL,
        effect TEXT NOT NULL CHECK (effect IN ('created', 'changed', 'destroyed'))
    );";

/// A recorded call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The number of the call, starting at 1.
    pub number: i64,
    /// The time of the call, in Unix milliseconds.
    pub at: i64,
    /// `ensure`, `destroy` or `observe`.
    pub operation: String,
    /// [`Target::identity`].
    pub identity: String,
    /// The outcome; `None` without a response, for example because the process was killed.
    pub outcome: Option<Outcome>,
}

/// The outcome of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The call succeeded.
    Ok,
    /// The call failed with this error.
    Failed(String),
    /// The response was a lie.
    Lied,
    /// The call exceeded the maximum of calls per second. Rules do not count it.
    Capped,
}

/// A target that exists at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveTarget {
    /// [`Target::identity`].
    pub identity: String,
    /// [`ResourceKind::as_str`] of the kind.
    pub kind: String,
    /// [`Target::name`].
    pub name: String,
    /// The id at the provider.
    pub provider_id: String,
}

/// A recorded call with the fault that the script has for it.
pub(super) struct ScriptedCall {
    pub(super) number: i64,
    pub(super) latency: Duration,
    pub(super) action: Option<Action>,
    pub(super) generation: i64,
}

/// Creates the tables.
pub(super) fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(10))?;
    // Commits have to survive a crash of the process, but not of the machine.
    connection.pragma_update(None, "synchronous", "OFF")?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(SCHEMA)?;
    tx.commit()
}

/// Sets `script`, unless it equals the script that was configured last.
pub(super) fn configure(connection: &mut Connection, script: &Script) -> Result<(), ProviderError> {
    write(connection, |tx| {
        let text = serde_json::to_string(script).during(|| "writing the script".to_owned())?;
        if setting(tx, "configured")?.as_ref() != Some(&text) {
            put_setting(tx, "configured", &text)?;
            put_script(tx, &text)?;
        }
        Ok(())
    })
}

/// Sets `script`. Its rules count calls from now on.
pub(super) fn set_script(connection: &mut Connection, script: &Script) -> Result<(), ProviderError> {
    write(connection, |tx| {
        let text = serde_json::to_string(script).during(|| "writing the script".to_owned())?;
        put_script(tx, &text)
    })
}

fn put_script(tx: &Transaction<'_>, text: &str) -> Result<(), ProviderError> {
    put_setting(tx, "script", text)?;
    put_setting(tx, "generation", &(generation(tx)? + 1).to_string())?;
    let last: i64 = sql(tx.query_row("SELECT coalesce(max(seq), 0) FROM calls", (), |row| row.get(0)))?;
    put_setting(tx, "since", &last.to_string())
}

/// Returns the current script.
pub(super) fn script(connection: &Connection) -> Result<Script, ProviderError> {
    match setting(connection, "script")? {
        Some(text) => serde_json::from_str(&text).during(|| "reading the script".to_owned()),
        None => Ok(Script::default()),
    }
}

/// Returns the number of times that a script was set.
pub(super) fn generation(connection: &Connection) -> Result<i64, ProviderError> {
    Ok(setting(connection, "generation")?.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Records a call and returns the fault that the script has for it.
pub(super) fn begin(
    connection: &mut Connection,
    operation: Operation,
    target: &Target,
    now: i64,
) -> Result<ScriptedCall, ProviderError> {
    // The record of a rate-limited call has to be committed as well.
    write(connection, |tx| {
        let script = script(tx)?;
        let wait = wait_for_cap(tx, &script, now)?;
        let outcome = wait.map(|_| to_json(&Outcome::Capped)).transpose()?;
        let number = sql(tx.query_row(
            "INSERT INTO calls (at, operation, kind, name, identity, capped, outcome)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING seq",
            (
                now,
                operation.as_str(),
                target.kind().as_str(),
                target.name(),
                target.identity(),
                wait.is_some(),
                outcome,
            ),
            |row| row.get(0),
        ))?;
        if let Some(wait) = wait {
            return Ok(Err(ProviderError::rate_limited(wait, "too many calls in a second")));
        }
        let action = action_for(tx, script.rules, operation, target)?;
        Ok(Ok(ScriptedCall { number, latency: script.latency, action, generation: generation(tx)? }))
    })?
}

/// The time to wait if the last second already had the maximum number of calls.
fn wait_for_cap(tx: &Transaction<'_>, script: &Script, now: i64) -> Result<Option<Duration>, ProviderError> {
    let Some(cap) = script.calls_per_second else { return Ok(None) };
    let (count, first): (i64, Option<i64>) = sql(tx.query_row(
        "SELECT count(*), min(at) FROM calls WHERE at > ?1 AND NOT capped",
        [now.saturating_sub(1000)],
        |row| Ok((row.get(0)?, row.get(1)?)),
    ))?;
    let left = first.map_or(0, |first| first.saturating_add(1000).saturating_sub(now));
    let wait = Duration::from_millis(u64::try_from(left).unwrap_or(0).max(1));
    Ok((count >= i64::from(cap.get())).then_some(wait))
}

/// The action of the first rule that matches the latest call.
fn action_for(
    tx: &Transaction<'_>,
    rules: Vec<Rule>,
    operation: Operation,
    target: &Target,
) -> Result<Option<Action>, ProviderError> {
    let since: i64 = setting(tx, "since")?.and_then(|text| text.parse().ok()).unwrap_or(0);
    for rule in rules {
        let matches = rule.operation.is_none_or(|expected| expected == operation)
            && rule.kind.is_none_or(|expected| expected == target.kind())
            && rule.name.as_ref().is_none_or(|expected| expected == target.name())
            && rule.part.as_ref().is_none_or(|part| target.name().contains(part));
        if !matches {
            continue;
        }
        let number = sql(tx.query_row(
            "SELECT count(*) FROM calls
             WHERE seq > ?1 AND NOT capped
               AND (?2 IS NULL OR operation = ?2) AND (?3 IS NULL OR kind = ?3) AND (?4 IS NULL OR name = ?4)
               AND (?5 IS NULL OR instr(name, ?5) > 0)",
            (
                since,
                rule.operation.map(Operation::as_str),
                rule.kind.map(ResourceKind::as_str),
                rule.name,
                rule.part,
            ),
            |row| row.get(0),
        ))?;
        if rule.calls.include(number) {
            return Ok(Some(rule.action));
        }
    }
    Ok(None)
}

/// Records the outcome of a call.
pub(super) fn finish(connection: &mut Connection, call: i64, outcome: &Outcome) -> Result<(), ProviderError> {
    let outcome = to_json(outcome)?;
    sql(connection.execute("UPDATE calls SET outcome = ?2 WHERE seq = ?1", (call, outcome))).map(drop)
}

/// Creates the target or changes it to match its spec. With `blindly`, creates it without checking for an existing one.
pub(super) fn ensure(
    connection: &mut Connection,
    target: &Target,
    blindly: bool,
    now: i64,
) -> Result<ObservedState, ProviderError> {
    let details = details(target)?;
    let digest = spec_digest(target)?;
    write(connection, |tx| {
        let present = if blindly { None } else { live(tx, target)? };
        if present.as_ref().is_some_and(|(found, _)| !is_owner(target, found)) {
            return Err(ProviderError::owned_by_another(target));
        }
        if let Some((observed, before)) = present {
            // A repository keeps its first commit, and a secret without a new value keeps its value.
            let keeps_state = target.kind() == ResourceKind::GitRepository || digest.is_none();
            if keeps_state || digest.as_ref() == Some(&before) {
                return Ok(observed);
            }
            sql(tx.execute(
                "UPDATE targets SET spec_digest = ?2, details = ?3 WHERE identity = ?1",
                (target.identity(), &digest, details.to_string()),
            ))?;
            record(tx, target.identity(), target.kind().as_str(), "changed", now)?;
            return Ok(ObservedState { details, ..observed });
        }
        if target.kind() == ResourceKind::Secret {
            let worker = Target::plain(target.owner(), ResourceKind::Worker, target.name())?;
            match live(tx, &worker)? {
                None => return Err(ProviderError::permanent(format!("{worker} does not exist"))),
                Some((found, _)) if !is_owner(target, &found) => {
                    return Err(ProviderError::owned_by_another(worker));
                }
                Some(_) => {}
            }
        }
        let observed = observed(target, format!("fake-{}", Uuid::now_v7()), details);
        let owner = serde_json::to_string(target.owner()).during(|| "writing the owner".to_owned())?;
        sql(tx.execute(
            "INSERT INTO targets (identity, kind, name, provider_id, spec_digest, details, owner)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (
                target.identity(),
                target.kind().as_str(),
                target.name(),
                &observed.provider_id,
                digest.unwrap_or_default(),
                observed.details.to_string(),
                owner,
            ),
        ))?;
        record(tx, target.identity(), target.kind().as_str(), "created", now)?;
        Ok(observed)
    })
}

/// Returns true if the found target belongs to the owner of `target`.
fn is_owner(target: &Target, found: &ObservedState) -> bool {
    found.owner.as_ref().is_some_and(|owner| owner.is(target.owner()))
}

/// Removes all copies of the target and, for a worker, its secrets.
pub(super) fn destroy(
    connection: &mut Connection,
    target: &Target,
    now: i64,
) -> Result<DestroyOutcome, ProviderError> {
    write(connection, |tx| {
        match live(tx, target)? {
            Some((found, _)) if !is_owner(target, &found) => return Ok(DestroyOutcome::NotOurs),
            None => return Ok(DestroyOutcome::Absent),
            Some(_) => {}
        }
        let with_secrets = target.kind() == ResourceKind::Worker;
        let removed: Vec<(String, String)> = sql(tx
            .prepare(
                "DELETE FROM targets WHERE identity = ?1 OR (?2 AND kind = 'secret' AND name = ?3)
                 RETURNING identity, kind",
            )
            .and_then(|mut statement| {
                statement
                    .query_map((target.identity(), with_secrets, target.name()), |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })?
                    .collect()
            }))?;
        removed.into_iter().try_for_each(|(identity, kind)| record(tx, identity, &kind, "destroyed", now))?;
        Ok(DestroyOutcome::Removed)
    })
}

/// Returns the existing target; if there are several, the oldest.
pub(super) fn observe(
    connection: &Connection,
    target: &Target,
) -> Result<Option<ObservedState>, ProviderError> {
    Ok(live(connection, target)?.map(|(observed, _)| observed))
}

/// Returns the state that an `ensure` of the target would return, for lies.
pub(super) fn invent(target: &Target) -> Result<ObservedState, ProviderError> {
    let details = if matches!(target.spec(), Spec::Plain) { serde_json::json!({}) } else { details(target)? };
    Ok(observed(target, format!("fake-lie-{}", Uuid::now_v7()), details))
}

/// The oldest target of this identity that exists, and the digest of the spec of its last `ensure`.
fn live(connection: &Connection, target: &Target) -> Result<Option<(ObservedState, String)>, ProviderError> {
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let found: Option<(String, String, String, String)> = sql(connection
        .query_row(
            "SELECT provider_id, details, spec_digest, owner FROM targets WHERE identity = ?1 ORDER BY seq LIMIT 1",
            [target.identity()],
            read,
        )
        .optional())?;
    let Some((provider_id, details, digest, owner)) = found else { return Ok(None) };
    let details = serde_json::from_str(&details).during(|| "reading the details".to_owned())?;
    let owner: Owner = serde_json::from_str(&owner).during(|| "reading the owner".to_owned())?;
    Ok(Some((ObservedState { owner: Some(owner), ..observed(target, provider_id, details) }, digest)))
}

fn observed(target: &Target, provider_id: String, details: serde_json::Value) -> ObservedState {
    let url = Some(format!("fake:///{}", target.identity()));
    ObservedState { provider_id, url, details, owner: Some(target.owner().clone()) }
}

fn record(
    tx: &Transaction<'_>,
    identity: String,
    kind: &str,
    effect: &str,
    now: i64,
) -> Result<(), ProviderError> {
    let insert = "INSERT INTO effects (at, identity, kind, effect) VALUES (?1, ?2, ?3, ?4)";
    sql(tx.execute(insert, (now, identity, kind, effect))).map(drop)
}

/// The details that a real provider would return for the target.
fn details(target: &Target) -> Result<serde_json::Value, ProviderError> {
    use ResourceKind::{DnsRecord, GitRepository, Pages, Worker};
    Ok(match (target.kind(), target.spec()) {
        (_, Spec::Bundle(bundle)) => {
            serde_json::json!({ "deployment": bundle.hash(), "entry": bundle.entry() })
        }
        (_, Spec::Starter(_)) => {
            let digest = spec_digest(target)?.unwrap_or_default();
            serde_json::json!({ "branch": "main", "head": digest.get(..40) })
        }
        (_, Spec::Secret { .. }) => serde_json::json!({ "worker": target.name() }),
        (_, Spec::Dns { target }) => serde_json::json!({ "target": target }),
        (Worker | Pages | GitRepository | DnsRecord, Spec::Plain) => return Err(target.underspecified()),
        (_, Spec::Plain) => serde_json::json!({}),
    })
}

/// The digest by which two specs are compared; `None` if the spec accepts any state.
fn spec_digest(target: &Target) -> Result<Option<String>, ProviderError> {
    let text = match target.spec() {
        Spec::Secret { .. } => target.spec().secret_value().map(str::to_owned),
        spec => Some(serde_json::to_string(spec).during(|| "writing the spec".to_owned())?),
    };
    Ok(text.map(|text| format!("{:x}", Sha256::digest(text))))
}

fn setting(connection: &Connection, name: &str) -> Result<Option<String>, ProviderError> {
    sql(connection
        .query_row("SELECT value FROM settings WHERE name = ?1", [name], |row| row.get(0))
        .optional())
}

fn put_setting(tx: &Transaction<'_>, name: &str, value: &str) -> Result<(), ProviderError> {
    sql(tx.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)", (name, value))).map(drop)
}

fn to_json(outcome: &Outcome) -> Result<String, ProviderError> {
    serde_json::to_string(outcome).during(|| "writing the outcome".to_owned())
}

/// Runs `work` in a transaction and commits it on success.
fn write<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, ProviderError>,
) -> Result<T, ProviderError> {
    let tx = sql(connection.transaction_with_behavior(TransactionBehavior::Immediate))?;
    let done = work(&tx)?;
    sql(tx.commit())?;
    Ok(done)
}

/// Converts an error of the fake provider's own database.
pub(super) fn sql<T>(result: rusqlite::Result<T>) -> Result<T, ProviderError> {
    result.during(|| "the fake provider's own database".to_owned())
}
