//! What is not to be believed any more.
//!
//! Gateways keep for a while what keys and people may do. Each watches one process of iam, which tells it what to
//! forget. A revocation is a row of the table `revocations`, written in the transaction that revokes. Each process reads
//! the new rows a few times a second; those of its own it tells at once, and answers who revoked only when the gateways
//! that watch it have forgotten.

mod hub;
mod store;
mod watch;

use std::{sync::Arc, time::Duration};

use domain::Result;
use runtime::worker;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(crate) use hub::Hub;
pub(crate) use store::note;
pub(crate) use watch::watch;

use crate::App;

/// How often a process looks for what others have revoked.
const POLL: Duration = Duration::from_millis(200);
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Something that was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Revocation {
    pub(crate) number: i64,
    pub(crate) what: What,
}

/// Of what nothing is to be believed any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum What {
    Key(Uuid),
    /// What a person holds.
    Subject(String),
}

/// Begins to look for what other processes revoke.
///
/// # Errors
/// Those of the database.
pub(crate) async fn start(app: &App) -> anyhow::Result<()> {
    let read = app.db.service_read(async |c| store::settled(c).await).await;
    let settled = read.map_err(|error| anyhow::anyhow!("{}: {}", error.message(), error.log_context()))?;
    app.revocations.begin(settled);
    let of = app.clone();
    worker::run(&app.shutdown, "revocations", POLL, Arc::default(), move || {
        let app = of.clone();
        async move { look(&app).await.inspect_err(|_| app.revocations.not_seen()).map(|()| false) }
    });
    let of = app.clone();
    worker::run(&app.shutdown, "revocations_sweep", SWEEP_EVERY, Arc::default(), move || {
        let app = of.clone();
        async move { store::sweep(&mut *app.db.service_conn().await?).await.map(|gone| gone > 0) }
    });
    Ok(())
}

/// Tells those who watch this process what is new.
async fn look(app: &App) -> Result<()> {
    let after = app.revocations.settled();
    let rows = app.db.service_read(async |c| store::newer(c, after).await).await?;
    let settled = rows.iter().filter(|row| row.settled).map(|row| row.number).max();
    for row in rows {
        if let Some(revocation) = row.read() {
            app.revocations.tell(&revocation);
        }
    }
    app.revocations.seen(settled);
    Ok(())
}
