//! Callers of the onboarding API and the durations of their onboardings.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::system::System;

/// Time for all onboardings of a measurement.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Concurrent requests that start onboardings.
const CONCURRENT_REQUESTS: usize = 16;

/// Durations of onboardings by caller, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Times {
    each: Vec<(String, f64)>,
    pub(super) failed: usize,
    /// Duration of the whole measurement.
    pub(super) took: Duration,
}

impl Times {
    /// Returns a percentile in milliseconds.
    pub(super) fn at(&self, percent: usize) -> f64 {
        let mut sorted: Vec<f64> = self.each.iter().map(|(_, took)| *took).collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default()
    }

    /// Returns the durations of callers with this name prefix.
    pub(super) fn of(&self, caller: &str) -> Self {
        let each = self.each.iter().filter(|(name, _)| name.starts_with(caller)).cloned().collect();
        Self { each, ..Self::default() }
    }

    pub(super) fn rate(&self) -> f64 {
        self.each.len() as f64 / self.took.as_secs_f64()
    }
}

/// Runs onboardings one after another.
pub(super) async fn one_by_one(system: &System, many: usize) -> Result<Times> {
    let started = Instant::now();
    let mut all = Times::default();
    for _ in 0..many {
        let one = at_once(system, &[("one", 1)]).await?;
        all.each.extend(one.each);
        all.failed += one.failed;
    }
    ensure!(all.failed == 0, "{} onboardings failed", all.failed);
    Ok(Times { took: started.elapsed(), ..all })
}

/// Starts the given number of onboardings of each caller at once, in the order of `shares`, and waits for all.
pub(super) async fn at_once(system: &System, shares: &[(&str, usize)]) -> Result<Times> {
    let started = Instant::now();
    let callers = shares.iter().flat_map(|(caller, many)| std::iter::repeat_n(*caller, *many));
    let requests = stream::iter(callers.map(|caller| start(system, caller)));
    let ids: Vec<String> = requests.buffered(CONCURRENT_REQUESTS).try_collect().await?;
    wait(system, &ids, started).await
}

async fn start(system: &System, caller: &str) -> Result<String> {
    let slug = format!("p{}", domain::id::uuid_v7().simple());
    let body = json!({ "platformName": "Bench", "slug": slug, "tier": "starter" });
    let request = system.http.post(system.url()?).bearer_auth(system.token(caller)?).json(&body);
    let response = request.send().await?;
    let status = response.status();
    let body: Value = response.json().await?;
    ensure!(status.as_u16() == 201, "{status}: {body}");
    Ok(body.get("onboardingId").and_then(Value::as_str).context("no id")?.to_owned())
}

/// Waits until all onboardings have ended, and reads their durations from the database.
async fn wait(system: &System, ids: &[String], started: Instant) -> Result<Times> {
    let database = system.database("onboarding").await?;
    let unfinished = "SELECT count(*) FROM sagas WHERE status IN ('pending', 'running', 'undoing') AND id::text = ANY ($1)";
    while database.query_one(unfinished, &[&ids]).await?.get::<_, i64>(0) > 0 {
        ensure!(started.elapsed() < TIMEOUT, "the onboardings take longer than {TIMEOUT:?}");
        sleep(Duration::from_millis(if ids.len() > 1 { 100 } else { 5 })).await;
    }
    let took = started.elapsed();
    let each = "SELECT flow, extract(epoch FROM finished_at - created_at)::float8 * 1000, status = 'completed' \
         FROM sagas WHERE id::text = ANY ($1)";
    let rows = database.query(each, &[&ids]).await?;
    let failed = rows.iter().filter(|row| !row.get::<_, bool>(2)).count();
    Ok(Times { each: rows.iter().map(|row| (row.get(0), row.get(1))).collect(), failed, took })
}
