//! Reload of settings while the gateway runs.

use std::sync::Arc;

use anyhow::Result;
use serde::Serialize;

use crate::{assembly::Assembly, settings::Settings};

/// A handle that reloads the settings of a running gateway. The process decides when, and from which source.
#[derive(Clone)]
pub struct Reload {
    assembly: Arc<Assembly>,
    initial: Arc<Settings>,
}

impl std::fmt::Debug for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reload")
    }
}

impl Reload {
    pub(crate) fn new(assembly: Arc<Assembly>, initial: Settings) -> Self {
        Self { assembly, initial: Arc::new(initial) }
    }

    /// Applies `[service]` to all new requests. Returns the sections that differ from those at start and that only a
    /// restart applies.
    ///
    /// # Errors
    /// When a setting is not valid. Then nothing changes.
    pub fn apply(&self, settings: &Settings) -> Result<Vec<&'static str>> {
        self.assembly.reload(&settings.service)?;
        let initial = &self.initial;
        let sections = [
            ("http", differs(&initial.http, &settings.http)),
            ("identity", differs(&initial.identity, &settings.identity)),
            ("telemetry", differs(&initial.telemetry, &settings.telemetry)),
            ("tls", differs(&initial.tls, &settings.tls)),
        ];
        Ok(sections.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect())
    }

    /// Reads settings with `read`, applies them, and logs the outcome.
    pub fn apply_and_log(&self, read: impl FnOnce() -> Result<Settings>) {
        match read().and_then(|settings| self.apply(&settings)) {
            Ok(pending) if pending.is_empty() => tracing::info!("reloaded the settings"),
            Ok(pending) => {
                let sections = pending.join(", ");
                tracing::warn!(
                    sections,
                    "reloaded the settings; changes to these sections require a restart"
                );
            }
            Err(error) => {
                let cause = format!("{error:#}");
                tracing::error!(cause, "cannot use the new settings; the previous ones stay in use");
            }
        }
    }
}

fn differs<T: Serialize>(before: &T, after: &T) -> bool {
    serde_json::to_value(before).ok() != serde_json::to_value(after).ok()
}
