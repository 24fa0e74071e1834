//! The settings of the gateway. Each component declares its own; this module composes them.

use std::time::Duration;

use anyhow::{Result, ensure};
use identity::{IdentitySettings, tls::TlsSettings};
use runtime::{
    config::{PeerSettings, Secret},
    telemetry::TelemetrySettings,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use web::HttpSettings;

use crate::{cors::CorsSettings, limits::LimitSettings, oidc::OidcSettings, upstream::Upstreams};

/// The commented default of every setting.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// Minimum length of the operator key, in characters.
const MIN_KEY_LENGTH: usize = 16;

/// All settings. The sections have the same names in every service.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub http: HttpSettings,
    pub identity: IdentitySettings,
    pub telemetry: TelemetrySettings,
    /// The certificates for connections to the services.
    pub tls: TlsSettings,
    pub service: GatewaySettings,
}

/// The settings that only the gateway has.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GatewaySettings {
    /// The operator's credential.
    pub operator_key: Secret,
    /// Maximum length of path and query, in bytes.
    #[schema(minimum = 256, maximum = 65000)]
    pub max_uri_bytes: usize,
    /// Maximum total size of header names and values, in bytes.
    #[schema(minimum = 1024, maximum = 65536)]
    pub max_header_bytes: usize,
    /// Time limit for opening a connection to a service.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub connect_timeout: Duration,
    /// Maximum silence of a service: before its response begins, or between two pieces of it.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub upstream_timeout: Duration,
    /// Maximum idle time of a client's connection between two requests.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub keep_alive_timeout: Duration,
    /// Time for which a client may leave a response unread before its connection is closed.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub stalled_client_timeout: Duration,
    pub upstreams: Upstreams,
    /// The gRPC address of iam.
    pub iam: PeerSettings,
    pub oidc: OidcSettings,
    pub limits: LimitSettings,
    pub cors: CorsSettings,
}

impl GatewaySettings {
    /// Returns the operator's key if it is acceptable.
    ///
    /// # Errors
    /// When the key is too short, or contains characters that a header cannot contain.
    pub(crate) fn operator_key(&self) -> Result<&str> {
        let key = self.operator_key.expose();
        ensure!(
            key.len() >= MIN_KEY_LENGTH && key.bytes().all(|c| c.is_ascii_graphic()),
            "service.operator_key (NNO__SERVICE__OPERATOR_KEY) must be set to {MIN_KEY_LENGTH} or more printable ASCII \
             characters without spaces"
        );
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::upstream::Upstream;

    fn with(service: Value) -> GatewaySettings {
        runtime::config::with_overrides::<Settings>(DEFAULTS, json!({ "service": service })).unwrap().service
    }

    #[test]
    fn defaults_are_complete_except_for_the_operator_key() {
        let settings = with(json!({}));
        assert!(settings.operator_key().unwrap_err().to_string().contains("NNO__SERVICE__OPERATOR_KEY"));
        for upstream in Upstream::ALL {
            settings.upstreams.address(upstream, None).unwrap();
        }
    }

    #[test]
    fn weak_operator_keys_are_rejected_and_never_printed() {
        for key in ["", "short", "fifteen-letters", "sixteen letters and a space", "sechzehn-zeichen-ü"] {
            let error = with(json!({ "operator_key": key })).operator_key().unwrap_err().to_string();
            assert!(key.is_empty() || !error.contains(key), "{error}");
        }
        let settings = with(json!({ "operator_key": "exactly-sixteen!" }));
        assert_eq!(settings.operator_key().unwrap(), "exactly-sixteen!");
        assert!(!serde_json::to_string(&settings).unwrap().contains("sixteen"));
    }

    #[test]
    fn malformed_service_addresses_are_rejected() {
        for url in
            ["", "registry:9001", "https://registry:9001", "http://registry/base", "http://r/?a=b", "/x"]
        {
            let settings = with(json!({ "upstreams": { "registry": { "url": url } } }));
            let error = settings.upstreams.address(Upstream::Registry, None).unwrap_err().to_string();
            assert!(error.contains("service.upstreams.registry.url"), "{error}");
        }
    }
}
