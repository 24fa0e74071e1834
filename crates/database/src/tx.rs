//! Transactions, by name. The only way to write.
//!
//! A transaction begins when a statement needs it to: one whose only statement is its last, as most creates are,
//! runs as that single statement. It is run again, a few times, when two writers met. A dry run is the same code
//! rolled back. A request that carries an idempotency key is answered from what its first run stored.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::{result::QueryResult, sql_query, sql_types::Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use domain::{Error, Kind, Result};
use futures_util::future::try_join;
use identity::{Ctx, Done, PlatformScope, RlsContext, WriteCtx};
use opentelemetry::KeyValue;
use rand::Rng;
use runtime::telemetry;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Db, NoEffect, OnConstraint, idempotency,
    record::{Effect, Record, Written},
    sighted::PooledConn,
};

const MAX_RUNS: u32 = 5;
const KEY_TAKEN: &str = "idempotency_keys_taken";

/// A transaction under way.
pub struct Tx {
    connection: PooledConn,
    ctx: WriteCtx,
    begun: bool,
    /// Whether the connection may be inside a transaction.
    unclean: bool,
    finished: bool,
    wake: bool,
}

/// The body of a transaction: an async closure that may be called again, such as `async |tx| { … }`.
pub trait TxBody<T>: for<'r> CallOnTx<'r, T> + AsyncFn(&mut Tx) -> Result<T> + Send + Sync {}

impl<T, F> TxBody<T> for F where F: for<'r> CallOnTx<'r, T> + AsyncFn(&mut Tx) -> Result<T> + Send + Sync {}

/// The body of a read: an async closure that may be called again, such as `async |c| { … }`.
pub trait ReadBody<T>:
    for<'r> CallOnConn<'r, T> + AsyncFn(&AsyncPgConnection) -> Result<T> + Send + Sync
{
}

impl<T, F> ReadBody<T> for F where
    F: for<'r> CallOnConn<'r, T> + AsyncFn(&AsyncPgConnection) -> Result<T> + Send + Sync
{
}

/// A closure whose future is `Send`, which `AsyncFn` cannot express.
pub trait CallOnTx<'r, T>: Fn(&'r mut Tx) -> Self::Future {
    /// The future of one call.
    type Future: Future<Output = Result<T>> + Send;
}

impl<'r, T, F, Fut> CallOnTx<'r, T> for F
where
    F: Fn(&'r mut Tx) -> Fut,
    Fut: Future<Output = Result<T>> + Send,
{
    type Future = Fut;
}

/// A closure whose future is `Send`, which `AsyncFn` cannot express.
pub trait CallOnConn<'r, T>: Fn(&'r AsyncPgConnection) -> Self::Future {
    /// The future of one call.
    type Future: Future<Output = Result<T>> + Send;
}

