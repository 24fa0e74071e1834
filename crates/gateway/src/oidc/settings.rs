//! The settings of trusted issuers and of the grants from their tokens.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use domain::{Grant, GrantScope, Role};
use serde::{Deserialize, Serialize};
use url::{Host, Url};
use utoipa::ToSchema;

use crate::string_list::StringList;

/// Maximum value of `clock_skew`.
const MAX_SKEW: Duration = Duration::from_secs(600);

/// The settings of OpenID Connect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OidcSettings {
    /// The issuers, by a name of your choice, which appears in the log.
    #[serde(default)]
    pub issuers: BTreeMap<String, IssuerSettings>,
}

/// The settings of one issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerSettings {
    /// The issuer, exactly as in the `iss` claim of its tokens.
    pub issuer: String,
    /// Accepted audiences. A token must be for one of them.
    pub audiences: StringList,
    /// URL of the issuer's keys. By default, it comes from the issuer's discovery document.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// PEM file with the authority of the issuer's certificate, if this machine does not trust it already.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub authority: Option<PathBuf>,
    /// Name of the claim with the roles. Dots select members of objects.
    #[serde(default = "roles_claim")]
    pub roles_claim: String,
    /// The grant of each value of that claim.
    #[serde(default)]
    pub roles: BTreeMap<String, RoleSettings>,
    /// Maximum difference between the clocks of this machine and the issuer.
    #[serde(default = "clock_skew", with = "humantime_serde")]
    #[schema(value_type = String)]
    pub clock_skew: Duration,
    /// Prefix of the subject, which keeps the people of different issuers apart.
    #[serde(default)]
    pub subject_prefix: String,
}

/// A role and its scope: everything, one platform, or one entity and its descendants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleSettings {
    pub role: String,
    #[serde(default)]
    pub platform: Option<String>,
    #[serde(default)]
    pub entity: Option<String>,
}

fn roles_claim() -> String {
    "roles".to_owned()
}

const fn clock_skew() -> Duration {
    Duration::from_secs(60)
}

impl RoleSettings {
    fn grant(&self) -> Result<Grant> {
        let invalid = |error: domain::Error| anyhow!("{}", error.message().to_owned());
        let role: Role = rpc::parse("role", &self.role).map_err(invalid)?;
        let platform = rpc::parse_optional("platform", self.platform.as_deref()).map_err(invalid)?;
        let entity = rpc::parse_optional("entity", self.entity.as_deref()).map_err(invalid)?;
        GrantScope::new(platform, entity).and_then(|reach| Grant::new(role, reach)).map_err(invalid)
    }
}

impl IssuerSettings {
    /// Checks the settings and returns the grant of each value of the roles claim.
    ///
    /// # Errors
    /// When a setting is not valid.
    pub(super) fn check(&self) -> Result<BTreeMap<String, Grant>> {
        ensure!(!self.issuer.is_empty(), "issuer must be set");
        let audiences = &self.audiences.0;
        ensure!(
            !audiences.is_empty() && audiences.iter().all(|audience| !audience.is_empty()),
            "audiences must contain at least one audience"
        );
        ensure!(self.clock_skew <= MAX_SKEW, "clock_skew must be at most {MAX_SKEW:?}");
        self.first_url()?;
        let grant = |(value, role): (&String, &RoleSettings)| {
            Ok((value.clone(), role.grant().with_context(|| format!("roles.{value}"))?))
        };
        self.roles.iter().map(grant).collect()
    }

    /// Returns the first URL to request: of the keys, or of the discovery document.
    pub(super) fn first_url(&self) -> Result<Url> {
        match &self.jwks_url {
            Some(url) => fetchable(url).context("jwks_url"),
            None => {
                let at = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
                fetchable(&at).context("issuer")
            }
        }
    }
}

/// Checks a URL from which keys may be fetched. It must be `https`, except on this machine.
pub(super) fn fetchable(url: &str) -> Result<Url> {
    let url = Url::parse(url).context("is not a URL")?;
    let is_local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    ensure!(
        url.scheme() == "https" || (url.scheme() == "http" && is_local),
        "must be https, or http on this machine"
    );
    ensure!(
        url.username().is_empty() && url.password().is_none(),
        "must not contain a user name or password"
    );
    Ok(url)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(over: Value) -> Result<BTreeMap<String, Grant>> {
        let mut settings = json!({ "issuer": "https://login.example.com", "audiences": "nno" });
        runtime::config::merge(&mut settings, over);
        runtime::config::read::<IssuerSettings>(settings)?.check()
    }

    #[test]
    fn roles_are_converted_to_grants() {
        let roles = json!({ "roles": {
            "admins": { "role": "operator" },
            "acme": { "role": "developer", "platform": "k3m9p2xw7q" },
        }});
        let roles = check(roles).unwrap();
        assert_eq!(roles["admins"], Grant::new(Role::Operator, GrantScope::All).unwrap());
        assert_eq!(roles["acme"].role, Role::Developer);
        assert!(roles["acme"].scope.platform().is_some());
    }

    #[test]
    fn invalid_settings_are_rejected_by_name() {
        for (over, part) in [
            (json!({ "issuer": "" }), "issuer"),
            (json!({ "issuer": "http://login.example.com" }), "https"),
            (json!({ "issuer": "http://127.0.0.1.example.com" }), "https"),
            (json!({ "jwks_url": "http://10.0.0.1/keys" }), "jwks_url"),
            (json!({ "jwks_url": "file:///etc/passwd" }), "jwks_url"),
            (json!({ "jwks_url": "https://me:secret@login.example.com/keys" }), "jwks_url"),
            (json!({ "audiences": [] }), "audiences"),
            (json!({ "audiences": [""] }), "audiences"),
            (json!({ "clock_skew": "1h" }), "clock_skew"),
            (json!({ "roles": { "a": { "role": "king" } } }), "roles.a"),
            (json!({ "roles": { "a": { "role": "viewer", "platform": "!" } } }), "roles.a"),
            (json!({ "roles": { "a": { "role": "operator", "platform": "k3m9p2xw7q" } } }), "roles.a"),
            (json!({ "roles": { "a": { "role": "viewer", "platfrom": "k3m9p2xw7q" } } }), "platfrom"),
            (json!({ "audience": "nno" }), "audience"),
        ] {
            let error = format!("{:#}", check(over.clone()).unwrap_err());
            assert!(error.contains(part) && !error.contains("secret"), "{over}: {error}");
        }
        check(json!({ "issuer": "http://localhost:8080/realms/a" })).unwrap();
        check(json!({ "issuer": "any text", "jwks_url": "http://[::1]:1/keys" })).unwrap();
    }
}
