//! Verification of custom host names by DNS records that only the owner of the name can set.
//!
//! A target is below the host names of one platform. A CNAME record to it, or a TXT record with its name, therefore
//! identifies the platform. A common address does not, because all platforms may share it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};

use crate::providers::{DomainCheck, HostName, ProviderError};

const TIMEOUT: Duration = Duration::from_secs(10);
/// Label of the TXT record that holds the target of a host name that cannot have a CNAME record.
const CHALLENGE: &str = "_nno-challenge";
/// Maximum number of CNAME records to follow.
const MAX_CHAIN: usize = 8;
/// Maximum length of a host name without the trailing dot.
const MAX_NAME: usize = 253;

/// Checks that `hostname` belongs to the owner of `target` and points to it. Queries `nameserver`, or the servers of
/// this machine.
pub(super) async fn verify(
    hostname: &HostName,
    target: &HostName,
    nameserver: Option<SocketAddr>,
) -> Result<DomainCheck, ProviderError> {
    if let Some(result) = reserved(hostname, target) {
        return Ok(result);
    }
    let check = async {
        let dns = Dns::new(nameserver)?;
        match dns.chain(hostname, target).await? {
            None => Ok(DomainCheck::Verified),
            Some(end) => dns.challenge(hostname, target, &end).await,
        }
    };
    tokio::time::timeout(TIMEOUT, check)
        .await
        .unwrap_or_else(|_| Err(ProviderError::retryable("the DNS server did not respond in time")))
}

/// Returns the result for the top-level names that RFC 6761 reserves, without a DNS query: `localhost` is this machine,
/// which belongs to its operator, and names under `invalid` do not exist.
fn reserved(hostname: &HostName, target: &HostName) -> Option<DomainCheck> {
    let top = |host: &HostName| host.as_str().rsplit('.').next().unwrap_or_default().to_owned();
    match top(hostname).as_str() {
        "localhost" if top(target) == "localhost" => Some(DomainCheck::Verified),
        "localhost" => {
            Some(DomainCheck::NotYet(format!("{hostname} points to this machine, not to {target}")))
        }
        "invalid" => Some(DomainCheck::NotYet(format!(
            "{hostname} does not resolve: the name is reserved to be invalid"
        ))),
        _ => None,
    }
}

struct Dns(TokioResolver);

impl Dns {
    /// Creates a resolver without a cache, so that results are current.
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

    /// Follows CNAME records. Returns `None` if they end at the target, else the name that they end at.
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

    /// Checks a host name whose CNAME records end elsewhere: a TXT record must prove its owner, and a common address
    /// that it points to the target.
    async fn challenge(
        &self,
        hostname: &HostName,
        target: &HostName,
        end: &str,
    ) -> Result<DomainCheck, ProviderError> {
        let at = format!("{CHALLENGE}.{hostname}");
        let proven = at.len() <= MAX_NAME && self.texts(&at).await?.contains(target.as_str());
        if !proven {
            let problem = if end == hostname.as_str() {
                format!("{hostname} has no CNAME record")
            } else {
                format!("{hostname} points to {end}, not to {target}")
            };
            return Ok(DomainCheck::NotYet(format!("{problem}, and {at} has no TXT record '{target}'")));
        }
        let (found, expected) =
            tokio::try_join!(self.addresses(hostname.as_str()), self.addresses(target.as_str()))?;
        if !found.is_disjoint(&expected) {
            return Ok(DomainCheck::Verified);
        }
        let (found, expected) = (listed(&found), listed(&expected));
        Ok(DomainCheck::NotYet(format!("{hostname} points to {found}, and {target} to {expected}")))
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
        let normalise = |text: String| text.trim().trim_end_matches('.').to_ascii_lowercase();
        Ok(found.into_iter().filter_map(text).map(normalise).collect())
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

    /// Returns the records of a type at a host name, or nothing if there are none.
    async fn records(&self, host: &str, kind: RecordType) -> Result<Vec<RData>, ProviderError> {
        // The trailing dot excludes the search domains of this machine.
        match self.0.lookup(format!("{host}."), kind).await {
            Ok(found) => Ok(found.answers().iter().map(|record| record.data.clone()).collect()),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => {
                Err(ProviderError::retryable(format!("the DNS server does not respond for {host}: {error}")))
            }
        }
    }
}

fn listed(addresses: &BTreeSet<IpAddr>) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    if texts.is_empty() { "no address".to_owned() } else { texts.join(", ") }
}