impl<'r, T, F, Fut> CallOnConn<'r, T> for F
where
    F: Fn(&'r AsyncPgConnection) -> Fut,
    Fut: Future<Output = Result<T>> + Send,
{
    type Future = Fut;
}

impl Tx {
    /// The connection, inside the transaction.
    ///
    /// # Errors
    /// When the transaction cannot begin.
    pub async fn conn(&mut self) -> Result<&mut AsyncPgConnection> {
        if !self.begun {
            let sight = Arc::clone(self.rls_context());
            // Should it fail, its `BEGIN` may have been taken, and what follows it not: the connection is not clean.
            self.unclean = true;
            self.connection.begin(&sight).await?;
            self.begun = true;
        }
        Ok(&mut self.connection)
    }

    fn rls_context(&self) -> &Arc<RlsContext> {
        self.ctx.caller.scope.rls_context()
    }

    /// Has the statements from here on see a platform whole, where the caller sees but an entity of it: whether a thing
    /// may be changed can depend on things that are none of the caller's. To be called when it is known that the thing
    /// itself is theirs.
    ///
    /// # Errors
    /// When the transaction cannot begin.
    pub async fn see_platform(&mut self, scope: &PlatformScope) -> Result<&mut AsyncPgConnection> {
        let c = self.conn().await?;
        if scope.subtree_roots().is_some() {
            c.batch_execute(&format!("SET LOCAL nno.platforms TO '{}'", scope.id())).await?;
        }
        Ok(c)
    }

    /// Holds a name until the transaction ends: who asks for it next waits, and the statements after this one see what
    /// whoever had it before has done. For what no row stands for.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when another has it for too long.
    pub async fn hold(&mut self, name: &str) -> Result<&mut AsyncPgConnection> {
        let c = self.conn().await?;
        let held = sql_query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))");
        held.bind::<Text, _>(name).execute(c).await?;
        Ok(c)
    }

    /// The last statement: the change and its record, together. `answer` is what the caller and its repetitions
    /// get.
    ///
    /// # Errors
    /// What `on_constraint` makes of a violated constraint, or the general meaning of a database error.
    pub async fn finish<E: Effect + 'static, T: Serialize>(
        &mut self,
        effect: E,
        record: Record,
        answer: T,
        on_constraint: impl FnOnce(&str) -> Option<Error>,
    ) -> Result<T> {
        self.wake |= record.has_commands();
        let written = Written::new(effect, record, &self.ctx, &answer)?;
        // Who does not see all keeps their record in a transaction that says that it writes.
        if self.ctx.dry_run || !self.ctx.caller.scope.is_all() {
            self.conn().await?;
        }
        let result = self.send(written).await;
        result
            .on_constraint(|name| if name == KEY_TAKEN { Some(key_taken()) } else { on_constraint(name) })?;
        self.finished = true;
        Ok(answer)
    }

    /// Sends the statement, in the transaction if one has begun, else as one by itself.
    async fn send<E: Effect + 'static>(&mut self, written: Written<E>) -> QueryResult<usize> {
        if self.begun {
            return written.execute(&mut **self.connection).await;
        }
        let mut connection = &**self.connection;
        let told = self.connection.tell(self.rls_context());
        let ((), rows) = try_join(told, written.execute(&mut connection)).await?;
        Ok(rows)
    }

    async fn commit<T: Serialize>(&mut self, answer: &T) -> Result<()> {
        if self.ctx.dry_run {
            return self.roll_back().await;
        }
        if !self.finished && self.ctx.idempotency.is_some() {
            let written = Written::new(NoEffect, Record::default(), &self.ctx, answer)?;
            self.send(written).await.on_constraint(|name| (name == KEY_TAKEN).then(key_taken))?;
        }
        if self.begun {
            self.connection.commit().await?;
            self.unclean = false;
        }
        Ok(())
    }

    async fn roll_back(&mut self) -> Result<()> {
        if std::mem::take(&mut self.begun) {
            self.connection.roll_back().await?;
            self.unclean = false;
        }
        Ok(())
    }
}

/// The key is there: a repetition, or the same request running beside this one.
fn key_taken() -> Error {
    Error::new(Kind::Conflict, "A request with this Idempotency-Key is still running, try again")
}

