//! Named transactions, the only way to write.
//!
//! A transaction begins with its first statement. If its only statement is the last one, as in most creates, it runs as
//! that single statement. It runs again, a few times, after a conflict with a concurrent writer. A dry run executes the
//! same code and rolls back. A request with an idempotency key gets the answer that its first run stored.

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
    Db, NoEffect, OnConstraint,
    connection::PooledConn,
    idempotency,
    record::{Effect, Record, WriteStatement},
};

const MAX_RUNS: u32 = 5;
const KEY_CONSTRAINT: &str = "idempotency_keys_taken";

/// A running transaction.
pub struct Tx {
    connection: PooledConn,
    ctx: WriteCtx,
    begun: bool,
    /// True if the connection may be inside a transaction.
    unclean: bool,
    finished: bool,
    wake: bool,
}

/// Body of a transaction: an async closure that can run several times, such as `async |tx| { … }`.
pub trait TxBody<T>: for<'r> Call<&'r mut Tx, T> + AsyncFn(&mut Tx) -> Result<T> + Send + Sync {}

impl<T, F> TxBody<T> for F where F: for<'r> Call<&'r mut Tx, T> + AsyncFn(&mut Tx) -> Result<T> + Send + Sync {}

/// Body of a read: an async closure that can run several times, such as `async |c| { … }`.
pub trait ReadBody<T>:
    for<'r> Call<&'r AsyncPgConnection, T> + AsyncFn(&AsyncPgConnection) -> Result<T> + Send + Sync
{
}

impl<T, F> ReadBody<T> for F where
    F: for<'r> Call<&'r AsyncPgConnection, T> + AsyncFn(&AsyncPgConnection) -> Result<T> + Send + Sync
{
}

/// A closure whose future is `Send`, which `AsyncFn` cannot express.
pub trait Call<A, T>: Fn(A) -> Self::Future {
    /// Future of one call.
    type Future: Future<Output = Result<T>> + Send;
}

impl<A, T, F, Fut> Call<A, T> for F
where
    F: Fn(A) -> Fut,
    Fut: Future<Output = Result<T>> + Send,
{
    type Future = Fut;
}

impl Tx {
    /// Returns the connection, inside the transaction.
    ///
    /// # Errors
    /// If the transaction cannot begin.
    pub async fn conn(&mut self) -> Result<&mut AsyncPgConnection> {
        if !self.begun {
            let rls = Arc::clone(self.rls_context());
            // If this fails, the server may have executed `BEGIN` without the statements after it.
            self.unclean = true;
            self.connection.begin(&rls).await?;
            self.begun = true;
        }
        Ok(&mut self.connection)
    }

    fn rls_context(&self) -> &Arc<RlsContext> {
        self.ctx.caller.scope.rls_context()
    }

    /// Widens the RLS context to the whole platform for a caller limited to some of its entities: a check may depend
    /// on rows that the caller cannot see. Call it only after the object itself is known to be visible to the caller.
    ///
    /// # Errors
    /// If the transaction cannot begin.
    pub async fn widen_to_platform(&mut self, scope: &PlatformScope) -> Result<&mut AsyncPgConnection> {
        let c = self.conn().await?;
        if scope.subtree_roots().is_some() {
            c.batch_execute(&format!("SET LOCAL nno.platforms TO '{}'", scope.id())).await?;
        }
        Ok(c)
    }

