//! Which issuers are believed, and what their tokens grant.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use domain::{Grant, GrantScope, Role};
use serde::{Deserialize, Serialize};
use url::{Host, Url};
use utoipa::ToSchema;

use crate::texts::Texts;

/// The most by which clocks may be said to differ.
const MOST_SKEW: Duration = Duration::from_secs(600);

/// What the gateway is told of OpenID Connect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OidcSettings {
    /// By a name of one's own, which is what the log tells.
    #[serde(default)]
    pub issuers: BTreeMap<String, IssuerSettings>,
}

/// One issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerSettings {
    /// The issuer, exactly as its tokens say it.
    pub issuer: String,
    /// A token must be made for one of these.
    pub audiences: Texts,
    /// Where its keys are; without it the issuer is asked.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// A PEM file with the authority of its certificate, if it is none that this machine believes.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub authority: Option<PathBuf>,
    /// The claim with the roles.
    #[serde(default = "roles_claim")]
    pub roles_claim: String,
    /// What a value of that claim grants.
    #[serde(default)]
    pub roles: BTreeMap<String, RoleSettings>,
    /// By how much clocks may differ.
    #[serde(default = "clock_skew", with = "humantime_serde")]
    #[schema(value_type = String)]
    pub clock_skew: Duration,
    /// What is put before the subject.
    #[serde(default)]
    pub subject_prefix: String,
}

/// A role, and where it holds: everywhere, in a platform, or at an entity of it and under it.
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
        let wrong = |error: domain::Error| anyhow!("{}", error.message().to_owned());
        let role: Role = rpc::parse("role", &self.role).map_err(wrong)?;
        let platform = rpc::parse_optional("platform", self.platform.as_deref()).map_err(wrong)?;
        let entity = rpc::parse_optional("entity", self.entity.as_deref()).map_err(wrong)?;
        GrantScope::new(platform, entity).and_then(|reach| Grant::new(role, reach)).map_err(wrong)
    }
}

impl IssuerSettings {
    /// What the values of the claim grant.
    ///
    /// # Errors
    /// When something of the settings cannot be used.
    pub(super) fn check(&self) -> Result<BTreeMap<String, Grant>> {
        ensure!(!self.issuer.is_empty(), "issuer must be set");
        let audiences = &self.audiences.0;
        ensure!(
            !audiences.is_empty() && audiences.iter().all(|audience| !audience.is_empty()),
            "audiences must name one at least"
        );
        ensure!(self.clock_skew <= MOST_SKEW, "clock_skew must not be longer than {MOST_SKEW:?}");
        self.first_url()?;
        let grant = |(value, role): (&String, &RoleSettings)| {
            Ok((value.clone(), role.grant().with_context(|| format!("roles.{value}"))?))
        };
        self.roles.iter().map(grant).collect()
    }

    /// Where to ask first: for the keys, or for where they are.
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

/// A URL that keys may be fetched from: with TLS, unless it is on this machine.
pub(super) fn fetchable(url: &str) -> Result<Url> {
    let url = Url::parse(url).context("is not a URL")?;
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    ensure!(
        url.scheme() == "https" || (url.scheme() == "http" && is_here),
        "must be https, or http on this machine"
    );
    ensure!(url.username().is_empty() && url.password().is_none(), "must not hold a password");
    Ok(url)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(over: Value) -> Result<BTreeMap<String, Grant>> {
        let mut settings = json!({ "issuer": "https://login.example.com", "audiences": "nno" });
        runtime::config::merge(&mut settings, over);
        runtime::config::read::<IssuerSettings>(settings)?.check()
    }

    #[test]
    fn roles_are_read_at_start() {
        let roles = json!({ "roles": {
            "admins": { "role": "operator" },
            "acme": { "role": "developer", "platform": "k3m9p2xw7q" },
        }});
        let roles = told(roles).unwrap();
        assert_eq!(roles["admins"], Grant::new(Role::Operator, GrantScope::All).unwrap());
        assert_eq!(roles["acme"].role, Role::Developer);
        assert!(roles["acme"].scope.platform().is_some());
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
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
            let error = format!("{:#}", told(over.clone()).unwrap_err());
            assert!(error.contains(part) && !error.contains("secret"), "{over}: {error}");
        }
        told(json!({ "issuer": "http://localhost:8080/realms/a" })).unwrap();
        told(json!({ "issuer": "any text", "jwks_url": "http://[::1]:1/keys" })).unwrap();
    }
}