impl Db {
    /// Runs `work` as the transaction `name`, such as `platform.suspend`.
    ///
    /// # Errors
    /// Those of `work`; nothing is kept then.
    pub async fn tx<T, F>(&self, name: &'static str, ctx: &WriteCtx, work: F) -> Result<Done<T>>
    where
        T: Serialize + DeserializeOwned + Send,
        F: TxBody<T>,
    {
        let started = Instant::now();
        let mut run = 1;
        let result = loop {
            match self.run_once(ctx, &work).await {
                Err(error) if error.is_retryable() && run < MAX_RUNS => {
                    tracing::debug!(transaction = name, run, context = error.log_context(), "running again");
                    let most = 5u64 << run;
                    let pause = rand::rng().random_range(1..=most);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    run += 1;
                }
                result => break result,
            }
        };
        self.disk.learn(&result);
        let outcome = result.as_ref().map_or_else(|error| error.kind().as_str(), |_| "OK");
        let labels = [KeyValue::new("name", name), KeyValue::new("outcome", outcome)];
        telemetry::measure("nno.transaction.duration", &labels, started.elapsed());
        result
    }

    async fn run_once<T, F>(&self, ctx: &WriteCtx, work: &F) -> Result<Done<T>>
    where
        T: Serialize + DeserializeOwned + Send,
        F: TxBody<T>,
    {
        let connection = self.conn_for(&ctx.caller.scope.rls_context().fairness_key).await?;
        connection.unfinished();
        let mut tx =
            Tx { connection, ctx: ctx.clone(), begun: false, unclean: false, finished: false, wake: false };
        let result = match work(&mut tx).await {
            Ok(value) => tx.commit(&value).await.map(|()| value),
            Err(error) => Err(error),
        };
        let clean = result.is_ok() || tx.roll_back().await.is_ok() && !tx.unclean;
        if clean {
            tx.connection.finished();
        }
        match result {
            Ok(value) => {
                if tx.wake && !ctx.dry_run {
                    self.wake_relay();
                }
                Ok(Done { value, replayed: false, dry_run: ctx.dry_run })
            }
            Err(error) if error.is_retryable() || !clean => Err(error),
            // A repetition meets what its first run did: its error is answered with the first run's answer.
            Err(error) => stored(&tx.connection, ctx).await?.ok_or(error),
        }
    }

    /// The answer that a request's idempotency key was given before, if it was; for a write that asks other services
    /// before its transaction, whose answers may have changed since.
    ///
    /// # Errors
    /// [`Kind::IdempotencyMismatch`] when the key was used for another request.
    pub async fn replay<T: DeserializeOwned>(&self, ctx: &WriteCtx) -> Result<Option<Done<T>>> {
        if ctx.idempotency.is_none() {
            return Ok(None);
        }
        stored(&self.conn_for(&ctx.caller.scope.rls_context().fairness_key).await?, ctx).await
    }

    /// Runs a read that sees what the caller may see, once more if its connection turns out to be dead.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn read<T, F>(&self, ctx: &Ctx, work: F) -> Result<T>
    where
        F: ReadBody<T>,
    {
        self.read_seeing(ctx.caller.scope.rls_context(), work).await
    }

    /// Runs a read of the service's own, which sees all rows.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn own_read<T, F>(&self, work: F) -> Result<T>
    where
        F: ReadBody<T>,
    {
        self.read_seeing(self.own_sight(), work).await
    }

    async fn read_seeing<T, F>(&self, sight: &Arc<RlsContext>, work: F) -> Result<T>
    where
        F: ReadBody<T>,
    {
        let run = async |connection: PooledConn| {
            connection.unfinished();
            let told = async { Ok(connection.tell(sight).await?) };
            let found = try_join(told, work(&connection)).await.map(|((), found)| found);
            // Not after a failure: what was sent next to the statement that failed may still be under way.
            let failed = |error: &Error| matches!(error.kind(), Kind::ServiceUnavailable | Kind::Internal);
            if !found.as_ref().is_err_and(failed) {
                connection.finished();
            }
            found
        };
        match run(self.conn_for(&sight.fairness_key).await?).await {
            Err(error) if error.kind() == Kind::ServiceUnavailable => {
                run(self.conn_for(&sight.fairness_key).await?).await
            }
            result => result,
        }
    }
}

/// The answer that was stored under the request's idempotency key, if there is one.
async fn stored<T: DeserializeOwned>(connection: &PooledConn, ctx: &WriteCtx) -> Result<Option<Done<T>>> {
    let Some(asked) = &ctx.idempotency else { return Ok(None) };
    connection.unfinished();
    let told = async { Ok(connection.tell(ctx.caller.scope.rls_context()).await?) };
    let found = try_join(told, idempotency::replay(connection, &ctx.caller.id, asked)).await?.1;
    connection.finished();
    Ok(found.map(|value| Done { value, replayed: true, dry_run: false }))
}
