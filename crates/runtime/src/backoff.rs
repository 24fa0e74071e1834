//! Exponential backoff with jitter.

use std::time::Duration;

use rand::Rng;

/// Pauses between attempts that double with each consecutive failure, up to a limit.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Creates a backoff with pauses from `first` to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// Returns the pause after this number of consecutive failures: a random duration between half of the full pause
    /// and all of it, so that clients that failed together do not retry together.
    pub fn pause(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        let full = self.first.saturating_mul(1 << doublings).min(self.longest);
        full.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_up_to_the_limit() {
        let backoff = Backoff::new(FIRST, LONGEST);
        for (failures, full) in
            [(0, FIRST), (1, FIRST), (2, FIRST * 2), (4, FIRST * 8), (5, LONGEST), (u32::MAX, LONGEST)]
        {
            for _ in 0..100 {
                let pause = backoff.pause(failures);
                assert!((full / 2..=full).contains(&pause), "{failures} failures: {pause:?}");
            }
        }
    }

    #[test]
    fn pauses_are_randomized() {
        let backoff = Backoff::new(LONGEST, LONGEST);
        let pauses: std::collections::BTreeSet<Duration> = (0..100).map(|_| backoff.pause(1)).collect();
        assert!(pauses.len() > 10, "{} different pauses", pauses.len());
    }
}
