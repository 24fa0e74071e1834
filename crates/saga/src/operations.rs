//! The operations on a saga: pause, resume, retry, cancel and discard.
//!
//! Each operation is a type. A service declares the operations of its API, with their names and messages, by
//! [`Supports`]; other operations do not compile.

use database::{Conn, Db, NoEffect, Record};
use domain::{Error, Kind, Result};
use identity::{Done, WriteCtx};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    api::{LoadedSaga, SagaResource},
    discard, pause, request_undo, resume, retry,
};

/// An operation on a saga.
pub trait Operation: Copy + Send + Sync {
    /// Applies the operation. Returns false if the status of the saga does not allow it.
    fn apply(self, c: &Conn, id: Uuid) -> impl Future<Output = Result<bool>> + Send;
}

/// Pauses the saga before its next step.
#[derive(Debug, Clone, Copy)]
pub struct Pause;

/// Resumes a paused saga.
#[derive(Debug, Clone, Copy)]
pub struct Resume;

/// Continues a stuck saga where it stopped, with new attempts.
#[derive(Debug, Clone, Copy)]
pub struct Retry;

/// Undoes the saga, for this reason.
#[derive(Debug, Clone, Copy)]
pub struct Cancel<'a>(pub &'a str);

/// Ends a stuck saga without undoing the rest of its effects, for this reason.
#[derive(Debug, Clone, Copy)]
pub struct Discard<'a>(pub &'a str);

impl Operation for Pause {
    async fn apply(self, c: &Conn, id: Uuid) -> Result<bool> {
        pause(c, id).await
    }
}

impl Operation for Resume {
    async fn apply(self, c: &Conn, id: Uuid) -> Result<bool> {
        resume(c, id).await
    }
}

impl Operation for Retry {
    async fn apply(self, c: &Conn, id: Uuid) -> Result<bool> {
        retry(c, id).await
    }
}

impl Operation for Cancel<'_> {
    async fn apply(self, c: &Conn, id: Uuid) -> Result<bool> {
        request_undo(c, id, self.0).await
    }
}

impl Operation for Discard<'_> {
    async fn apply(self, c: &Conn, id: Uuid) -> Result<bool> {
        discard(c, id, self.0).await
    }
}

/// A saga whose API offers the operation `O`.
pub trait Supports<O>: SagaResource {
    /// The name of the transaction.
    const TRANSACTION: &'static str;
    /// The action in the audit log, such as `job.paused`.
    const ACTION: &'static str;
    /// The error message for a saga whose status does not allow the operation.
    const REJECTION: &'static str;
}

/// Applies the operation in one transaction with its audit entry, and wakes the engine.
///
/// # Errors
/// [`Kind::NotFound`] if there is no such saga; [`Kind::PreconditionFailed`] if the caller's `If-Match` is stale;
/// [`Kind::InvalidTransition`] if the status of the saga does not allow the operation.
pub async fn apply_operation<T: Supports<O>, O: Operation>(
    db: &Db,
    wake: &Notify,
    ctx: &WriteCtx,
    id: Uuid,
    operation: O,
) -> Result<Done<T>> {
    let done = db
        .tx(T::TRANSACTION, ctx, async |tx| {
            let c = tx.conn().await?;
            let found = LoadedSaga::<T>::load(c, ctx, id).await?;
            let before = found.to_resource()?;
            ctx.check_match(&before)?;
            if !operation.apply(c, id).await? {
                let error = Error::new(Kind::InvalidTransition, T::REJECTION);
                return Err(error.with("from", T::status_of(&found.record.saga)));
            }
            let after = LoadedSaga::<T>::load(c, ctx, id).await?.to_resource()?;
            let record = Record::change(T::ACTION, T::NAME, id)
                .in_platform(after.platform())
                .before(&before)
                .after(&after);
            tx.finish(NoEffect, record, after, |_| None).await
        })
        .await;
    wake.notify_one();
    done
}
