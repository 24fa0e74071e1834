//! The record of a write: audit entries, outbox events, counters and the stored answer, written together with the
//! change in one statement.
//!
//! A data-modifying CTE is one round trip and one commit, and atomic by itself: three times the writes per second of a
//! transaction with the same statements.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::{
    pg::Pg,
    query_builder::{AstPass, QueryFragment, QueryId},
    result::QueryResult,
    sql_types::{Array, Binary, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::{Error, PlatformId, Result, id};
use identity::WriteCtx;
use rand::Rng;
use runtime::clock;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// Tables that the database of every service contains.
pub mod tables {
    diesel::table! {
        audit_log (id) {
            id -> Uuid,
            platform_id -> Nullable<Text>,
            actor_id -> Text,
            actor_type -> Text,
            action -> Text,
            entity_type -> Text,
            entity_id -> Text,
            before -> Nullable<Jsonb>,
            after -> Nullable<Jsonb>,
            metadata -> Jsonb,
            created_at -> Timestamptz,
        }
    }
    diesel::table! {
        counters (key, shard) {
            key -> Text,
            shard -> SmallInt,
            n -> BigInt,
        }
    }
}

/// Shards of one counter: the number of creates in one list that can commit in parallel.
const SHARDS: i16 = 16;
/// Upper bound of the shards of a counter.
const MAX_SHARDS: i64 = 64;

/// Audit entry of a change. It also produces the event that announces the change.
#[derive(Debug, Clone)]
pub struct Audit {
    platform_id: Option<PlatformId>,
    action: &'static str,
    entity_type: &'static str,
    entity_id: String,
    before: Option<Value>,
    after: Option<Value>,
}

struct Command {
    id: Uuid,
    destination: &'static str,
    kind: &'static str,
    subject: String,
    data: Value,
}

/// Audit entries, commands and counter changes of a write.
#[derive(Default)]
pub struct Record {
    audits: Vec<Audit>,
    commands: Vec<Command>,
    counts: BTreeMap<String, i64>,
}

impl Record {
    /// Records the change of one object. `action` is `<object>.<verb>`, such as `platform.suspended`.
    pub fn change(action: &'static str, entity_type: &'static str, entity_id: impl ToString) -> Self {
        Self::default().and(action, entity_type, entity_id)
    }

    /// Adds another object that the same write changes. Later calls apply to this object.
    #[must_use]
    pub fn and(mut self, action: &'static str, entity_type: &'static str, entity_id: impl ToString) -> Self {
        let entity_id = entity_id.to_string();
        self.audits.push(Audit {
            platform_id: None,
            action,
            entity_type,
            entity_id,
            before: None,
            after: None,
        });
        self
    }

    /// Sets the platform of the changed object.
    #[must_use]
    pub fn in_platform(mut self, platform: &PlatformId) -> Self {
        if let Some(audit) = self.audits.last_mut() {
            audit.platform_id = Some(platform.clone());
        }
        self
    }

    /// Sets the state before the change.
    #[must_use]
    pub fn before(mut self, object: &impl Serialize) -> Self {
        if let Some(audit) = self.audits.last_mut() {
            audit.before = serde_json::to_value(object).ok();
        }
        self
    }

    /// Sets the state after the change.
    #[must_use]
    pub fn after(mut self, object: &impl Serialize) -> Self {
        if let Some(audit) = self.audits.last_mut() {
            audit.after = serde_json::to_value(object).ok();
        }
        self
    }

    /// Adds a command for another service. The outbox delivers it at least once, in order per `subject`, with `id` as
    /// the idempotency key.
    #[must_use]
    pub fn command(
        mut self,
        destination: &'static str,
        kind: &'static str,
        id: Uuid,
        subject: impl ToString,
        data: Value,
    ) -> Self {
        self.commands.push(Command { id, destination, kind, subject: subject.to_string(), data });
        self
    }

    /// Returns true if the record contains commands to deliver.
    pub(super) fn has_commands(&self) -> bool {
        !self.commands.is_empty()
    }

    /// Adds `by` to the number of objects in the list `key`.
    #[must_use]
    pub fn count(mut self, key: impl Into<String>, by: i64) -> Self {
        *self.counts.entry(key.into()).or_default() += by;
        self
    }
}

/// Returns the number of objects in the list `key`. Reads a few rows by primary key, however long the list is.
///
/// # Errors
/// Database errors.
pub async fn counter_total(mut connection: &AsyncPgConnection, key: &str) -> Result<i64> {
    use diesel::{ExpressionMethods, QueryDsl};
    use tables::counters::dsl as c;
    // Ordered and limited, so that the planner uses the primary key even if it estimates that every counter has this
    // key.
    let shards = c::counters.filter(c::key.eq(key)).order(c::shard).limit(MAX_SHARDS).select(c::n);
    // Summed here, because PostgreSQL would return a numeric.
    Ok(shards.load::<i64>(&mut connection).await?.iter().sum())
}

/// Key of the counter of audit entries, for all platforms or for one.
pub fn audit_counter(platform: Option<&PlatformId>) -> String {
    platform.map_or_else(|| "audit".to_owned(), |platform| format!("audit:{platform}"))
}

/// The statements of a change: a tuple of inserts, updates and deletes, none of which reads what another one writes.
pub trait Effect: QueryId + Send {
    /// Writes each statement as a CTE, followed by a comma.
    ///
    /// # Errors
    /// Errors of the fragments.
    fn walk<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()>;
}

/// A write without a change, which stores only its record.
#[derive(Debug, Clone, Copy, QueryId)]
pub struct NoEffect;

impl Effect for NoEffect {
    fn walk<'b>(&'b self, _: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        Ok(())
    }
}

