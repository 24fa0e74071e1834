//! Settings that change while the gateway runs.

use std::sync::Arc;

use anyhow::Result;
use serde::Serialize;

use crate::{assembly::Assembly, settings::Settings};

/// Tells a running gateway its settings anew. What decides when, and where they come from, is the process.
#[derive(Clone)]
pub struct Reload {
    assembly: Arc<Assembly>,
    started_with: Arc<Settings>,
}

impl std::fmt::Debug for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reload")
    }
}

impl Reload {
    pub(crate) fn new(assembly: Arc<Assembly>, started_with: Settings) -> Self {
        Self { assembly, started_with: Arc::new(started_with) }
    }

    /// Lets all of `[service]` hold for the requests that come from now on. Gives the sections that are other than at
    /// the start and that only a restart changes.
    ///
    /// # Errors
    /// When a setting is not usable. Then everything stays as it was.
    pub fn apply(&self, settings: &Settings) -> Result<Vec<&'static str>> {
        self.assembly.reload(&settings.service)?;
        let before = &self.started_with;
        let sections = [
            ("http", is_other(&before.http, &settings.http)),
            ("identity", is_other(&before.identity, &settings.identity)),
            ("telemetry", is_other(&before.telemetry, &settings.telemetry)),
            ("tls", is_other(&before.tls, &settings.tls)),
        ];
        Ok(sections.into_iter().filter(|(_, other)| *other).map(|(name, _)| name).collect())
    }

    /// The same with what `read` gives, and the outcome in the log.
    pub fn apply_and_tell(&self, read: impl FnOnce() -> Result<Settings>) {
        match read().and_then(|settings| self.apply(&settings)) {
            Ok(kept) if kept.is_empty() => tracing::info!("the settings are read anew"),
            Ok(kept) => {
                let sections = kept.join(", ");
                tracing::warn!(sections, "the settings are read anew; these change with a restart alone");
            }
            Err(error) => {
                let cause = format!("{error:#}");
                tracing::error!(cause, "the new settings cannot be used: the ones before still hold");
            }
        }
    }
}

fn is_other<T: Serialize>(before: &T, after: &T) -> bool {
    serde_json::to_value(before).ok() != serde_json::to_value(after).ok()
}
