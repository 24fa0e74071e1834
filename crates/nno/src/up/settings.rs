//! The settings file of `nno up`: TOML, a table for each process, with what that process can be told.
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

/// Where settings are; without a file there are none.
#[derive(Debug)]
pub(crate) struct SettingsFile(pub(crate) Option<PathBuf>);

/// What the file tells each process.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Told(Map<String, Value>);

impl SettingsFile {
    /// Reads it as it is now.
    ///
    /// # Errors
    /// When it cannot be read, or tells something to what is no process.
    pub(crate) fn read(&self) -> Result<Told> {
        let Some(path) = &self.0 else { return Ok(Told::default()) };
        let in_file = || format!("the settings file {}", path.display());
        Told::of(config::file(path).with_context(in_file)?).with_context(in_file)
    }
}

impl Told {
    fn of(value: Value) -> Result<Self> {
        let Value::Object(tables) = value else { bail!("it has no tables") };
        for (name, table) in &tables {
            let shown = masked_text(name.clone());
            ensure!(
                PROCESSES.contains(&name.as_str()) && table.is_object(),
                "{shown} is no table of a process: there are {}, such as [{}.service]",
                PROCESSES.join(", "),
                gateway::NAME
            );
        }
        Ok(Self(tables))
    }

    /// What goes over the defaults of a process: what it is told, and over that what is decided here.
    ///
    /// # Errors
    /// One error that names everything that is not for the file to tell.
    pub(crate) fn over_defaults(&self, name: &str, decided: Value) -> Result<Value> {
        let mut over = self.0.get(name).cloned().unwrap_or_else(|| Map::new().into());
        let mut both = Vec::new();
        find_both(&over, &decided, name, &mut both);
        ensure!(
            both.is_empty(),
            "not for the settings file, as `nno up` itself decides it: {}",
            both.join(", ")
        );
        config::put_over(&mut over, decided);
        Ok(over)
    }

    /// The processes but the gateway that are told something else by `other`.
    pub(crate) fn differing(&self, other: &Self) -> Vec<&'static str> {
        let differs = |name: &&str| self.0.get(*name) != other.0.get(*name);
        PROCESSES.into_iter().filter(|name| *name != gateway::NAME).filter(differs).collect()
    }
}

/// Everything at which one value and another both say something.
fn find_both(one: &Value, other: &Value, at: &str, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            for (key, value) in other {
                if let Some(told) = one.get(key) {
                    find_both(told, value, &format!("{at}.{key}"), found);
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

    fn gateway_settings(file: Value, decided: Value) -> Result<gateway::Settings> {
        let over = Told::of(json!({ "gateway": file }))?.over_defaults(gateway::NAME, decided)?;
        config::with_overrides(gateway::DEFAULTS, over)
    }

    #[test]
    fn what_is_told_goes_over_the_defaults_and_what_is_decided_beside_it() {
        let file =
            json!({ "http": { "drain_timeout": "3s" }, "service": { "limits": { "max_in_flight": 7 } } });
        let settings = gateway_settings(file, json!({ "http": { "workers": 3 } })).unwrap();
        assert_eq!(settings.http.drain_timeout.as_secs(), 3);
        assert_eq!((settings.http.workers, settings.service.limits.max_in_flight), (3, 7));
        assert_eq!(settings.service.max_uri_bytes, 8192);
    }

    #[test]
    fn what_is_decided_cannot_be_told() {
        let decided =
            json!({ "http": { "bind": "127.0.0.1:1", "workers": 1 }, "service": { "iam": { "url": "x" } } });
        for (file, told) in [
            (json!({ "http": { "bind": "0.0.0.0:80" } }), "gateway.http.bind"),
            (json!({ "http": { "bind": "x", "workers": 2 } }), "gateway.http.bind, gateway.http.workers"),
            (json!({ "http": 3 }), "gateway.http"),
            (json!({ "service": { "iam": "x" } }), "gateway.service.iam"),
        ] {
            let error = format!("{:#}", gateway_settings(file, decided.clone()).unwrap_err());
            assert!(error.contains("`nno up` itself decides") && error.ends_with(told), "{error}");
        }
    }

    #[test]
    fn what_is_no_table_of_a_process_is_told() {
        for wrong in [json!({ "getaway": {} }), json!({ "registry": 3 }), json!({ "service": {} })] {
            let error = Told::of(wrong).unwrap_err().to_string();
            assert!(error.contains("stack-registry"), "{error}");
        }
    }

    #[test]
    fn those_that_differ_are_named() {
        let told = |value| Told::of(value).unwrap();
        let before = told(json!({ "registry": { "service": {} } }));
        assert_eq!(before.differing(&before), [""; 0]);
        let after = told(json!({ "gateway": { "service": {} }, "iam": {} }));
        assert_eq!(before.differing(&after), ["registry", "iam"]);
    }
}
