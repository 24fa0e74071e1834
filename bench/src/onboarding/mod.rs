//! Onboardings from end to end, on a provider that only remembers what it is asked.

mod callers;
mod statements;
mod system;

use std::num::NonZeroU32;

use anyhow::{Result, ensure};
use callers::Times;
use fake_provider::Script;
use system::System;

use crate::report::line;

/// One after the other, at once, and at once against a provider that lets so many calls through in a second.
const ALONE: usize = 60;
const AT_ONCE: usize = 200;
const CAP: u32 = 100;

/// Measures and prints.
pub(crate) async fn measure(capped: usize) -> Result<()> {
    let system = System::start().await?;
    callers::one_by_one(&system, 20).await?;
    let alone = callers::one_by_one(&system, ALONE).await?;
    let (reads, writes) = statements::of_one(&system).await?;
    let (read, write) = statements::by_pgbench(&system).await?;
    line(format_args!("\n| onboardings | p50 ms | p99 ms |\n|---|--:|--:|"));
    tell("one after the other", &alone);
    let together = callers::at_once(&system, &[("one", AT_ONCE)]).await?;
    tell(&format!("{AT_ONCE} at once, {:.0} per second", together.rate()), &together);
    let sum = (reads * read + writes * write) as f64 / 1e3;
    line(format_args!(
        "\nIt sends {reads} statements that read and {writes} that write; by pgbench, one after the other, these take \
         {sum:.1} ms: {:.2} times as long as that.",
        alone.at(50) / sum
    ));
    if capped > 0 {
        against_a_cap(&system, capped).await?;
    }
    system.stop().await
}

fn tell(what: &str, times: &Times) {
    line(format_args!("| {what} | {:.1} | {:.1} |", times.at(50), times.at(99)));
}

/// One caller asks for nine of ten, nine others share the rest.
async fn against_a_cap(system: &System, all: usize) -> Result<()> {
    let script = Script { calls_per_second: NonZeroU32::new(CAP), ..Script::default() };
    system.provider.set_script(script).await?;
    let (before, memory) = (system.calls().await?, system.memory()?);
    let few = (all / 90).max(1);
    let names: Vec<String> = (1..10).map(|n| format!("quiet-{n}")).collect();
    let mut shares = vec![("busy", all - 9 * few)];
    shares.extend(names.iter().map(|name| (name.as_str(), few)));
    let times = callers::at_once(system, &shares).await?;
    let after = system.calls().await?;
    let (calls, refused) = (after.0 - before.0, after.1 - before.1);
    let bound = f64::from(CAP) * times.took.as_secs_f64();
    line(format_args!(
        "\n{all} at once against a provider that lets {CAP} calls through in a second: {:.1} s, {calls} calls and {refused} that were refused, \
         {:.0} % of what it lets through; {} have failed. The median of the busy caller's {} is {:.1} s, of the {} of the nine others {:.1} s.",
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
    ensure!(times.failed == 0, "{} onboardings have failed", times.failed);
    Ok(())
}
