//! Connections that remember the RLS context last applied to them.
//!
//! Row-level security reads the session settings of [`RlsContext`]. A transaction applies them when it begins, and they
//! end with it. For a single statement, the connection keeps the last context and applies a new one only when it
//! differs. The settings are sent ahead of the statement, so they cost no round trip, and an answer is used only if the
//! settings were accepted. A connection without a context sees no row.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool::managed::Object;
use diesel::result::QueryResult;
use diesel_async::{
    AsyncConnection, AsyncPgConnection, SimpleAsyncConnection, TransactionManager,
    pooled_connection::{AsyncDieselConnectionManager, PoolError},
};
use futures_util::future::{Either, ready};
use identity::RlsContext;
use runtime::fair::Permit;

/// Time limit for cancelling an abandoned statement.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

type Transactions = <AsyncPgConnection as AsyncConnection>::TransactionManager;

/// A pooled connection with its RLS context.
pub struct RlsConnection {
    connection: AsyncPgConnection,
    applied: Mutex<Option<Arc<RlsContext>>>,
}

/// A connection that returns to its pool when it is dropped, if it is idle: no transaction is open and no statement is
/// running. Otherwise its next user would find an aborted transaction or wait for somebody else's result. A busy
/// connection is closed, and its statement is cancelled.
pub struct PooledConn {
    connection: Option<Object<Manager>>,
    busy: AtomicBool,
    /// Dropped after the connection, so that the next holder of the permit finds a connection in the pool.
    _permit: Permit,
}

impl PooledConn {
    pub(super) fn new(connection: Object<Manager>, permit: Permit) -> Self {
        Self { connection: Some(connection), busy: AtomicBool::new(false), _permit: permit }
    }

    /// Marks the connection as busy: until [`Self::mark_idle`], dropping it closes it.
    pub fn mark_busy(&self) {
        self.busy.store(true, Ordering::Relaxed);
    }

    /// Marks the connection as idle: all results have arrived, and no transaction is open.
    pub fn mark_idle(&self) {
        self.busy.store(false, Ordering::Relaxed);
    }
}

impl Drop for PooledConn {
    fn drop(&mut self) {
        let Some(object) = self.connection.take().filter(|_| *self.busy.get_mut()) else { return };
        let taken = Object::take(object);
        let token = taken.connection.cancel_token();
        // Nobody waits for the statement, but it would run to its end.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = tokio::time::timeout(CANCEL_TIMEOUT, token.cancel_query(tokio_postgres::NoTls)).await;
                drop(taken);
            });
        }
    }
}

impl std::fmt::Debug for PooledConn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PooledConn")
    }
}

/// Creates connections and recycles idle ones.
#[derive(Debug)]
pub(super) struct Manager(pub(super) AsyncDieselConnectionManager<AsyncPgConnection>);

impl deadpool::managed::Manager for Manager {
    type Type = RlsConnection;
    type Error = PoolError;

    async fn create(&self) -> Result<RlsConnection, PoolError> {
        let connection = deadpool::managed::Manager::create(&self.0).await?;
        Ok(RlsConnection { connection, applied: Mutex::default() })
    }

    async fn recycle(
        &self,
        pooled: &mut RlsConnection,
        metrics: &deadpool::managed::Metrics,
    ) -> deadpool::managed::RecycleResult<PoolError> {
        deadpool::managed::Manager::recycle(&self.0, &mut pooled.connection, metrics).await
    }
}

impl std::fmt::Debug for RlsConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RlsConnection")
    }
}

/// Panic message; only `drop` takes the connection out.
const DROPPED: &str = "the connection is there until it is dropped";

impl std::ops::Deref for PooledConn {
    type Target = RlsConnection;

    #[expect(clippy::expect_used, reason = "only `drop` takes it out")]
    fn deref(&self) -> &RlsConnection {
        self.connection.as_ref().expect(DROPPED)
    }
}

impl std::ops::DerefMut for PooledConn {
    #[expect(clippy::expect_used, reason = "only `drop` takes it out")]
    fn deref_mut(&mut self) -> &mut RlsConnection {
        self.connection.as_mut().expect(DROPPED)
    }
}

impl std::ops::Deref for RlsConnection {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &AsyncPgConnection {
        &self.connection
    }
}

impl std::ops::DerefMut for RlsConnection {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.connection
    }
}

impl RlsConnection {
    /// Applies an RLS context to the statements that follow. The future sends the settings when it is first polled,
    /// ahead of any later statement.
    pub(super) fn apply_session(&self, rls: &Arc<RlsContext>) -> impl Future<Output = QueryResult<()>> {
        if self.applied.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(rls) {
            return Either::Left(ready(Ok(())));
        }
        Either::Right(self.send_session(Arc::clone(rls)))
    }

    async fn send_session(&self, rls: Arc<RlsContext>) -> QueryResult<()> {
        // The outcome is unknown until the answer arrives, and the caller may drop this future before.
        self.set_applied(None);
        let text = settings(&rls, "");
        SimpleAsyncConnection::batch_execute(&mut &self.connection, &text).await?;
        self.set_applied(Some(rls));
        Ok(())
    }

    fn set_applied(&self, rls: Option<Arc<RlsContext>>) {
        *self.applied.lock().unwrap_or_else(PoisonError::into_inner) = rls;
    }

    /// Begins a write transaction under an RLS context.
    pub(super) async fn begin(&mut self, rls: &RlsContext) -> QueryResult<()> {
        let text = format!("BEGIN; SET LOCAL nno.writing TO 'on'; {}", settings(rls, "LOCAL "));
        Transactions::begin_transaction_sql(&mut self.connection, &text).await
    }

    pub(super) async fn commit(&mut self) -> QueryResult<()> {
        Transactions::commit_transaction(&mut self.connection).await
    }

    pub(super) async fn roll_back(&mut self) -> QueryResult<()> {
        Transactions::rollback_transaction(&mut self.connection).await
    }
}

/// SQL that applies an RLS context. Not prepared: a prepared statement is sent only after its preparation is answered,
/// and so possibly after the statements that follow.
fn settings(rls: &RlsContext, local: &str) -> String {
    let RlsContext { platforms, entities, caller, .. } = rls;
    // For a caller with entity grants, planning takes longer than most reads, and PostgreSQL wrongly estimates custom
    // plans as cheaper than generic ones.
    let plans = if entities.is_empty() { "DEFAULT" } else { "force_generic_plan" };
    let (platforms, entities, caller) = (quoted(platforms), quoted(entities), quoted(caller));
    format!(
        "SET {local}nno.platforms TO {platforms}; SET {local}nno.entities TO {entities}; \
         SET {local}nno.caller TO {caller}; SET {local}plan_cache_mode TO {plans}"
    )
}

/// Quotes any text as a literal.
fn quoted(text: &str) -> String {
    let plain = text.replace('\'', "''").replace('\\', "\\\\").replace('\0', "");
    format!("E'{plain}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_cannot_leave_the_literal() {
        for (text, literal) in [
            ("apikey:1", "E'apikey:1'"),
            ("o'neil", "E'o''neil'"),
            ("'; SET nno.platforms TO '*", "E'''; SET nno.platforms TO ''*'"),
            (r"\'; SET nno.platforms TO '*", r"E'\\''; SET nno.platforms TO ''*'"),
            ("a\0b", "E'ab'"),
        ] {
            assert_eq!(quoted(text), literal);
        }
    }
}
