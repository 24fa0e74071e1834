//! Revocations: invalidation of the gateways' caches.
//!
//! Gateways cache the grants of keys and users. Each gateway watches one process of iam, which sends it the entries to
//! drop. A revocation is a row of the table `revocations`, written in the transaction of the change. Each process polls
//! for new rows a few times a second. It publishes its own revocations at once, and responds to the caller after all
//! gateways that watch it have acknowledged them.

mod hub;
mod store;
mod watch;

use std::{sync::Arc, time::Duration};

use domain::Result;
use runtime::worker;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(crate) use hub::Hub;
pub(crate) use store::record;
pub(crate) use watch::watch;

use crate::App;

/// Interval at which a process polls for revocations of other processes.
const POLL: Duration = Duration::from_millis(200);
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Revocation with its number, in which all processes agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Revocation {
    pub(crate) number: i64,
    // Responses that are stored for repetitions contain the name `what`.
    #[serde(rename = "what")]
    pub(crate) target: Revoked,
}

/// Target of a revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Revoked {
    Key(Uuid),
    /// The bindings of a user.
    Subject(String),
}

/// Starts polling for revocations of other processes.
///
/// # Errors
/// Returns an error if the database cannot be read.
pub(crate) async fn start(app: &App) -> anyhow::Result<()> {
    let read = app.db.service_read(async |c| store::settled(c).await).await;
    let settled = read.map_err(|error| anyhow::anyhow!("{}: {}", error.message(), error.log_context()))?;
    app.revocations.start(settled);
    let state = app.clone();
    worker::run(&app.shutdown, "revocations", POLL, Arc::default(), move || {
        let app = state.clone();
        async move { poll(&app).await.inspect_err(|_| app.revocations.poll_failed()).map(|()| false) }
    });
    let state = app.clone();
    worker::run(&app.shutdown, "revocations_sweep", SWEEP_EVERY, Arc::default(), move || {
        let app = state.clone();
        async move { store::sweep(&mut *app.db.service_conn().await?).await.map(|deleted| deleted > 0) }
    });
    Ok(())
}

/// Publishes the new revocations to the gateways that watch this process.
async fn poll(app: &App) -> Result<()> {
    let after = app.revocations.settled();
    let rows = app.db.service_read(async |c| store::newer(c, after).await).await?;
    let settled = rows.iter().filter(|row| row.settled).map(|row| row.number).max();
    for row in rows {
        if let Some(revocation) = row.into_revocation() {
            app.revocations.publish(&revocation);
        }
    }
    app.revocations.polled(settled);
    Ok(())
}