    /// Takes the advisory lock `name` until the transaction ends. Statements after it see the changes of the previous
    /// holder. Use it where no row can be locked.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if another transaction holds the lock for too long.
    pub async fn advisory_lock(&mut self, name: &str) -> Result<&mut AsyncPgConnection> {
        let c = self.conn().await?;
        let lock = sql_query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))");
        lock.bind::<Text, _>(name).execute(c).await?;
        Ok(c)
    }

    /// Executes the last statement: the change and its record together. The caller and repeated requests get `answer`.
    ///
    /// # Errors
    /// The error that `on_constraint` returns for a violated constraint, or the general error for a database failure.
    pub async fn finish<E: Effect + 'static, T: Serialize>(
        &mut self,
        effect: E,
        record: Record,
        answer: T,
        on_constraint: impl FnOnce(&str) -> Option<Error>,
    ) -> Result<T> {
        self.wake |= record.has_commands();
        let statement = WriteStatement::new(effect, record, &self.ctx, &answer)?;
        // Without a scope over everything, the policies accept the record only in a transaction marked as writing.
        if self.ctx.dry_run || !self.ctx.caller.scope.is_all() {
            self.conn().await?;
        }
        let result = self.send(statement).await;
        result.on_constraint(|name| {
            if name == KEY_CONSTRAINT { Some(key_in_use()) } else { on_constraint(name) }
        })?;
        self.finished = true;
        Ok(answer)
    }

    /// Sends the statement: in the transaction if one has begun, else by itself.
    async fn send<E: Effect + 'static>(&mut self, statement: WriteStatement<E>) -> QueryResult<usize> {
        if self.begun {
            return statement.execute(&mut **self.connection).await;
        }
        let mut connection = &**self.connection;
        let session = self.connection.apply_session(self.rls_context());
        let ((), rows) = try_join(session, statement.execute(&mut connection)).await?;
        Ok(rows)
    }

    async fn commit<T: Serialize>(&mut self, answer: &T) -> Result<()> {
        if self.ctx.dry_run {
            return self.roll_back().await;
        }
        if !self.finished && self.ctx.idempotency.is_some() {
            let statement = WriteStatement::new(NoEffect, Record::default(), &self.ctx, answer)?;
            self.send(statement).await.on_constraint(|name| (name == KEY_CONSTRAINT).then(key_in_use))?;
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

/// Error for a key that is stored already, by a repeated request or by one that runs at the same time.
fn key_in_use() -> Error {
    Error::new(Kind::Conflict, "A request with this Idempotency-Key is still running. Try again later.")
}

impl Db {
    /// Runs `work` as the transaction `name`, such as `platform.suspend`.
    ///
    /// # Errors
    /// Errors of `work`. The transaction is rolled back.
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
                    tracing::debug!(
                        transaction = name,
                        run,
                        context = error.log_context(),
                        "running the transaction again"
                    );
                    let max = 5u64 << run;
                    let pause = rand::rng().random_range(1..=max);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    run += 1;
                }
                result => break result,
            }
        };
        self.disk.record_result(&result);
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
        connection.mark_busy();
        let mut tx =
            Tx { connection, ctx: ctx.clone(), begun: false, unclean: false, finished: false, wake: false };
        let result = match work(&mut tx).await {
            Ok(value) => tx.commit(&value).await.map(|()| value),
            Err(error) => Err(error),
        };
        let clean = result.is_ok() || tx.roll_back().await.is_ok() && !tx.unclean;
        if clean {
            tx.connection.mark_idle();
        }
        match result {
            Ok(value) => {
                if tx.wake && !ctx.dry_run {
                    self.wake_relay();
                }
                Ok(Done { value, replayed: false, dry_run: ctx.dry_run })
            }
            Err(error) if error.is_retryable() || !clean => Err(error),
            // A repeated request may fail on the effect of its first run. It gets the answer of the first run instead.
            Err(error) => stored(&tx.connection, ctx).await?.ok_or(error),
        }
    }

    /// Returns the stored answer for the request's idempotency key, if any. For writes that call other services before
    /// their transaction, because those services may answer differently by now.
    ///
    /// # Errors
    /// [`Kind::IdempotencyMismatch`] if the key was used for a different request.
    pub async fn replay<T: DeserializeOwned>(&self, ctx: &WriteCtx) -> Result<Option<Done<T>>> {
        if ctx.idempotency.is_none() {
            return Ok(None);
        }
        stored(&self.conn_for(&ctx.caller.scope.rls_context().fairness_key).await?, ctx).await
    }

    /// Runs a read under the caller's RLS context. Repeats it once if the connection turns out to be dead.
    ///
    /// # Errors
    /// Errors of `work`.
    pub async fn read<T, F>(&self, ctx: &Ctx, work: F) -> Result<T>
    where
        F: ReadBody<T>,
    {
        self.read_as(ctx.caller.scope.rls_context(), work).await
    }

    /// Runs a read of the service itself, which sees all rows.
    ///
    /// # Errors
    /// Errors of `work`.
    pub async fn service_read<T, F>(&self, work: F) -> Result<T>
    where
        F: ReadBody<T>,
    {
        self.read_as(self.service_rls(), work).await
    }

    async fn read_as<T, F>(&self, rls: &Arc<RlsContext>, work: F) -> Result<T>
    where
        F: ReadBody<T>,
    {
        let run = async |connection: PooledConn| {
            connection.mark_busy();
            let session = async { Ok(connection.apply_session(rls).await?) };
            let found = try_join(session, work(&connection)).await.map(|((), found)| found);
            // Not after a failure: the statement sent alongside the failed one may still be running.
            let failed = |error: &Error| matches!(error.kind(), Kind::ServiceUnavailable | Kind::Internal);
            if !found.as_ref().is_err_and(failed) {
                connection.mark_idle();
            }
            found
        };
        match run(self.conn_for(&rls.fairness_key).await?).await {
            Err(error) if error.kind() == Kind::ServiceUnavailable => {
                run(self.conn_for(&rls.fairness_key).await?).await
            }
            result => result,
        }
    }
}

/// Returns the answer stored under the request's idempotency key, if any.
async fn stored<T: DeserializeOwned>(connection: &PooledConn, ctx: &WriteCtx) -> Result<Option<Done<T>>> {
    let Some(request) = &ctx.idempotency else { return Ok(None) };
    connection.mark_busy();
    let session = async { Ok(connection.apply_session(ctx.caller.scope.rls_context()).await?) };
    let found = try_join(session, idempotency::replay(connection, &ctx.caller.id, request)).await?.1;
    connection.mark_idle();
    Ok(found.map(|value| Done { value, replayed: true, dry_run: false }))
}
