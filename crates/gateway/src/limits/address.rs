//! The origin of a request, according to trusted proxies.

use std::net::{IpAddr, Ipv6Addr};

use actix_web::http::header::{HeaderMap, HeaderName};
use anyhow::{Context, Result};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The proxies whose forwarding headers are trusted.
#[derive(Debug, Default)]
pub(crate) struct Proxies(Vec<IpNet>);

/// The origin of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Origin {
    /// The client's address; `None` if the connection has been lost.
    pub(crate) ip: Option<IpAddr>,
    /// True if the request reached a trusted proxy over TLS.
    pub(crate) is_https: bool,
}

impl Proxies {
    /// Parses networks, such as `10.0.0.0/8`, and single addresses.
    ///
    /// # Errors
    /// When an entry is neither.
    pub(crate) fn new(networks: &[String]) -> Result<Self> {
        let read = |text: &String| {
            let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.with_context(|| format!("'{text}' is not a network, such as 10.0.0.0/8"))
        };
        Ok(Self(networks.iter().map(read).collect::<Result<_>>()?))
    }

    fn contains(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&ip))
    }

    /// Returns the origin of a request from the peer `peer`. Each proxy appends the address that it got the request
    /// from, so the list is read from its end, up to the first address that is not a trusted proxy. Earlier entries
    /// could be forged.
    pub(crate) fn origin(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Origin {
        let Some(peer) = peer.map(|ip| ip.to_canonical()) else { return Origin::default() };
        if !self.contains(peer) {
            return Origin { ip: Some(peer), is_https: false };
        }
        let mut client = peer;
        let lists: Vec<&str> = headers.get_all(FORWARDED_FOR).filter_map(|list| list.to_str().ok()).collect();
        for entry in lists.iter().rev().flat_map(|list| list.rsplit(',')) {
            let Ok(ip) = entry.trim().parse::<IpAddr>() else { break };
            client = ip.to_canonical();
            if !self.contains(client) {
                break;
            }
        }
        let is_https = scheme(headers).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        Origin { ip: Some(client), is_https }
    }
}

/// Returns the client's scheme according to the last proxy; `None` if the header is ambiguous.
fn scheme(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(FORWARDED_PROTO);
    let (Some(one), None) = (values.next(), values.next()) else { return None };
    one.to_str().ok()?.rsplit(',').next().map(str::trim)
}

/// Returns the address that limits apply to. For IPv6 it is the /64 network, because a client with one address usually
/// has all 2^64 of them.
pub(crate) fn limit_key(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn origin(proxies: &[&str], peer: &str, lists: &[&str], proto: &str) -> (String, bool) {
        let proxies: Vec<String> = proxies.iter().map(|text| (*text).to_owned()).collect();
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(list).unwrap());
        }
        headers.append(FORWARDED_PROTO, HeaderValue::from_str(proto).unwrap());
        let origin = Proxies::new(&proxies).unwrap().origin(Some(peer.parse().unwrap()), &headers);
        (origin.ip.unwrap().to_string(), origin.is_https)
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let ours: &[&str] = &["10.0.0.0/8", "192.0.2.1", "fd00::/8"];
        for (proxies, peer, lists, proto, client, is_https) in [
            (&[][..], "10.0.0.1", &["1.1.1.1"][..], "https", "10.0.0.1", false),
            (ours, "203.0.113.9", &["1.1.1.1"], "https", "203.0.113.9", false),
            (ours, "10.0.0.1", &["1.1.1.1"], "https", "1.1.1.1", true),
            (ours, "::ffff:10.0.0.1", &["1.1.1.1"], "http", "1.1.1.1", false),
            (ours, "10.0.0.1", &["6.6.6.6, 1.1.1.1, 10.0.0.2"], "HTTPS", "1.1.1.1", true),
            (ours, "10.0.0.1", &["6.6.6.6", "1.1.1.1, 192.0.2.1"], "https", "1.1.1.1", true),
            (ours, "fd00::1", &["1.1.1.1, nonsense"], "https", "fd00::1", true),
            (ours, "10.0.0.1", &["nonsense, 10.0.0.7"], "", "10.0.0.7", false),
            (ours, "10.0.0.1", &[], "https, http", "10.0.0.1", false),
        ] {
            assert_eq!(
                origin(proxies, peer, lists, proto),
                (client.to_owned(), is_https),
                "{peer} {lists:?}"
            );
        }
    }

    #[test]
    fn malformed_networks_are_rejected() {
        for text in ["", "10.0.0.0/33", "example.com", "10.0.0"] {
            let error = format!("{:#}", Proxies::new(&[text.to_owned()]).unwrap_err());
            assert!(error.contains("is not a network"), "{error}");
        }
    }

    #[test]
    fn ipv6_clients_are_counted_by_network() {
        let at = |text: &str| limit_key(text.parse().unwrap()).to_string();
        assert_eq!(at("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(at("192.0.2.7"), "192.0.2.7");
    }
}
