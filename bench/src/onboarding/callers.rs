//! Who asks for onboardings, and how long theirs take.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::system::System;

/// The longest that all may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// Requests for onboardings under way at a time.
const ASKING: usize = 16;

/// How long onboardings took, by caller, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Times {
    each: Vec<(String, f64)>,
    pub(super) failed: usize,
    /// All of them, from the first that was asked for.
    pub(super) took: Duration,
}

impl Times {
    pub(super) fn at(&self, percent: usize) -> f64 {
        let mut sorted: Vec<f64> = self.each.iter().map(|(_, took)| *took).collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default()
    }

    /// Those of the callers whose name begins so.
    pub(super) fn of(&self, caller: &str) -> Self {
        let each = self.each.iter().filter(|(name, _)| name.starts_with(caller)).cloned().collect();
        Self { each, ..Self::default() }
    }

    pub(super) fn rate(&self) -> f64 {
        self.each.len() as f64 / self.took.as_secs_f64()
    }
}

/// Onboardings one after the other.
pub(super) async fn one_by_one(system: &System, many: usize) -> Result<Times> {
    let begun = Instant::now();
    let mut all = Times::default();
    for _ in 0..many {
        let one = at_once(system, &[("one", 1)]).await?;
        all.each.extend(one.each);
        all.failed += one.failed;
    }
    ensure!(all.failed == 0, "{} onboardings have failed", all.failed);
    Ok(Times { took: begun.elapsed(), ..all })
}

/// So many onboardings of each caller, all asked for at once: the first caller's first.
pub(super) async fn at_once(system: &System, shares: &[(&str, usize)]) -> Result<Times> {
    let begun = Instant::now();
    let wanted = shares.iter().flat_map(|(caller, many)| std::iter::repeat_n(*caller, *many));
    let asked = stream::iter(wanted.map(|caller| ask(system, caller)));
    let ids: Vec<String> = asked.buffered(ASKING).try_collect().await?;
    ended(system, &ids, begun).await
}

async fn ask(system: &System, caller: &str) -> Result<String> {
    let slug = format!("p{}", domain::id::uuid_v7().simple());
    let body = json!({ "platformName": "Bench", "slug": slug, "tier": "starter" });
    let request = system.http.post(system.url()?).bearer_auth(system.token(caller)?).json(&body);
    let answer = request.send().await?;
    let status = answer.status();
    let told: Value = answer.json().await?;
    ensure!(status.as_u16() == 201, "{status}: {told}");
    Ok(told.get("onboardingId").and_then(Value::as_str).context("no id")?.to_owned())
}

/// Waits until all have ended, and reads from the database how long each took.
async fn ended(system: &System, ids: &[String], begun: Instant) -> Result<Times> {
    let database = system.database("onboarding").await?;
    let live = "SELECT count(*) FROM sagas WHERE status IN ('pending', 'running', 'undoing') AND id::text = ANY ($1)";
    while database.query_one(live, &[&ids]).await?.get::<_, i64>(0) > 0 {
        ensure!(begun.elapsed() < PATIENCE, "they take longer than {PATIENCE:?}");
        sleep(Duration::from_millis(if ids.len() > 1 { 100 } else { 5 })).await;
    }
    let took = begun.elapsed();
    let each = "SELECT flow, extract(epoch FROM finished_at - created_at)::float8 * 1000, status = 'completed' \
         FROM sagas WHERE id::text = ANY ($1)";
    let rows = database.query(each, &[&ids]).await?;
    let failed = rows.iter().filter(|row| !row.get::<_, bool>(2)).count();
    Ok(Times { each: rows.iter().map(|row| (row.get(0), row.get(1))).collect(), failed, took })
}
