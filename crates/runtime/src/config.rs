//! Configuration from the commented `default.toml` of a service, a file, and the environment, in this order.
//!
//! An environment variable names a key as `NNO__SECTION__KEY`. All faults are reported at once, including unknown keys.
//! Secrets cannot be printed: see [`Secret`].

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use config::{Config, ConfigBuilder, ConfigError, Environment, File, FileFormat, builder::DefaultState};
use domain::masked::masked_text;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::Value;
use utoipa::ToSchema;

/// The prefix of all environment variables.
const PREFIX: &str = "NNO";
const SEPARATOR: &str = "__";

/// Reads the settings of a service.
///
/// # Errors
/// When a source cannot be read, or the settings are not valid; that error lists all faults.
pub fn load<T: DeserializeOwned + ToSchema + 'static>(defaults: &str, file: Option<&Path>) -> Result<T> {
    let mut sources = Config::builder().add_source(File::from_str(defaults, FileFormat::Toml));
    if let Some(path) = file {
        sources = sources.add_source(File::from(path).format(FileFormat::Toml));
    }
    let mut merged = values(sources)?;
    let environment = Environment::with_prefix(PREFIX).prefix_separator(SEPARATOR).separator(SEPARATOR);
    merge_texts(&mut merged, values(Config::builder().add_source(environment))?);
    read(merged)
}

/// Reads the values of a TOML file, without a check of their types.
///
/// # Errors
/// When the file cannot be read.
pub fn file(path: &Path) -> Result<Value> {
    values(Config::builder().add_source(File::from(path).format(FileFormat::Toml)))
}

fn values(sources: ConfigBuilder<DefaultState>) -> Result<Value> {
    let read = sources.build().and_then(Config::try_deserialize);
    read.map_err(|error| without_quotes(&error)).context("cannot read the configuration")
}

/// Removes the quoted line from a syntax error, because it may contain a password.
fn without_quotes(error: &ConfigError) -> anyhow::Error {
    let is_quote =
        |line: &&str| line.trim_start().trim_start_matches(char::is_numeric).trim_start().starts_with('|');
    let lines: Vec<String> = error
        .to_string()
        .lines()
        .filter(|line| !is_quote(line))
        .map(|line| masked_text(line.to_owned()))
        .collect();
    anyhow!("{}", lines.join("\n"))
}

/// Merges values from the environment, which are all texts. Each takes the type of the value that it overrides, so that
/// a password of digits stays a text.
fn merge_texts(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                merge_texts(below.entry(key).or_insert(Value::Null), value);
            }
        }
        (below @ (Value::Number(_) | Value::Bool(_)), Value::String(text)) => {
            *below = serde_json::from_str(&text).unwrap_or(Value::String(text));
        }
        (below, above) => *below = above,
    }
}

/// Reads the settings of a service from its defaults and overrides, for `nno up` and tests. Ignores the environment.
///
/// # Errors
/// One error that lists all faults.
pub fn with_overrides<T: DeserializeOwned + ToSchema + 'static>(
    defaults: &str,
    overrides: Value,
) -> Result<T> {
    let defaults = Config::builder().add_source(File::from_str(defaults, FileFormat::Toml)).build()?;
    let mut merged = defaults.try_deserialize().context("cannot read the defaults")?;
    merge(&mut merged, overrides);
    read(merged)
}

/// Merges `above` into `below`, key by key. Values of `above` win.
pub fn merge(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                merge(below.entry(key).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}

/// Converts merged settings to their type.
///
/// # Errors
/// One error that lists all faults.
pub fn read<T: DeserializeOwned + ToSchema + 'static>(merged: Value) -> Result<T> {
    check::from_value(merged).or_else(|error| {
        let fields =
            error.details().get("fields").and_then(|fields| fields.as_array().cloned()).unwrap_or_default();
        let faults: Vec<String> = fields
            .iter()
            .map(|fault| {
                let text = |key: &str| fault.get(key).and_then(|value| value.as_str()).unwrap_or_default();
                format!("  {}: {}", text("path"), text("message"))
            })
            .collect();
        bail!("the configuration is not valid:\n{}", faults.join("\n"))
    })
}

/// A value that is never printed.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// Returns the value, for the code that needs it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl utoipa::PartialSchema for Secret {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

impl ToSchema for Secret {}

/// The listening address of a server.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenSettings {
    /// Address and port. Port 0 selects any free port.
    #[schema(value_type = String)]
    pub bind: std::net::SocketAddr,
}

/// A peer that this process calls.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PeerSettings {
    /// URL, such as `http://127.0.0.1:9101`.
    pub url: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Serialize, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        workers: u16,
        database: Database,
    }

    #[derive(Debug, Serialize, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    struct Database {
        url: Secret,
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let wrong = serde_json::json!({ "workers": "many", "databse": {}, "database": { "uri": "x" } });
        let message = read::<Settings>(wrong).unwrap_err().to_string();
        for part in ["workers", "databse: is not a known field", "database.url: is required", "database.uri"]
        {
            assert!(message.contains(part), "{part} in {message}");
        }
    }

    #[test]
    fn text_takes_the_type_of_the_value_that_it_overrides() {
        let mut merged = serde_json::json!({ "workers": 1, "database": { "url": "" }, "on": true });
        let texts = serde_json::json!({ "workers": "2", "database": { "url": "12345678" }, "on": "false", "new": "1" });
        merge_texts(&mut merged, texts);
        let expected =
            serde_json::json!({ "workers": 2, "database": { "url": "12345678" }, "on": false, "new": "1" });
        assert_eq!(merged, expected);
        merge_texts(&mut merged, serde_json::json!({ "workers": "many" }));
        assert_eq!(merged["workers"], "many", "the check reports a value that is not a number");
    }

    #[test]
    fn secrets_are_not_printed() {
        let settings: Settings =
            read(serde_json::json!({ "workers": 1, "database": { "url": "pw" } })).unwrap();
        assert_eq!(settings.database.url.expose(), "pw");
        let printed = format!("{settings:?}{}", serde_json::to_string(&settings).unwrap());
        assert!(!printed.contains("pw"), "{printed}");
    }

    #[test]
    fn malformed_line_is_not_quoted() {
        let path = std::env::temp_dir().join(format!("nno-{}.toml", uuid::Uuid::new_v4()));
        std::fs::write(&path, "[database]\nworkers = 1\nurl = \"postgres://me:hunter2@db\n").unwrap();
        let error = format!("{:#}", file(&path).unwrap_err());
        std::fs::remove_file(&path).unwrap();
        assert!(error.contains("line 3") && !error.contains("hunter2"), "{error}");
    }
}
