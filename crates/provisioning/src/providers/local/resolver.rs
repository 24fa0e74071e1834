//! Where a host name leads, as the resolver of this machine has it: DNS, and the machine's own list of hosts.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::providers::{Hostname, ProviderError, Verdict};

const PATIENCE: Duration = Duration::from_secs(5);

/// Whether `hostname` leads to an address that `target` leads to.
pub(super) async fn verify(hostname: &Hostname, target: &Hostname) -> Result<Verdict, ProviderError> {
    let (ours, wanted) = tokio::try_join!(addresses(hostname), addresses(target))?;
    Ok(match (ours, wanted) {
        (Err(why), _) | (_, Err(why)) => Verdict::NotYet(why),
        (Ok(ours), Ok(wanted)) if !ours.is_disjoint(&wanted) => Verdict::Verified,
        (Ok(ours), Ok(wanted)) => Verdict::NotYet(format!(
            "{hostname} leads to {}, and {target} to {}",
            listed(&ours),
            listed(&wanted)
        )),
    })
}

/// The addresses of a host, or why there are none.
async fn addresses(host: &Hostname) -> Result<Result<BTreeSet<IpAddr>, String>, ProviderError> {
    if let Some(known) = reserved(host.as_str()) {
        return Ok(known);
    }
    let asked = tokio::net::lookup_host((host.as_str(), 0));
    let Ok(answer) = tokio::time::timeout(PATIENCE, asked).await else {
        return Err(ProviderError::retryable(format!("the resolver did not answer for {host} in time")));
    };
    Ok(match answer {
        Ok(found) => Ok(found.map(|address| address.ip()).collect()),
        Err(error) => Err(format!("{host} does not resolve: {error}")),
    })
}

/// What RFC 6761 says of two top-level names, whose hosts no resolver has to be asked for.
fn reserved(host: &str) -> Option<Result<BTreeSet<IpAddr>, String>> {
    match host.rsplit('.').next() {
        Some("localhost") => {
            Some(Ok(BTreeSet::from([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])))
        }
        Some("invalid") => Some(Err(format!("{host} does not resolve: the name is reserved to be invalid"))),
        _ => None,
    }
}

fn listed(addresses: &BTreeSet<IpAddr>) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    if texts.is_empty() { "no address".to_owned() } else { texts.join(", ") }
}
