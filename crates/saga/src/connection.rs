//! Statements of runners, each on a connection that returns to the pool only after the response.
//!
//! Runners abandon statements: when a lease is lost, when the process stops, or when the network drops the request. The
//! next user of a connection with a response outstanding would have to wait for that response first.

use std::time::Duration;

use database::{Db, ReadBody};
use domain::{Error, Result};

/// The number of times a failing statement is sent.
const MAX_SENDS: u32 = 7;
/// The pause before a statement is sent again, doubled each time.
const RESEND_PAUSE: Duration = Duration::from_millis(20);

/// Runs `statement` and abandons it after `timeout`.
///
/// # Errors
/// Those of `statement`; [`domain::Kind::ServiceUnavailable`] without a connection or a response in time.
pub(crate) async fn run_with_timeout<T, F>(db: &Db, timeout: Duration, statement: F) -> Result<T>
where
    F: ReadBody<T>,
{
    let connection = db.service_conn().await?;
    connection.mark_busy();
    let result = tokio::time::timeout(timeout, statement(&connection)).await;
    let result = result.map_err(|late| Error::unavailable("The database", late))?;
    connection.mark_idle();
    result
}

/// Retries a failing statement. Giving up would delay the saga and run a step again that has already taken effect.
pub(crate) async fn with_retries<T, F>(statement: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut sent = 0;
    loop {
        sent += 1;
        match statement().await {
            Err(error) if sent < MAX_SENDS => {
                tracing::debug!(sent, context = error.log_context(), "retrying the statement");
                tokio::time::sleep(RESEND_PAUSE * (1 << (sent - 1))).await;
            }
            result => return result,
        }
    }
}
