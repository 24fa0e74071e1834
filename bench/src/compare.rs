//! Two versions of the programs, measured in turn.

use std::path::Path;

use anyhow::Result;

use crate::{
    report::Report,
    requests::Requests,
    testbed::{OPERATOR_KEY, Testbed},
    tools::{self, Load},
};

/// The operations, with their rows in the report: at the registry and at the gateway.
const OPERATIONS: [(&str, [&str; 2]); 4] = [
    ("get", ["get: registry", "get: gateway"]),
    ("page", ["page: registry", "page: gateway"]),
    ("manifest", ["manifest: registry", "manifest: gateway"]),
    ("create", ["create: registry", "create: gateway"]),
];

/// Measures each operation with the programs of a folder, then with those next to this one, `repeat` times.
pub(crate) async fn measure(before: &Path, rows: u32, repeat: u32, load: Load) -> Result<Report> {
    let (before, after) =
        (Testbed::start(rows, true, Some(before)).await?, Testbed::start(rows, true, None).await?);
    let requests = Requests::write(&after.dir, rows)?;
    let mut report = Report::default();
    for _ in 0..repeat {
        for (operation, [at_registry, at_gateway]) in OPERATIONS {
            let file = || requests.file(operation);
            let old = tools::wrk(&before.registry, &before.token()?, file(), load).await?;
            let new = tools::wrk(&after.registry, &after.token()?, file(), load).await?;
            report.add(at_registry, old, new);
            let old = tools::wrk(&before.gateway, OPERATOR_KEY, file(), load).await?;
            let new = tools::wrk(&after.gateway, OPERATOR_KEY, file(), load).await?;
            report.add(at_gateway, old, new);
        }
    }
    for (name, testbed) in [("before", before), ("after", after)] {
        report.memory.push((name, testbed.gateway.memory()? + testbed.registry.memory()?));
        testbed.stop().await?;
    }
    Ok(report)
}
