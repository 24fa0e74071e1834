//! What people do to a saga: pause it, have it go on, retry it, cancel it, or end it as it stands.

use database::{Conn, Db, NoEffect, Record};
use domain::{Error, Kind, PlatformId, Result};
use identity::{Done, WriteCtx};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{ask_undo, discard, pause, resume, retry};

/// A saga as the API of a service shows it.
pub trait Shown: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// What it is called in the audit log, such as `job`.
    const NAME: &'static str;
    /// The name of the transaction that steers it.
    const TRANSACTION: &'static str;

    /// Reads one that the caller of `ctx` sees.
    fn read(c: &Conn, ctx: &WriteCtx, id: Uuid) -> impl Future<Output = Result<Self>> + Send;

    /// The platform that it is about.
    fn platform(&self) -> &PlatformId;

    /// Its status, as it is shown.
    fn status(&self) -> impl Serialize;

    /// The action in the audit log, such as `job.paused`.
    fn action(verb: Verb<'_>) -> &'static str;

    /// Why a verb is refused in the status that it has.
    fn refusal(verb: Verb<'_>) -> &'static str;
}

/// What is done to a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb<'a> {
    /// It rests before its next step.
    Pause,
    /// It goes on after a pause.
    Resume,
    /// It goes on where it stopped, with new tries.
    Retry,
    /// It is undone, for this reason.
    Cancel(&'a str),
    /// It ends as it stands, for this reason.
    Discard(&'a str),
}

impl Verb<'_> {
    /// Whether the saga was in a status for it.
    async fn apply(self, c: &Conn, id: Uuid) -> Result<bool> {
        match self {
            Self::Pause => pause(c, id).await,
            Self::Resume => resume(c, id).await,
            Self::Retry => retry(c, id).await,
            Self::Cancel(why) => ask_undo(c, id, why).await,
            Self::Discard(why) => discard(c, id, why).await,
        }
    }
}

/// Does it, in one transaction with its audit entry, and wakes the engine.
///
/// # Errors
/// [`Kind::NotFound`] for a saga that is not there; [`Kind::PreconditionFailed`] when the caller saw another state;
/// [`Kind::InvalidTransition`] in a status that the verb is not for.
pub async fn steer<T: Shown>(
    db: &Db,
    wake: &Notify,
    ctx: &WriteCtx,
    id: Uuid,
    verb: Verb<'_>,
) -> Result<Done<T>> {
    let done = db
        .tx(T::TRANSACTION, ctx, async |tx| {
            let c = tx.conn().await?;
            let before = T::read(c, ctx, id).await?;
            ctx.check_match(&before)?;
            if !verb.apply(c, id).await? {
                return Err(
                    Error::new(Kind::InvalidTransition, T::refusal(verb)).with("from", before.status())
                );
            }
            let after = T::read(c, ctx, id).await?;
            let record = Record::change(T::action(verb), T::NAME, id)
                .of(after.platform())
                .before(&before)
                .after(&after);
            tx.finish(NoEffect, record, after, |_| None).await
        })
        .await;
    wake.notify_one();
    done
}
