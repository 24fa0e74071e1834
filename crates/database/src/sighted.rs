//! Connections that know what the database was told last of their user.
//!
//! Row-level security reads three settings: see [`RlsContext`]. A transaction that begins is told them as it begins, and
//! they end with it. A single statement has no beginning to be told in; so its connection keeps what it was told, and
//! is told anew when another uses it. What tells it is sent ahead of the statement, so it costs no round trip; and
//! nothing of an answer is believed unless that was taken. A connection that was never told sees no row.

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

/// How long a statement that nobody waits for is tried to be cancelled.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

type Transactions = <AsyncPgConnection as AsyncConnection>::TransactionManager;

/// A connection of a pool.
pub struct Sighted {
    connection: AsyncPgConnection,
    told: Mutex<Option<Arc<RlsContext>>>,
}

/// A connection that goes back to its pool when it is dropped, if it is known to be clean: outside a transaction, and
/// with no statement under way. Otherwise its next user would find an aborted transaction, or wait for the answer to
/// somebody else's question. Such a connection is closed, and what it still does is cancelled.
pub struct PooledConn {
    connection: Option<Object<Manager>>,
    unfinished: AtomicBool,
    /// Given back after the connection: whoever is granted it next finds a connection in the pool.
    _permit: Permit,
}

impl PooledConn {
    pub(super) fn new(connection: Object<Manager>, permit: Permit) -> Self {
        Self { connection: Some(connection), unfinished: AtomicBool::new(false), _permit: permit }
    }

    /// From here on the connection is closed when it is dropped, until [`Self::finished`].
    pub fn unfinished(&self) {
        self.unfinished.store(true, Ordering::Relaxed);
    }

    /// All answers have come, and no transaction is open.
    pub fn finished(&self) {
        self.unfinished.store(false, Ordering::Relaxed);
    }
}

impl Drop for PooledConn {
    fn drop(&mut self) {
        let Some(object) = self.connection.take().filter(|_| *self.unfinished.get_mut()) else { return };
        let lent = Object::take(object);
        let token = lent.connection.cancel_token();
        // A statement that nobody waits for would go on for as long as it takes.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = tokio::time::timeout(CANCEL_TIMEOUT, token.cancel_query(tokio_postgres::NoTls)).await;
                drop(lent);
            });
        }
    }
}

impl std::fmt::Debug for PooledConn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PooledConn")
    }
}

/// Makes connections, and takes back those that are whole.
#[derive(Debug)]
pub(super) struct Manager(pub(super) AsyncDieselConnectionManager<AsyncPgConnection>);

impl deadpool::managed::Manager for Manager {
    type Type = Sighted;
    type Error = PoolError;

    async fn create(&self) -> Result<Sighted, PoolError> {
        let connection = deadpool::managed::Manager::create(&self.0).await?;
        Ok(Sighted { connection, told: Mutex::default() })
    }

    async fn recycle(
        &self,
        lent: &mut Sighted,
        metrics: &deadpool::managed::Metrics,
    ) -> deadpool::managed::RecycleResult<PoolError> {
        deadpool::managed::Manager::recycle(&self.0, &mut lent.connection, metrics).await
    }
}

impl std::fmt::Debug for Sighted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sighted")
    }
}

/// The connection of a [`PooledConn`] is there until it is dropped.
const DROPPED: &str = "the connection is there until it is dropped";

impl std::ops::Deref for PooledConn {
    type Target = Sighted;

    #[expect(clippy::expect_used, reason = "only `drop` takes it out")]
    fn deref(&self) -> &Sighted {
        self.connection.as_ref().expect(DROPPED)
    }
}

impl std::ops::DerefMut for PooledConn {
    #[expect(clippy::expect_used, reason = "only `drop` takes it out")]
    fn deref_mut(&mut self) -> &mut Sighted {
        self.connection.as_mut().expect(DROPPED)
    }
}

impl std::ops::Deref for Sighted {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &AsyncPgConnection {
        &self.connection
    }
}

impl std::ops::DerefMut for Sighted {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.connection
    }
}

impl Sighted {
    /// Tells the database what the statements after this one see. It is sent when the future is polled first; what is
    /// sent later comes later.
    pub(super) fn tell(&self, sight: &Arc<RlsContext>) -> impl Future<Output = QueryResult<()>> {
        if self.told.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(sight) {
            return Either::Left(ready(Ok(())));
        }
        Either::Right(self.tell_anew(Arc::clone(sight)))
    }

    async fn tell_anew(&self, sight: Arc<RlsContext>) -> QueryResult<()> {
        // Whether it is taken is not known until it is answered, and this may be given up before.
        self.remember(None);
        let text = settings(&sight, "");
        SimpleAsyncConnection::batch_execute(&mut &self.connection, &text).await?;
        self.remember(Some(sight));
        Ok(())
    }

    fn remember(&self, sight: Option<Arc<RlsContext>>) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = sight;
    }

    /// Begins a transaction that sees this, and is one that writes.
    pub(super) async fn begin(&mut self, sight: &RlsContext) -> QueryResult<()> {
        let text = format!("BEGIN; SET LOCAL nno.writing TO 'on'; {}", settings(sight, "LOCAL "));
        Transactions::begin_transaction_sql(&mut self.connection, &text).await
    }

    pub(super) async fn commit(&mut self) -> QueryResult<()> {
        Transactions::commit_transaction(&mut self.connection).await
    }

    pub(super) async fn roll_back(&mut self) -> QueryResult<()> {
        Transactions::rollback_transaction(&mut self.connection).await
    }
}

/// The statements that tell it. Not prepared ones: those are sent when their preparation was answered, and so perhaps
/// after what follows them.
fn settings(sight: &RlsContext, local: &str) -> String {
    let RlsContext { platforms, entities, caller, .. } = sight;
    // Planning for a caller who is granted entities takes longer than most of their reads, and plans of their parameters
    // look cheaper than general ones without being so.
    let plans = if entities.is_empty() { "DEFAULT" } else { "force_generic_plan" };
    let (platforms, entities, caller) = (quoted(platforms), quoted(entities), quoted(caller));
    format!(
        "SET {local}nno.platforms TO {platforms}; SET {local}nno.entities TO {entities}; \
         SET {local}nno.caller TO {caller}; SET {local}plan_cache_mode TO {plans}"
    )
}

/// A literal, whatever is in the text.
fn quoted(text: &str) -> String {
    let plain = text.replace('\'', "''").replace('\\', "\\\\").replace('\0', "");
    format!("E'{plain}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_literal_and_no_more() {
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
