//! Where a request comes from, as far as it can be believed.

use std::net::{IpAddr, Ipv6Addr};

use actix_web::http::header::{HeaderMap, HeaderName};
use anyhow::{Context, Result};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The proxies that are believed in what they say of their clients.
#[derive(Debug, Default)]
pub(crate) struct Proxies(Vec<IpNet>);

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Origin {
    /// The client; none if the connection was lost meanwhile.
    pub(crate) ip: Option<IpAddr>,
    /// Whether it came with TLS to a proxy of ours.
    pub(crate) is_https: bool,
}

impl Proxies {
    /// Reads networks, such as `10.0.0.0/8`, or single addresses.
    ///
    /// # Errors
    /// When one is neither.
    pub(crate) fn new(networks: &[String]) -> Result<Self> {
        let read = |text: &String| {
            let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.with_context(|| format!("'{text}' is no network, such as 10.0.0.0/8"))
        };
        Ok(Self(networks.iter().map(read).collect::<Result<_>>()?))
    }

    fn has(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&ip))
    }

    /// Where a request of the neighbour `peer` comes from. Each proxy adds whom it got the request from at the end, so
    /// the list is read from there, as long as it is proxies of ours that speak: what stands before could be made up.
    pub(crate) fn origin(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Origin {
        let Some(peer) = peer.map(|ip| ip.to_canonical()) else { return Origin::default() };
        if !self.has(peer) {
            return Origin { ip: Some(peer), is_https: false };
        }
        let mut client = peer;
        let lists: Vec<&str> = headers.get_all(FORWARDED_FOR).filter_map(|list| list.to_str().ok()).collect();
        for told in lists.iter().rev().flat_map(|list| list.rsplit(',')) {
            let Ok(ip) = told.trim().parse::<IpAddr>() else { break };
            client = ip.to_canonical();
            if !self.has(client) {
                break;
            }
        }
        let is_https = scheme(headers).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        Origin { ip: Some(client), is_https }
    }
}

/// What the last proxy says of the client's scheme; nothing if it can be read in two ways.
fn scheme(headers: &HeaderMap) -> Option<&str> {
    let mut told = headers.get_all(FORWARDED_PROTO);
    let (Some(one), None) = (told.next(), told.next()) else { return None };
    one.to_str().ok()?.rsplit(',').next().map(str::trim)
}

/// What an address is counted as: whoever has one address of IPv6 has the 2^64 beside it.
pub(crate) fn counted_as(ip: IpAddr) -> IpAddr {
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
    fn only_proxies_of_ours_are_believed() {
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
    fn networks_are_read_at_start() {
        for text in ["", "10.0.0.0/33", "example.com", "10.0.0"] {
            let told = format!("{:#}", Proxies::new(&[text.to_owned()]).unwrap_err());
            assert!(told.contains("no network"), "{told}");
        }
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let at = |text: &str| counted_as(text.parse().unwrap()).to_string();
        assert_eq!(at("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(at("192.0.2.7"), "192.0.2.7");
    }
}
