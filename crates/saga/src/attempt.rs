//! One try of a step, and what is made of how it ended.

use std::{panic::AssertUnwindSafe, time::Duration};

use domain::{Error, Kind, Result};
use futures_util::FutureExt;
use rand::Rng;
use serde_json::Value;

use crate::{Policy, Progress, store::storable};

/// A step that hangs or panics has failed for now: it must not hold the saga, nor be run again for ever, uncounted.
pub(crate) async fn within<T>(time: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(time, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => {
            let said = panic.downcast_ref::<&str>().map(ToString::to_string);
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(Error::internal(format!("it panicked: {said}")))
        }
        Err(_) => {
            Err(Error::new(Kind::GatewayTimeout, format!("it took longer than {} s", time.as_secs_f32())))
        }
    }
}

/// An output that no row can hold is a failure of the step; else the write would fail for ever.
pub(crate) fn storable_output(progress: Progress) -> Result<Progress> {
    match &progress {
        Progress::Done(output) if has_nul(output) => {
            Err(Error::internal("the output has a NUL character, which a row cannot hold"))
        }
        _ => Ok(progress),
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// What a person is told of an error in a step: the code and the message that a client may see.
pub(crate) fn told(error: &Error) -> String {
    storable(&format!("{}: {}", error.kind(), error.message()))
}

/// Random, up to twice as long after each try (full jitter).
pub(crate) fn backoff(policy: Policy, tries: i32) -> Duration {
    let doublings = u32::try_from(tries.clamp(1, 16) - 1).unwrap_or(0);
    let most = policy.pause.saturating_mul(1 << doublings).min(policy.max_pause);
    most.mul_f64(rand::rng().random_range(0.0..=1.0))
}