macro_rules! effect {
    ($($part:ident $name:literal),+) => {
        impl<$($part),+> Effect for ($($part,)+)
        where
            $($part: QueryFragment<Pg> + QueryId + Send),+
        {
            fn walk<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
                #[expect(non_snake_case, reason = "the parts are named as their types")]
                let ($($part,)+) = self;
                $(
                    out.push_sql(concat!($name, " AS ("));
                    $part.walk_ast(out.reborrow())?;
                    out.push_sql("), ");
                )+
                Ok(())
            }
        }
    };
}

effect!(A "e0");
effect!(A "e0", B "e1");
effect!(A "e0", B "e1", C "e2");
effect!(A "e0", B "e1", C "e2", D "e3");
effect!(A "e0", B "e1", C "e2", D "e3", E "e4", F "e5");

/// A change and its record as one statement.
pub(super) struct WriteStatement<E> {
    effect: E,
    rows: Rows,
}

/// The record as columns, one array per column.
#[derive(Default)]
struct Rows {
    audit_id: Vec<Uuid>,
    audit_platform: Vec<Option<String>>,
    actor_id: String,
    actor_type: &'static str,
    action: Vec<String>,
    entity_type: Vec<String>,
    entity_id: Vec<String>,
    before: Vec<Option<Value>>,
    after: Vec<Option<Value>>,
    metadata: Value,
    now: DateTime<Utc>,
    out_id: Vec<Uuid>,
    out_destination: Vec<Option<String>>,
    out_type: Vec<String>,
    out_subject: Vec<String>,
    out_data: Vec<Value>,
    request_id: String,
    traceparent: Option<String>,
    count_key: Vec<String>,
    count_shard: Vec<i16>,
    count_by: Vec<i64>,
    idem_caller: Vec<String>,
    idem_key: Vec<String>,
    idem_fingerprint: Vec<Vec<u8>>,
    idem_answer: Vec<Value>,
}

impl<E: Effect> WriteStatement<E> {
    /// Combines a change, its record and the answer for repeated requests.
    pub(super) fn new(effect: E, record: Record, ctx: &WriteCtx, answer: &impl Serialize) -> Result<Self> {
        let mut rows = Rows {
            actor_id: ctx.caller.id.clone(),
            actor_type: ctx.caller.actor_type.as_str(),
            metadata: json!({ "requestId": &*ctx.request_id, "traceId": ctx.trace_id() }),
            now: clock::now(),
            request_id: ctx.request_id.to_string(),
            traceparent: ctx.traceparent.as_deref().map(str::to_owned),
            ..Rows::default()
        };
        let mut counts = record.counts;
        for audit in record.audits {
            // An object outside all platforms is counted only in the list of all entries.
            let lists = [Some(None), audit.platform_id.as_ref().map(Some)];
            for list in lists.into_iter().flatten() {
                *counts.entry(audit_counter(list)).or_default() += 1;
            }
            rows.audit(audit);
        }
        for command in record.commands {
            rows.event(command.id, Some(command.destination), command.kind, command.subject, command.data);
        }
        let shard = rand::rng().random_range(0..SHARDS);
        for (key, by) in counts.into_iter().filter(|(_, by)| *by != 0) {
            rows.count_key.push(key);
            rows.count_shard.push(shard);
            rows.count_by.push(by);
        }
        if let Some(idempotency) = ctx.idempotency.as_ref().filter(|_| !ctx.dry_run) {
            rows.idem_caller.push(ctx.caller.id.clone());
            rows.idem_key.push(idempotency.key.clone());
            rows.idem_fingerprint.push(idempotency.fingerprint.clone());
            rows.idem_answer.push(serde_json::to_value(answer).map_err(Error::internal)?);
        }
        Ok(Self { effect, rows })
    }
}

