//! `bench`: how fast the registry and the gateway are, beside what PostgreSQL and nginx do alone with the same.
//!
//! Everything runs on this machine, one after the other in one run, so that only ratios are told of: absolute figures
//! are those of the machine. See `bench/README.md`.

mod compare;
mod fairness;
mod onboarding;
mod policies;
mod process;
mod report;
mod requests;
mod site;
mod tools;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;

use report::Report;
use requests::Requests;
use site::Site;
use tools::{Asked, Load};

/// What is measured at the service itself, against the statements that it sends.
const OPERATIONS: [(&str, &str); 4] = [
    ("get", "get: pgbench, registry"),
    ("page", "page: pgbench, registry"),
    ("manifest", "manifest: pgbench, registry"),
    ("create", "create: pgbench, registry"),
];

/// What row-level security costs, in the database alone: without it, and with it for someone who sees all.
const POLICIES: [(&str, &str); 4] = [
    ("get", "get: no policies, policies"),
    ("page", "page: no policies, policies"),
    ("manifest", "manifest: no policies, policies"),
    ("create", "create: no policies, policies"),
];
/// For someone who sees these many platforms, and no others.
const FEW: u32 = 10;

#[derive(Parser)]
#[command(about = "Measure the registry and the gateway against pgbench and nginx; prints ratios")]
struct Args {
    /// How many platforms the registry has; a run for each
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 1_000_000])]
    rows: Vec<u32>,
    /// How long each measurement takes, in seconds
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=25))]
    seconds: u64,
    /// How often each is measured; the median is told
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    repeat: u32,
    /// Connections that send requests, each waiting for its answer
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=64))]
    connections: u32,
    /// Measure onboardings instead, these many of them against a provider that lets 100 calls through in a second
    #[arg(long, value_name = "MANY", num_args = 0..=1, default_missing_value = "1000")]
    onboarding: Option<usize>,
    /// Measure what one tenant's load does to another instead
    #[arg(long)]
    fairness: bool,
    /// Compare with the programs of another version in this folder: both run, and are measured in turn
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
            Some((few, fewer)) => report.print_beside(fewer, *rows, *few),
        }
    }
    Ok(())
}

async fn measure(rows: u32, repeat: u32, load: Load) -> Result<Report> {
    let site = Site::start(rows, true, None).await?;
    let requests = Requests::write(&site.dir, rows)?;
    let mut report = Report::default();
    for _ in 0..repeat {
        let mut get_alone = None;
        for (operation, pair) in OPERATIONS {
            let asked = Asked { operation, rows, seen: "*" };
            let alone = tools::pgbench(&site.dir, &site.database, asked, load).await?;
            let service = tools::wrk(&site.registry, &site.token()?, requests.file(operation), load).await?;
            report.add(pair, alone, service);
            get_alone.get_or_insert(alone);
        }
        let nginx = tools::wrk(&site.nginx, &site.token()?, requests.file("get"), load).await?;
        let gateway = tools::wrk(&site.gateway, site::OPERATOR_KEY, requests.file("get"), load).await?;
        report.add("get: nginx, gateway", nginx, gateway);
        let manifest = tools::wrk(&site.gateway, site::OPERATOR_KEY, requests.file("manifest"), load).await?;
        if let Some(get) = get_alone {
            report.add("get by pgbench, manifest by gateway", get, manifest);
        }
        second_wall(&site, &requests, rows, load, &mut report).await?;
        front(&site, &requests, load, &mut report).await?;
    }
    report.memory = vec![("registry", site.registry.memory()?), ("gateway", site.gateway.memory()?)];
    site.stop().await?;
    Ok(report)
}

/// The same without row-level security and with it: in the database alone, and at the registry.
async fn second_wall(
    site: &Site,
    requests: &Requests,
    rows: u32,
    load: Load,
    report: &mut Report,
) -> Result<()> {
    let few = (0..FEW).map(|n| (requests::FIRST + n).to_string()).collect::<Vec<_>>().join(",");
    let all = POLICIES.map(|(operation, pair)| (Asked { operation, rows, seen: "*" }, pair));
    let of_few = [
        (Asked { operation: "get", rows: FEW, seen: &few }, "get of ten: no policies, policies"),
        (Asked { operation: "manifest", rows: FEW, seen: &few }, "manifest of ten: no policies, policies"),
    ];
    for (asked, pair) in all.into_iter().chain(of_few) {
        site.policies(false).await?;
        let without = tools::pgbench(&site.dir, &site.database, asked, load).await?;
        site.policies(true).await?;
        report.add(pair, without, tools::pgbench(&site.dir, &site.database, asked, load).await?);
    }
    let own = requests.file("own");
    site.policies(false).await?;
    let without = tools::wrk(&site.registry, &site.token_of_one()?, own.clone(), load).await?;
    site.policies(true).await?;
    let with = tools::wrk(&site.registry, &site.token_of_one()?, own, load).await?;
    report.add("get of one by registry: no policies, policies", without, with);
    Ok(())
}

/// What stands before the registry adds to a request, one at a time: nginx, which only passes on, and the gateway, which
/// knows a key, counts what its caller does and signs for them.
async fn front(site: &Site, requests: &Requests, load: Load, report: &mut Report) -> Result<()> {
    let (one, get, key) = (Load { connections: 1, ..load }, requests.file("get"), site.key().await?);
    let direct = tools::wrk(&site.registry, &site.token()?, get.clone(), one).await?;
    let nginx = tools::wrk(&site.nginx, &site.token()?, get.clone(), one).await?;
    let gateway = tools::wrk(&site.gateway, &key, get.clone(), one).await?;
    report.added.push((nginx.p50.saturating_sub(direct.p50), gateway.p50.saturating_sub(direct.p50)));
    let nginx = tools::wrk(&site.nginx, &site.token()?, get.clone(), load).await?;
    let gateway = tools::wrk(&site.gateway, &key, get, load).await?;
    report.add("get with a key: nginx, gateway", nginx, gateway);
    Ok(())
}
