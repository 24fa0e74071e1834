//! The settings file of `nno up`: TOML with a table of settings for each process.
//!
//! ```toml
//! [gateway.service.limits]
//! per_caller_per_second = 100
//! [registry.service.quotas.starter]
//! tenants = 5
//! ```

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use domain::masked::masked_text;
use runtime::config;
use serde_json::{Map, Value};

use crate::process_keys::PROCESSES;

/// Path of the settings file, if there is one.
#[derive(Debug)]
pub(crate) struct SettingsFile(pub(crate) Option<PathBuf>);

/// Settings of each process from the file.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct FileSettings(Map<String, Value>);

impl SettingsFile {
    /// Reads the file as it is now.
    ///
    /// # Errors
    /// When the file cannot be read, or has a table for an unknown process.
    pub(crate) fn read(&self) -> Result<FileSettings> {
        let Some(path) = &self.0 else { return Ok(FileSettings::default()) };
        let in_file = || format!("the settings file {}", path.display());
        FileSettings::new(config::file(path).with_context(in_file)?).with_context(in_file)
    }
}

impl FileSettings {
    fn new(value: Value) -> Result<Self> {
        let Value::Object(tables) = value else { bail!("it has no tables") };
        for (name, table) in &tables {
            let shown = masked_text(name.clone());
            ensure!(
                PROCESSES.contains(&name.as_str()) && table.is_object(),
                "{shown} is not a table of a process; the processes are {}, with tables such as [{}.service]",
                PROCESSES.join(", "),
                gateway::NAME
            );
        }
        Ok(Self(tables))
    }

    /// Returns the overrides of a process's defaults: those of the file, and those that `nno up` sets itself.
    ///
    /// # Errors
    /// When the file sets what `nno up` sets itself. The error names every such setting.
    pub(crate) fn overrides(&self, name: &str, fixed: Value) -> Result<Value> {
        let mut overrides = self.0.get(name).cloned().unwrap_or_else(|| Map::new().into());
        let mut conflicts = Vec::new();
        find_conflicts(&overrides, &fixed, name, &mut conflicts);
        ensure!(
            conflicts.is_empty(),
            "`nno up` sets these itself, so remove them from the settings file: {}",
            conflicts.join(", ")
        );
        config::merge(&mut overrides, fixed);
        Ok(overrides)
    }

    /// Returns the processes, except the gateway, whose settings are different in `other`.
    pub(crate) fn changed_processes(&self, other: &Self) -> Vec<&'static str> {
        let differs = |name: &&str| self.0.get(*name) != other.0.get(*name);
        PROCESSES.into_iter().filter(|name| *name != gateway::NAME).filter(differs).collect()
    }
}

/// Collects the paths that both values set.
fn find_conflicts(one: &Value, other: &Value, at: &str, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            for (key, value) in other {
                if let Some(set) = one.get(key) {
                    find_conflicts(set, value, &format!("{at}.{key}"), found);
                }
            }
        }
        _ => found.push(at.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn gateway_settings(file: Value, fixed: Value) -> Result<gateway::Settings> {
        let overrides = FileSettings::new(json!({ "gateway": file }))?.overrides(gateway::NAME, fixed)?;
        config::with_overrides(gateway::DEFAULTS, overrides)
    }

    #[test]
    fn file_and_fixed_settings_override_the_defaults() {
        let file =
            json!({ "http": { "drain_timeout": "3s" }, "service": { "limits": { "max_in_flight": 7 } } });
        let settings = gateway_settings(file, json!({ "http": { "workers": 3 } })).unwrap();
        assert_eq!(settings.http.drain_timeout.as_secs(), 3);
        assert_eq!((settings.http.workers, settings.service.limits.max_in_flight), (3, 7));
        assert_eq!(settings.service.max_uri_bytes, 8192);
    }

    #[test]
    fn file_cannot_set_fixed_settings() {
        let fixed =
            json!({ "http": { "bind": "127.0.0.1:1", "workers": 1 }, "service": { "iam": { "url": "x" } } });
        for (file, path) in [
            (json!({ "http": { "bind": "0.0.0.0:80" } }), "gateway.http.bind"),
            (json!({ "http": { "bind": "x", "workers": 2 } }), "gateway.http.bind, gateway.http.workers"),
            (json!({ "http": 3 }), "gateway.http"),
            (json!({ "service": { "iam": "x" } }), "gateway.service.iam"),
        ] {
            let error = format!("{:#}", gateway_settings(file, fixed.clone()).unwrap_err());
            assert!(error.contains("`nno up` sets these itself") && error.ends_with(path), "{error}");
        }
    }

    #[test]
    fn unknown_tables_are_rejected() {
        for wrong in [json!({ "getaway": {} }), json!({ "registry": 3 }), json!({ "service": {} })] {
            let error = FileSettings::new(wrong).unwrap_err().to_string();
            assert!(error.contains("stack-registry"), "{error}");
        }
    }

    #[test]
    fn changed_processes_are_listed_without_the_gateway() {
        let settings = |value| FileSettings::new(value).unwrap();
        let before = settings(json!({ "registry": { "service": {} } }));
        assert_eq!(before.changed_processes(&before), [""; 0]);
        let after = settings(json!({ "gateway": { "service": {} }, "iam": {} }));
        assert_eq!(before.changed_processes(&after), ["registry", "iam"]);
    }
}
