//! The statements of an onboarding, counted in the log of PostgreSQL, and their duration with pgbench.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{callers, system::System};
use crate::tools::{self, Load, Query};

/// Rows that pgbench reads and writes.
const ROWS: u32 = 10_000;

/// Returns the number of reading and of writing statements of one onboarding.
pub(super) async fn count(system: &System) -> Result<(u64, u64)> {
    let log = system.dir.join("postgres/postgres.log");
    let read = || fs::read_to_string(&log).with_context(|| format!("reading {}", log.display()));
    set_log_statement(system, "all").await?;
    let before = read()?.len();
    callers::one_by_one(system, 1).await?;
    set_log_statement(system, "none").await?;
    let text = read()?;
    let (mut reads, mut writes) = (0, 0);
    for line in text.get(before..).unwrap_or_default().lines().filter(|line| line.contains("_app@nno_")) {
        let Some((_, statement)) = line.split_once("LOG:  execute ") else { continue };
        let sql = statement.split_once(": ").map_or(statement, |(_, sql)| sql);
        let is_write = ["INSERT ", "UPDATE ", "DELETE "].iter().any(|word| sql.contains(word));
        *(if is_write { &mut writes } else { &mut reads }) += 1;
    }
    ensure!(reads > 0 && writes > 0, "the log of PostgreSQL has no statements");
    Ok((reads, writes))
}

async fn set_log_statement(system: &System, value: &str) -> Result<()> {
    let database = system.database("onboarding").await?;
    database.batch_execute(&format!("ALTER SYSTEM SET log_statement = '{value}'")).await?;
    database.batch_execute("SELECT pg_reload_conf()").await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(())
}

/// Returns the durations of a read by primary key and of the write of a step, one at a time, in microseconds.
pub(super) async fn by_pgbench(system: &System) -> Result<(u64, u64)> {
    let database = system.database("onboarding").await?;
    let load = format!(
        "INSERT INTO sagas (id, kind, version, subject, status, input, next_run_at, fence, request_id, created_at, updated_at) \
         SELECT lpad(n::text, 32, '0')::uuid, 'bench', 1, 'bench', 'running', '{{}}', 'infinity', 0, 'bench', now(), now() \
         FROM generate_series(1, {ROWS}) AS n; \
         INSERT INTO saga_steps (saga_id, position, name, status, attempts, undo_attempts) \
         SELECT id, 0, 'bench', 'pending', 0, 0 FROM sagas WHERE kind = 'bench'; ANALYZE sagas; ANALYZE saga_steps"
    );
    database.batch_execute(&load).await?;
    let load = Load { seconds: Duration::from_secs(5), connections: 1 };
    let url = system.cluster.superuser_url("nno_onboarding");
    let read =
        tools::pgbench(&system.dir, &url, Query { operation: "saga", rows: ROWS, seen: "*" }, load).await?;
    let write =
        tools::pgbench(&system.dir, &url, Query { operation: "save", rows: ROWS, seen: "*" }, load).await?;
    database.batch_execute("DELETE FROM sagas WHERE kind = 'bench'").await?;
    Ok((read.p50, write.p50))
}
