//! Parties that hear from an engine.

use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{Followers, Interpose, StepRow};

/// Waits that may be on their way to who listens; more are left to the time at which their steps are asked again.
const MOST: usize = 4096;

/// Parties that hear from an engine, if there are any.
#[derive(Clone, Default)]
pub struct Hooks {
    /// Interferes with steps, in tests.
    pub interpose: Option<Interpose>,
    /// Those who wait for the ends of sagas in this process hear of them at once.
    pub ends: Option<Followers>,
    /// Receives the jobs of provisioning that sagas wait for, as often as an engine lets go of such a saga.
    pub waits: Option<mpsc::Sender<Uuid>>,
}

impl Hooks {
    /// A channel for the jobs that sagas wait for.
    pub fn waits() -> (mpsc::Sender<Uuid>, mpsc::Receiver<Uuid>) {
        mpsc::channel(MOST)
    }

    /// Reports the jobs that these steps of a saga wait for. Call it after the steps are written: who hears that such a
    /// job has ended finds them waiting.
    pub(crate) fn report_waits(&self, steps: &[StepRow]) {
        let Some(waits) = &self.waits else { return };
        for job in steps.iter().filter_map(|step| step.waiting_for.as_ref()?.job()) {
            if waits.try_send(job).is_err() {
                tracing::debug!(%job, "nobody listens for the end of the job");
            }
        }
    }

    /// Reports that a saga has ended.
    pub(crate) fn report_end(&self, saga: Uuid) {
        if let Some(followers) = &self.ends {
            followers.note_end(saga);
        }
    }
}

impl From<Option<Interpose>> for Hooks {
    fn from(interpose: Option<Interpose>) -> Self {
        Self { interpose, ..Self::default() }
    }
}