impl Rows {
    fn audit(&mut self, audit: Audit) {
        let fact = audit.after.clone().or_else(|| audit.before.clone()).unwrap_or(Value::Null);
        self.event(id::uuid_v7(), None, audit.action, audit.entity_id.clone(), fact);
        self.audit_id.push(id::uuid_v7());
        self.audit_platform.push(audit.platform_id.map(|id| id.to_string()));
        self.action.push(audit.action.to_owned());
        self.entity_type.push(audit.entity_type.to_owned());
        self.entity_id.push(audit.entity_id);
        self.before.push(audit.before);
        self.after.push(audit.after);
    }

    fn event(&mut self, id: Uuid, destination: Option<&str>, kind: &str, subject: String, data: Value) {
        self.out_id.push(id);
        self.out_destination.push(destination.map(str::to_owned));
        self.out_type.push(kind.to_owned());
        self.out_subject.push(subject);
        self.out_data.push(data);
    }

    fn walk_audit<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "audit AS (INSERT INTO audit_log (actor_id, actor_type, metadata, created_at, id, platform_id, action, \
             entity_type, entity_id, before, after) SELECT ",
        );
        out.push_bind_param::<Text, _>(&self.actor_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(&self.actor_type)?;
        out.push_sql(", ");
        out.push_bind_param::<Jsonb, _>(&self.metadata)?;
        out.push_sql(", ");
        out.push_bind_param::<Timestamptz, _>(&self.now)?;
        out.push_sql(", u.* FROM unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.audit_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.audit_platform)?;
        for column in [&self.action, &self.entity_type, &self.entity_id] {
            out.push_sql(", ");
            out.push_bind_param::<Array<Text>, _>(column)?;
        }
        for column in [&self.before, &self.after] {
            out.push_sql(", ");
            out.push_bind_param::<Array<Nullable<Jsonb>>, _>(column)?;
        }
        out.push_sql(") u), ");
        Ok(())
    }

    fn walk_outbox<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "events AS (INSERT INTO outbox (time, next_attempt_at, request_id, traceparent, id, destination, type, \
             subject, data) SELECT ",
        );
        out.push_bind_param::<Timestamptz, _>(&self.now)?;
        // Relays compare this time with the database's clock.
        out.push_sql(", now(), ");
        out.push_bind_param::<Text, _>(&self.request_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&self.traceparent)?;
        out.push_sql(", u.* FROM unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.out_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.out_destination)?;
        for column in [&self.out_type, &self.out_subject] {
            out.push_sql(", ");
            out.push_bind_param::<Array<Text>, _>(column)?;
        }
        out.push_sql(", ");
        out.push_bind_param::<Array<Jsonb>, _>(&self.out_data)?;
        out.push_sql(") u), ");
        Ok(())
    }

    fn walk_counters<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("counts AS (INSERT INTO counters (key, shard, n) SELECT * FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.count_key)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SmallInt>, _>(&self.count_shard)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<diesel::sql_types::BigInt>, _>(&self.count_by)?;
        out.push_sql(") ON CONFLICT (key, shard) DO UPDATE SET n = counters.n + excluded.n), ");
        Ok(())
    }

    fn walk_idempotency<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "answers AS (INSERT INTO idempotency_keys (created_at, caller, key, fingerprint, answer) SELECT ",
        );
        out.push_bind_param::<Timestamptz, _>(&self.now)?;
        out.push_sql(", u.* FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.idem_caller)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.idem_key)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Binary>, _>(&self.idem_fingerprint)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Jsonb>, _>(&self.idem_answer)?;
        out.push_sql(") u) ");
        Ok(())
    }
}

impl<E: Effect> QueryFragment<Pg> for WriteStatement<E> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH ");
        self.effect.walk(out.reborrow())?;
        self.rows.walk_audit(&mut out)?;
        self.rows.walk_outbox(&mut out)?;
        self.rows.walk_counters(&mut out)?;
        self.rows.walk_idempotency(&mut out)?;
        out.push_sql("SELECT 1");
        Ok(())
    }
}

impl<E: Effect> QueryId for WriteStatement<E> {
    type QueryId = WriteStatement<E::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = E::HAS_STATIC_QUERY_ID;
}
