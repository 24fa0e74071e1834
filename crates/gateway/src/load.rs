//! The number of requests in progress. A request beyond the limit is rejected before it waits for anything.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use domain::{Error, Kind, Result};
use runtime::fair::Permit;

type Callers = Arc<Mutex<HashMap<String, usize>>>;

/// The requests in progress in this process. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Load {
    all: Arc<AtomicUsize>,
    callers: Callers,
}

/// The permit of one request in the process; returned when dropped.
#[derive(Debug)]
pub(crate) struct ProcessPermit(Arc<AtomicUsize>);

impl Drop for ProcessPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The permit of one request of a caller; returned when dropped.
#[derive(Debug)]
pub(crate) struct CallerPermit {
    callers: Callers,
    id: String,
}

impl Drop for CallerPermit {
    fn drop(&mut self) {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = callers.get_mut(&self.id) {
            *count -= 1;
            // A caller without requests in progress has no entry.
            if *count == 0 {
                callers.remove(&self.id);
            }
        }
    }
}

/// All permits of one request. They are held until the last byte of its response has been sent.
pub(crate) type Permits = (ProcessPermit, Option<Permit>, CallerPermit);

impl Load {
    /// Acquires a permit of the process.
    ///
    /// # Errors
    /// [`Kind::ServiceUnavailable`] when `max` requests are in progress.
    pub(crate) fn acquire(&self, max: usize) -> Result<ProcessPermit> {
        take(&self.all, max).ok_or_else(|| overloaded("The gateway"))
    }

    /// Acquires a permit of a caller.
    ///
    /// # Errors
    /// [`Kind::RateLimited`] when the caller has `max` requests in progress.
    pub(crate) fn acquire_for_caller(&self, id: &str, max: usize) -> Result<CallerPermit> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let count = callers.entry(id.to_owned()).or_default();
        if max > 0 && *count >= max {
            let message =
                format!("You have {max} requests in progress, which is the limit. Wait for one to complete.");
            return Err(Error::new(Kind::RateLimited, message).with("retryAfterSeconds", 1));
        }
        *count += 1;
        drop(callers);
        Ok(CallerPermit { callers: Arc::clone(&self.callers), id: id.to_owned() })
    }
}

fn take(counter: &Arc<AtomicUsize>, max: usize) -> Option<ProcessPermit> {
    let before = counter.fetch_add(1, Ordering::Relaxed);
    let permit = ProcessPermit(Arc::clone(counter));
    (max == 0 || before < max).then_some(permit)
}

/// Returns the error for a request beyond a limit on requests in progress.
pub(crate) fn overloaded(what: &str) -> Error {
    Error::unavailable(what, "too many requests are in progress").with("retryAfterSeconds", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_returned() {
        let load = Load::default();
        let first = load.acquire(1).unwrap();
        assert_eq!(load.acquire(1).unwrap_err().kind(), Kind::ServiceUnavailable);
        let beyond = load.acquire(0).unwrap();
        drop((first, beyond));
        drop(load.acquire(1).unwrap());
        assert_eq!(load.all.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn caller_has_a_limit_and_no_entry_afterwards() {
        let load = Load::default();
        let held = (load.acquire_for_caller("a", 2).unwrap(), load.acquire_for_caller("a", 2).unwrap());
        assert_eq!(load.acquire_for_caller("a", 2).unwrap_err().kind(), Kind::RateLimited);
        drop(load.acquire_for_caller("b", 2).unwrap());
        drop(held);
        assert!(load.callers.lock().unwrap().is_empty());
    }
}
