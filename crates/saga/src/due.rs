//! When sagas are due again that this engine let go of.
//!
//! The table is looked at every `poll`. A pause that is shorter would be stretched to that; asking the table more
//! often would cost every idle engine a query each time. An engine knows the pauses that it granted itself.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::Notify, time::Instant};

type Heap = BinaryHeap<Reverse<Instant>>;

#[derive(Debug, Default)]
pub(crate) struct Due {
    times: Mutex<Heap>,
    sooner: Notify,
}

impl Due {
    /// Something is due at `time`.
    pub(crate) fn note(&self, time: Instant) {
        self.times().push(Reverse(time));
        self.sooner.notify_one();
    }

    /// Ends when the first noted time has come, or at `latest`.
    pub(crate) async fn wait(&self, latest: Instant) {
        loop {
            let first = self.times().peek().map_or(latest, |Reverse(time)| latest.min(*time));
            tokio::select! {
                () = tokio::time::sleep_until(first) => return,
                () = self.sooner.notified() => {}
            }
        }
    }

    /// To be called right before the table is looked at, which finds all that was due by then.
    pub(crate) fn forget_past(&self) {
        let now = Instant::now();
        let mut times = self.times();
        while times.peek().is_some_and(|Reverse(time)| *time <= now) {
            times.pop();
        }
    }

    fn times(&self) -> MutexGuard<'_, Heap> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
