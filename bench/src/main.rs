//! `bench`: speed of the registry and the gateway, compared with PostgreSQL and nginx alone under the same load.
//!
//! All measurements run one after another on one machine, so ratios are meaningful and absolute figures depend on the
//! machine. See `bench/README.md`.

mod compare;
mod fairness;
mod onboarding;
mod policies;
mod process;
mod report;
mod requests;
mod testbed;
mod tools;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;

use report::Report;
use requests::Requests;
use testbed::Testbed;
use tools::{Load, Query};

/// Operations of the registry, compared with the statements that they send.
const OPERATIONS: [(&str, &str); 4] = [
    ("get", "get: pgbench, registry"),
    ("page", "page: pgbench, registry"),
    ("manifest", "manifest: pgbench, registry"),
    ("create", "create: pgbench, registry"),
];

/// Cost of row-level security in the database alone, for a caller with access to all platforms.
const POLICIES: [(&str, &str); 4] = [
    ("get", "get: no policies, policies"),
    ("page", "page: no policies, policies"),
    ("manifest", "manifest: no policies, policies"),
    ("create", "create: no policies, policies"),
];
/// Number of platforms of a caller with access to only some.
const FEW: u32 = 10;

#[derive(Parser)]
#[command(about = "Measure the registry and the gateway against pgbench and nginx; prints ratios")]
struct Args {
    /// Number of platforms in the registry; one run for each number
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 1_000_000])]
    rows: Vec<u32>,
    /// Duration of each measurement, in seconds
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=25))]
    seconds: u64,
    /// Number of repetitions, whose median is reported
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    repeat: u32,
    /// Number of connections, each with one request at a time
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=64))]
    connections: u32,
    /// Measure onboardings instead: this many against a provider that accepts 100 calls per second
    #[arg(long, value_name = "MANY", num_args = 0..=1, default_missing_value = "1000")]
    onboarding: Option<usize>,
    /// Measure the effect of one tenant's load on another instead
    #[arg(long)]
    fairness: bool,
    /// Compare with the programs of another version in this folder; both run and are measured in turn
    #[arg(long, value_name = "FOLDER")]
    compare: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(capped) = args.onboarding {
        return onboarding::measure(capped).await;
    }
    if args.fairness {
        return fairness::measure(Duration::from_secs(args.seconds)).await;
    }
    let load = Load { seconds: Duration::from_secs(args.seconds), connections: args.connections };
    if let Some(before) = &args.compare {
        for rows in &args.rows {
            let report = compare::measure(before, *rows, args.repeat, load).await?;
            report.print(*rows, ["before", "after"]);
        }
        return Ok(());
    }
    let mut first = None;
    for rows in &args.rows {
        let report =
            measure(*rows, args.repeat, load).await.with_context(|| format!("with {rows} platforms"))?;
        report.print(*rows, ["alone", "with nno"]);
        match &first {
            None => first = Some((*rows, report)),
            Some((few, fewer)) => report.print_slowdown(fewer, *rows, *few),
        }
    }
    Ok(())
}

async fn measure(rows: u32, repeat: u32, load: Load) -> Result<Report> {
    let testbed = Testbed::start(rows, true, None).await?;
    let requests = Requests::write(&testbed.dir, rows)?;
    let mut report = Report::default();
    for _ in 0..repeat {
        let mut get_alone = None;
        for (operation, pair) in OPERATIONS {
            let query = Query { operation, rows, seen: "*" };
            let alone = tools::pgbench(&testbed.dir, &testbed.database, query, load).await?;
            let service =
                tools::wrk(&testbed.registry, &testbed.token()?, requests.file(operation), load).await?;
            report.add(pair, alone, service);
            get_alone.get_or_insert(alone);
        }
        let nginx = tools::wrk(&testbed.nginx, &testbed.token()?, requests.file("get"), load).await?;
        let gateway = tools::wrk(&testbed.gateway, testbed::OPERATOR_KEY, requests.file("get"), load).await?;
        report.add("get: nginx, gateway", nginx, gateway);
        let manifest =
            tools::wrk(&testbed.gateway, testbed::OPERATOR_KEY, requests.file("manifest"), load).await?;
        if let Some(get) = get_alone {
            report.add("get by pgbench, manifest by gateway", get, manifest);
        }
        policies(&testbed, &requests, rows, load, &mut report).await?;
        proxies(&testbed, &requests, load, &mut report).await?;
    }
    report.memory = vec![("registry", testbed.registry.memory()?), ("gateway", testbed.gateway.memory()?)];
    testbed.stop().await?;
    Ok(report)
}

/// Compares operations with and without row-level security, in the database alone and at the registry.
async fn policies(
    testbed: &Testbed,
    requests: &Requests,
    rows: u32,
    load: Load,
    report: &mut Report,
) -> Result<()> {
    let few = (0..FEW).map(|n| (requests::FIRST + n).to_string()).collect::<Vec<_>>().join(",");
    let all = POLICIES.map(|(operation, pair)| (Query { operation, rows, seen: "*" }, pair));
    let of_few = [
        (Query { operation: "get", rows: FEW, seen: &few }, "get of ten: no policies, policies"),
        (Query { operation: "manifest", rows: FEW, seen: &few }, "manifest of ten: no policies, policies"),
    ];
    for (query, pair) in all.into_iter().chain(of_few) {
        testbed.set_policies(false).await?;
        let without = tools::pgbench(&testbed.dir, &testbed.database, query, load).await?;
        testbed.set_policies(true).await?;
        report.add(pair, without, tools::pgbench(&testbed.dir, &testbed.database, query, load).await?);
    }
    let own = requests.file("own");
    testbed.set_policies(false).await?;
    let without = tools::wrk(&testbed.registry, &testbed.token_of_one()?, own.clone(), load).await?;
    testbed.set_policies(true).await?;
    let with = tools::wrk(&testbed.registry, &testbed.token_of_one()?, own, load).await?;
    report.add("get of one by registry: no policies, policies", without, with);
    Ok(())
}

/// Measures the latency that nginx and the gateway each add to a request. nginx only forwards; the gateway resolves a key,
/// applies rate limits and signs a token.
async fn proxies(testbed: &Testbed, requests: &Requests, load: Load, report: &mut Report) -> Result<()> {
    let (one, get, key) = (Load { connections: 1, ..load }, requests.file("get"), testbed.key().await?);
    let direct = tools::wrk(&testbed.registry, &testbed.token()?, get.clone(), one).await?;
    let nginx = tools::wrk(&testbed.nginx, &testbed.token()?, get.clone(), one).await?;
    let gateway = tools::wrk(&testbed.gateway, &key, get.clone(), one).await?;
    report.added.push((nginx.p50.saturating_sub(direct.p50), gateway.p50.saturating_sub(direct.p50)));
    let nginx = tools::wrk(&testbed.nginx, &testbed.token()?, get.clone(), load).await?;
    let gateway = tools::wrk(&testbed.gateway, &key, get, load).await?;
    report.add("get with a key: nginx, gateway", nginx, gateway);
    Ok(())
}
