//! The times at which sagas that this engine released are due again.
//!
//! The engine polls the table every `poll`. Without these times, a shorter pause would last until the next poll; polling
//! more often would cost every idle engine a query each time.

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
    /// Records that a saga is due at `time`.
    pub(crate) fn add(&self, time: Instant) {
        self.times().push(Reverse(time));
        self.sooner.notify_one();
    }

    /// Waits until the first recorded time, but not beyond `latest`.
    pub(crate) async fn wait(&self, latest: Instant) {
        loop {
            let first = self.times().peek().map_or(latest, |Reverse(time)| latest.min(*time));
            tokio::select! {
                () = tokio::time::sleep_until(first) => return,
                () = self.sooner.notified() => {}
            }
        }
    }

    /// Removes the times that have passed. Call it right before polling the table, which finds the sagas due by then.
    pub(crate) fn remove_past(&self) {
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
