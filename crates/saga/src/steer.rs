//! The operations by which people steer a saga: pause it, have it go on, retry it, cancel it, or end it as it stands.
//!
//! Each is a type. A service declares those that its API has, each with its words ([`Steered`]); another does not
//! compile.

use database::{Conn, Db, NoEffect, Record};
use domain::{Error, Kind, Result};
use identity::{Done, WriteCtx};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    api::{Found, Shown},
    ask_undo, discard, pause, resume, retry,
};

/// An operation on a saga.
pub trait Verb: Copy + Send + Sync {
    /// Does it; returns whether the saga was in a status for it.
    fn apply(self, c: &Conn, id: Uuid) -> impl Future<Output = Result<bool>> + Send;
}

/// The saga rests before its next step.
#[derive(Debug, Clone, Copy)]
pub struct Pause;

/// It goes on after a pause.
#[derive(Debug, Clone, Copy)]
pub struct Resume;

/// It goes on where it stopped, with new tries.
#[derive(Debug, Clone, Copy)]
pub struct Retry;

/// It is undone, for this reason.
#[derive(Debug, Clone, Copy)]
pub struct Cancel<'a>(pub &'a str);

/// It ends as it stands, for this reason.
#[derive(Debug, Clone, Copy)]
pub struct Discard<'a>(pub &'a str);

impl Verb for Pause {
    async fn apply(self, c: &Conn, id: Uuid) -> Result<bool> {
        pause(c, id).await
    }
}

impl Verb for Resume {
    async fn apply(self, c: &Conn, id: Uuid) -> Result<bool> {
        resume(c, id).await
    }
}

impl Verb for Retry {
    async fn apply(self, c: &Conn, id: Uuid) -> Result<bool> {
        retry(c, id).await
    }
}

impl Verb for Cancel<'_> {
    async fn apply(self, c: &Conn, id: Uuid) -> Result<bool> {
        ask_undo(c, id, self.0).await
    }
}

impl Verb for Discard<'_> {
    async fn apply(self, c: &Conn, id: Uuid) -> Result<bool> {
        discard(c, id, self.0).await
    }
}

/// A saga that the API of a service has the operation `V` on.
pub trait Steered<V>: Shown {
    /// The name of the transaction.
    const TRANSACTION: &'static str;
    /// The action in the audit log, such as `job.paused`.
    const ACTION: &'static str;
    /// The reason for which it is refused in the status that the saga has.
    const REFUSAL: &'static str;
}

/// Does it, in one transaction with its audit entry, and wakes the engine.
///
/// # Errors
/// [`Kind::NotFound`] for a saga that is not there; [`Kind::PreconditionFailed`] when the caller saw another state;
/// [`Kind::InvalidTransition`] in a status that the verb is not for.
pub async fn steer<T: Steered<V>, V: Verb>(
    db: &Db,
    wake: &Notify,
    ctx: &WriteCtx,
    id: Uuid,
    verb: V,
) -> Result<Done<T>> {
    let done = db
        .tx(T::TRANSACTION, ctx, async |tx| {
            let c = tx.conn().await?;
            let found = Found::<T>::read(c, ctx, id).await?;
            let before = found.show()?;
            ctx.check_match(&before)?;
            if !verb.apply(c, id).await? {
                let refused = Error::new(Kind::InvalidTransition, T::REFUSAL);
                return Err(refused.with("from", T::status_of(&found.told.saga)));
            }
            let after = Found::<T>::read(c, ctx, id).await?.show()?;
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
