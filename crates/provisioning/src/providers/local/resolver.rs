//! Whether a customer's own host name leads to its target: by DNS records that only the owner of the name can set.
//!
//! A target lies below the host names of one platform. So a CNAME record that leads to it names the platform, and so
//! does a TXT record that holds it. An address in common names nobody: all platforms may have the same.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};

use crate::providers::{DomainCheck, HostName, ProviderError};

const PATIENCE: Duration = Duration::from_secs(10);
/// The label below which a TXT record holds the target of a host name that cannot have a CNAME record.
const CHALLENGE: &str = "_nno-challenge";
/// CNAME records that are followed.
const MAX_CHAIN: usize = 8;
/// The longest host name, without a dot at its end.
const MAX_NAME: usize = 253;

/// Whether `hostname` is proven to belong to whoever `target` belongs to, and leads there. Asks `nameserver`, or those
/// of this machine.
pub(super) async fn verify(
    hostname: &HostName,
    target: &HostName,
    nameserver: Option<SocketAddr>,
) -> Result<DomainCheck, ProviderError> {
    if let Some(known) = reserved(hostname, target) {
        return Ok(known);
    }
    let verdict = async {
        let dns = Dns::new(nameserver)?;
        match dns.chain(hostname, target).await? {
            None => Ok(DomainCheck::Verified),
            Some(end) => dns.challenge(hostname, target, &end).await,
        }
    };
    tokio::time::timeout(PATIENCE, verdict)
        .await
        .unwrap_or_else(|_| Err(ProviderError::retryable("the DNS server did not answer in time")))
}

/// What RFC 6761 says of two top-level names: hosts of one are this machine, which belongs to whoever runs it, and there
/// are none of the other. No DNS server is asked for them.
fn reserved(hostname: &HostName, target: &HostName) -> Option<DomainCheck> {
    let top = |host: &HostName| host.as_str().rsplit('.').next().unwrap_or_default().to_owned();
    match top(hostname).as_str() {
        "localhost" if top(target) == "localhost" => Some(DomainCheck::Verified),
        "localhost" => {
            Some(DomainCheck::NotYet(format!("{hostname} leads to this machine, not to {target}")))
        }
        "invalid" => Some(DomainCheck::NotYet(format!(
            "{hostname} does not resolve: the name is reserved to be invalid"
        ))),
        _ => None,
    }
}

struct Dns(TokioResolver);

impl Dns {
    /// A resolver without memory: what it finds is what is set now.
    fn new(nameserver: Option<SocketAddr>) -> Result<Self, ProviderError> {
        let cannot = |e: NetError| ProviderError::retryable(format!("the DNS settings cannot be used: {e}"));
        let mut builder = match nameserver {
            None => TokioResolver::builder_tokio().map_err(cannot)?,
            Some(address) => {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = address.port();
                    connection
                });
                let server = NameServerConfig::new(address.ip(), true, connections.into());
                let config = ResolverConfig::from_name_servers(vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        builder.options_mut().cache_size = 0;
        Ok(Self(builder.build().map_err(cannot)?))
    }

    /// Follows CNAME records: `None` when they lead to the target, else where they end.
    async fn chain(&self, hostname: &HostName, target: &HostName) -> Result<Option<String>, ProviderError> {
        let mut at = hostname.as_str().to_owned();
        for _ in 0..MAX_CHAIN {
            let Some(next) = self.cname(&at).await? else { break };
            if next == target.as_str() {
                return Ok(None);
            }
            at = next;
        }
        Ok(Some(at))
    }

    /// For a host name whose CNAME records end elsewhere: a TXT record proves whose it is, and an address in common that it
    /// leads there.
    async fn challenge(
        &self,
        hostname: &HostName,
        target: &HostName,
        end: &str,
    ) -> Result<DomainCheck, ProviderError> {
        let at = format!("{CHALLENGE}.{hostname}");
        let proven = at.len() <= MAX_NAME && self.texts(&at).await?.contains(target.as_str());
        if !proven {
            let leads = if end == hostname.as_str() {
                format!("{hostname} has no CNAME record")
            } else {
                format!("{hostname} leads to {end}, not to {target}")
            };
            return Ok(DomainCheck::NotYet(format!("{leads}, and {at} has no TXT record '{target}'")));
        }
        let (found, wanted) =
            tokio::try_join!(self.addresses(hostname.as_str()), self.addresses(target.as_str()))?;
        if !found.is_disjoint(&wanted) {
            return Ok(DomainCheck::Verified);
        }
        let (found, wanted) = (listed(&found), listed(&wanted));
        Ok(DomainCheck::NotYet(format!("{hostname} leads to {found}, and {target} to {wanted}")))
    }

    async fn cname(&self, host: &str) -> Result<Option<String>, ProviderError> {
        let found = self.records(host, RecordType::CNAME).await?;
        Ok(found.into_iter().find_map(|data| match data {
            RData::CNAME(name) => Some(name.to_string().trim_end_matches('.').to_ascii_lowercase()),
            _ => None,
        }))
    }

    async fn texts(&self, host: &str) -> Result<BTreeSet<String>, ProviderError> {
        let found = self.records(host, RecordType::TXT).await?;
        let text = |data: RData| match data {
            RData::TXT(txt) => String::from_utf8(txt.txt_data.concat()).ok(),
            _ => None,
        };
        let tidy = |text: String| text.trim().trim_end_matches('.').to_ascii_lowercase();
        Ok(found.into_iter().filter_map(text).map(tidy).collect())
    }

    async fn addresses(&self, host: &str) -> Result<BTreeSet<IpAddr>, ProviderError> {
        let (v4, v6) =
            tokio::try_join!(self.records(host, RecordType::A), self.records(host, RecordType::AAAA))?;
        let address = |data: RData| match data {
            RData::A(address) => Some(IpAddr::from(address.0)),
            RData::AAAA(address) => Some(IpAddr::from(address.0)),
            _ => None,
        };
        Ok(v4.into_iter().chain(v6).filter_map(address).collect())
    }

    /// What is set at a host name; nothing, when there are no such records.
    async fn records(&self, host: &str, kind: RecordType) -> Result<Vec<RData>, ProviderError> {
        // The dot at the end keeps this machine's search domains out.
        match self.0.lookup(format!("{host}."), kind).await {
            Ok(found) => Ok(found.answers().iter().map(|record| record.data.clone()).collect()),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => {
                Err(ProviderError::retryable(format!("the DNS server does not answer for {host}: {error}")))
            }
        }
    }
}

fn listed(addresses: &BTreeSet<IpAddr>) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    if texts.is_empty() { "no address".to_owned() } else { texts.join(", ") }
}
