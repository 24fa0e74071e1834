//! Deletes expired rows.

use std::{sync::Arc, time::Duration};

use runtime::{shutdown::Shutdown, worker};

use crate::{Db, idempotency, outbox};

const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Deletes expired idempotency keys and delivered events until the process stops.
pub fn housekeeping(shutdown: &Shutdown, db: Db) {
    worker::run(shutdown, "housekeeping", SWEEP_EVERY, Arc::default(), move || {
        let db = db.clone();
        async move {
            let mut connection = db.service_conn().await?;
            let keys = idempotency::sweep(&mut connection).await?;
            let events = outbox::sweep(&mut connection).await?;
            Ok(keys + events > 0)
        }
    });
}
