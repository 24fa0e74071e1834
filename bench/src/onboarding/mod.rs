//! Onboardings from end to end with a provider that only records calls.

mod callers;
mod statements;
mod system;

use std::num::NonZeroU32;

use anyhow::{Result, ensure};
use callers::Times;
use fake_provider::Script;
use system::System;

use crate::report::line;

/// Number of onboardings one after another and at once, and the calls per second that the provider accepts.
const ALONE: usize = 60;
const AT_ONCE: usize = 200;
const CAP: u32 = 100;

/// Measures onboardings and prints the results.
pub(crate) async fn measure(capped: usize) -> Result<()> {
    let system = System::start().await?;
    callers::one_by_one(&system, 20).await?;
    let alone = callers::one_by_one(&system, ALONE).await?;
    let (reads, writes) = statements::count(&system).await?;
    let (read, write) = statements::by_pgbench(&system).await?;
    line(format_args!("\n| onboardings | p50 ms | p99 ms |\n|---|--:|--:|"));
    print("one after the other", &alone);
    let together = callers::at_once(&system, &[("one", AT_ONCE)]).await?;
    print(&format!("{AT_ONCE} at once, {:.0} per second", together.rate()), &together);
    let sum = (reads * read + writes * write) as f64 / 1e3;
    line(format_args!(
        "\nOne onboarding sends {reads} reading and {writes} writing statements. With pgbench, one after another, they take \
         {sum:.1} ms; an onboarding takes {:.2} times that.",
        alone.at(50) / sum
    ));
    if capped > 0 {
        with_rate_limit(&system, capped).await?;
    }
    system.stop().await
}

fn print(what: &str, times: &Times) {
    line(format_args!("| {what} | {:.1} | {:.1} |", times.at(50), times.at(99)));
}

/// One caller starts nine of ten onboardings, and nine others share the rest.
async fn with_rate_limit(system: &System, all: usize) -> Result<()> {
    let script = Script { calls_per_second: NonZeroU32::new(CAP), ..Script::default() };
    system.provider.set_script(script).await?;
    let (before, memory) = (system.calls().await?, system.memory()?);
    let few = (all / 90).max(1);
    let names: Vec<String> = (1..10).map(|n| format!("quiet-{n}")).collect();
    let mut shares = vec![("busy", all - 9 * few)];
    shares.extend(names.iter().map(|name| (name.as_str(), few)));
    let times = callers::at_once(system, &shares).await?;
    let after = system.calls().await?;
    let (calls, rejected) = (after.0 - before.0, after.1 - before.1);
    let bound = f64::from(CAP) * times.took.as_secs_f64();
    line(format_args!(
        "\n{all} at once with a provider that accepts {CAP} calls per second: {:.1} s, {calls} accepted and {rejected} rejected calls, \
         {:.0} % of the limit; {} failed. The median of the busy caller's {} is {:.1} s, of the {} of the nine others {:.1} s.",
        times.took.as_secs_f64(),
        calls as f64 / bound * 100.0,
        times.failed,
        all - 9 * few,
        times.of("busy").at(50) / 1e3,
        9 * few,
        times.of("quiet").at(50) / 1e3,
    ));
    for ((process, before), (_, after)) in memory.into_iter().zip(system.memory()?) {
        line(format_args!("\n{process}: {before} MiB resident before, {after} MiB after"));
    }
    ensure!(times.failed == 0, "{} onboardings failed", times.failed);
    Ok(())
}
