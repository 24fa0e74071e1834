//! Listeners of an engine.

use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{FaultInjector, Followers, StepRow};

/// Capacity of the channel of awaited jobs. When it is full, the steps are run again after [`crate::Wait::retry_after`].
const CHANNEL_CAPACITY: usize = 4096;

/// Optional listeners of an engine.
#[derive(Clone, Default)]
pub struct Hooks {
    /// Injects faults into steps, in tests.
    pub fault_injector: Option<FaultInjector>,
    /// Notified at once when this process ends a saga.
    pub followers: Option<Followers>,
    /// Receives the provisioning jobs that sagas wait for, whenever the engine releases such a saga.
    pub awaited_jobs: Option<mpsc::Sender<Uuid>>,
}

impl Hooks {
    /// Creates a channel for [`Hooks::awaited_jobs`].
    pub fn job_channel() -> (mpsc::Sender<Uuid>, mpsc::Receiver<Uuid>) {
        mpsc::channel(CHANNEL_CAPACITY)
    }

    /// Reports the jobs that these steps wait for. Call it after the steps are written, so that the listener finds them
    /// waiting when such a job ends.
    pub(crate) fn report_waits(&self, steps: &[StepRow]) {
        let Some(listener) = &self.awaited_jobs else { return };
        for job in steps.iter().filter_map(|step| step.waiting_for.as_ref()?.job()) {
            if listener.try_send(job).is_err() {
                tracing::debug!(%job, "cannot report that a saga waits for the job");
            }
        }
    }

    /// Notifies the followers that a saga has ended.
    pub(crate) fn report_end(&self, saga: Uuid) {
        if let Some(followers) = &self.followers {
            followers.notify_end(saga);
        }
    }
}

impl From<Option<FaultInjector>> for Hooks {
    fn from(fault_injector: Option<FaultInjector>) -> Self {
        Self { fault_injector, ..Self::default() }
    }
}
