//! Configuration: the commented `default.toml` of a service, a file, the environment, in this order.
//!
//! The environment names a key as `NNO__SECTION__KEY`. All faults are told at once, unknown keys among them, and
//! nothing secret can be printed: see [`Secret`].

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use config::{Config, ConfigBuilder, ConfigError, Environment, File, FileFormat, builder::DefaultState};
use domain::masked::masked_text;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::Value;
use utoipa::ToSchema;

/// What every environment variable of ours starts with.
const PREFIX: &str = "NNO";
const SEPARATOR: &str = "__";

/// Reads the settings of a service.
///
/// # Errors
/// One error that names every fault, and where the value came from cannot be read.
pub fn load<T: DeserializeOwned + ToSchema + 'static>(defaults: &str, file: Option<&Path>) -> Result<T> {
    let mut sources = Config::builder().add_source(File::from_str(defaults, FileFormat::Toml));
    if let Some(path) = file {
        sources = sources.add_source(File::from(path).format(FileFormat::Toml));
    }
    let mut merged = values(sources)?;
    let environment = Environment::with_prefix(PREFIX).prefix_separator(SEPARATOR).separator(SEPARATOR);
    put_texts_over(&mut merged, values(Config::builder().add_source(environment))?);
    read(merged)
}

/// The values of a TOML file, of whatever type they are.
///
/// # Errors
/// When it cannot be read.
pub fn file(path: &Path) -> Result<Value> {
    values(Config::builder().add_source(File::from(path).format(FileFormat::Toml)))
}

fn values(sources: ConfigBuilder<DefaultState>) -> Result<Value> {
    let cannot = "cannot read the configuration";
    let read = sources.build().and_then(Config::try_deserialize);
    read.map_err(|error| without_quotes(&error)).context(cannot)
}

/// A fault of the syntax is told with its line, which may hold a password.
fn without_quotes(error: &ConfigError) -> anyhow::Error {
    let is_quote =
        |line: &&str| line.trim_start().trim_start_matches(char::is_numeric).trim_start().starts_with('|');
    let told: Vec<String> = error
        .to_string()
        .lines()
        .filter(|line| !is_quote(line))
        .map(|line| masked_text(line.to_owned()))
        .collect();
    anyhow!("{}", told.join("\n"))
}

/// The environment has texts alone: each takes the type of the value that it goes over, so that a password of digits
/// stays a text.
fn put_texts_over(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                put_texts_over(below.entry(key).or_insert(Value::Null), value);
            }
        }
        (below @ (Value::Number(_) | Value::Bool(_)), Value::String(text)) => {
            *below = serde_json::from_str(&text).unwrap_or(Value::String(text));
        }
        (below, above) => *below = above,
    }
}

/// Reads the settings of a service from its defaults and what goes over them, as `nno up` and tests do; the
/// environment has no say.
///
/// # Errors
/// One error that names every fault.
pub fn with_overrides<T: DeserializeOwned + ToSchema + 'static>(
    defaults: &str,
    overrides: Value,
) -> Result<T> {
    let defaults = Config::builder().add_source(File::from_str(defaults, FileFormat::Toml)).build()?;
    let mut merged = defaults.try_deserialize().context("cannot read the defaults")?;
    put_over(&mut merged, overrides);
    read(merged)
}

/// Puts `above` over `below`, key by key.
pub fn put_over(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                put_over(below.entry(key).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}

/// Holds merged settings against their type.
///
/// # Errors
/// One error that names every fault.
pub fn read<T: DeserializeOwned + ToSchema + 'static>(merged: Value) -> Result<T> {
    check::value(merged).or_else(|error| {
        let fields =
            error.details().get("fields").and_then(|fields| fields.as_array().cloned()).unwrap_or_default();
        let told: Vec<String> = fields
            .iter()
            .map(|fault| {
                let text = |key: &str| fault.get(key).and_then(|value| value.as_str()).unwrap_or_default();
                format!("  {}: {}", text("path"), text("message"))
            })
            .collect();
        bail!("the configuration is not valid:\n{}", told.join("\n"))
    })
}

/// A value that is never printed.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Hides a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// The value, for the one place that needs it.
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

/// Where a service listens.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenSettings {
    /// Address and port; port 0 takes any free one.
    #[schema(value_type = String)]
    pub bind: std::net::SocketAddr,
}

/// A peer that is called over gRPC.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PeerSettings {
    /// Such as `http://127.0.0.1:9101`.
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
    fn all_faults_at_once() {
        let wrong = serde_json::json!({ "workers": "many", "databse": {}, "database": { "uri": "x" } });
        let told = read::<Settings>(wrong).unwrap_err().to_string();
        for part in ["workers", "databse: is not a known field", "database.url: is required", "database.uri"]
        {
            assert!(told.contains(part), "{part} in {told}");
        }
    }

    #[test]
    fn a_text_takes_the_type_of_what_it_goes_over() {
        let mut merged = serde_json::json!({ "workers": 1, "database": { "url": "" }, "on": true });
        let texts = serde_json::json!({ "workers": "2", "database": { "url": "12345678" }, "on": "false", "new": "1" });
        put_texts_over(&mut merged, texts);
        let expected =
            serde_json::json!({ "workers": 2, "database": { "url": "12345678" }, "on": false, "new": "1" });
        assert_eq!(merged, expected);
        put_texts_over(&mut merged, serde_json::json!({ "workers": "many" }));
        assert_eq!(merged["workers"], "many", "what is no number is left for the check to tell");
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
    fn a_line_that_cannot_be_read_is_not_quoted() {
        let path = std::env::temp_dir().join(format!("nno-{}.toml", uuid::Uuid::new_v4()));
        std::fs::write(&path, "[database]\nworkers = 1\nurl = \"postgres://me:hunter2@db\n").unwrap();
        let error = format!("{:#}", file(&path).unwrap_err());
        std::fs::remove_file(&path).unwrap();
        assert!(error.contains("line 3") && !error.contains("hunter2"), "{error}");
    }
}
