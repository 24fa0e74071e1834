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

/// The commented defaults of every setting.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// The shortest operator key that is taken, in characters.
const SHORTEST_KEY: usize = 16;

/// All settings; the sections are named as in every service.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub http: HttpSettings,
    pub identity: IdentitySettings,
    pub telemetry: TelemetrySettings,
    /// What the gateway shows the services, and whom it believes.
    pub tls: TlsSettings,
    pub service: GatewaySettings,
}

/// What the gateway alone can be told.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GatewaySettings {
    /// The operator's credential.
    pub operator_key: Secret,
    /// The longest path with query that is taken, in bytes.
    #[schema(minimum = 256, maximum = 65000)]
    pub max_uri_bytes: usize,
    /// The longest names and values of all headers together that are taken, in bytes.
    #[schema(minimum = 1024, maximum = 65536)]
    pub max_header_bytes: usize,
    /// How long a connection to a service may take to be made.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub connect_timeout: Duration,
    /// How long a service may be silent: before its answer begins, or between two pieces of it.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub upstream_timeout: Duration,
    /// How long a connection of a client may rest between two requests.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub keep_alive_timeout: Duration,
    /// How long a client may leave what it was sent unread before its connection is cut.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub stalled_client_timeout: Duration,
    pub upstreams: Upstreams,
    /// Where iam serves gRPC.
    pub iam: PeerSettings,
    pub oidc: OidcSettings,
    pub limits: LimitSettings,
    pub cors: CorsSettings,
}

impl GatewaySettings {
    /// The operator's key, if it is one that may be used.
    ///
    /// # Errors
    /// When it is short, or has characters that a header cannot carry.
    pub(crate) fn operator_key(&self) -> Result<&str> {
        let key = self.operator_key.expose();
        ensure!(
            key.len() >= SHORTEST_KEY && key.bytes().all(|c| c.is_ascii_graphic()),
            "service.operator_key (NNO__SERVICE__OPERATOR_KEY) must be set to {SHORTEST_KEY} or more printable ASCII \
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
    fn the_defaults_are_whole_but_for_the_key() {
        let settings = with(json!({}));
        assert!(settings.operator_key().unwrap_err().to_string().contains("NNO__SERVICE__OPERATOR_KEY"));
        for upstream in Upstream::ALL {
            settings.upstreams.address(upstream, None).unwrap();
        }
    }

    #[test]
    fn weak_keys_are_refused_and_never_printed() {
        for key in ["", "short", "fifteen-letters", "sixteen letters and a space", "sechzehn-zeichen-ü"] {
            let told = with(json!({ "operator_key": key })).operator_key().unwrap_err().to_string();
            assert!(key.is_empty() || !told.contains(key), "{told}");
        }
        let settings = with(json!({ "operator_key": "exactly-sixteen!" }));
        assert_eq!(settings.operator_key().unwrap(), "exactly-sixteen!");
        assert!(!serde_json::to_string(&settings).unwrap().contains("sixteen"));
    }

    #[test]
    fn addresses_are_plain() {
        for url in
            ["", "registry:9001", "https://registry:9001", "http://registry/base", "http://r/?a=b", "/x"]
        {
            let settings = with(json!({ "upstreams": { "registry": { "url": url } } }));
            let told = settings.upstreams.address(Upstream::Registry, None).unwrap_err().to_string();
            assert!(told.contains("service.upstreams.registry.url"), "{told}");
        }
    }
}
