//! Verification of custom host names by providers.

use std::net::{Ipv4Addr, SocketAddr};

use fake_provider::{Action, FakeProvider, Fault, Operation, Rule, Script};
use hickory_resolver::proto::{
    op::{Message, OpCode},
    rr::{
        Name, RData, Record,
        rdata::{CNAME, TXT},
    },
};
use provisioning::providers::{
    Clock, DomainCheck, ErrorKind, HostName, Provider, ProviderError, Target,
    local::{LocalProvider, LocalSettings},
};
use tokio::net::UdpSocket;

use super::Local;

async fn verify(provider: &dyn Provider, host: &str, target: &str) -> Result<DomainCheck, ProviderError> {
    let name = |text: &str| HostName::parse(text).unwrap();
    provider.verify_domain(&super::targets::owner(), &name(host), &name(target)).await
}

fn reason(check: DomainCheck) -> String {
    match check {
        DomainCheck::NotYet(why) => why,
        DomainCheck::Verified => panic!("the domain was verified"),
    }
}

#[tokio::test]
async fn default_check_uses_the_records_of_the_provider() {
    let fake = FakeProvider::in_memory(&Script::default(), Clock::system()).unwrap();
    let problem = reason(verify(&fake, "shop.acme.com", "a.nno.example").await.unwrap());
    assert_eq!(problem, "shop.acme.com has no DNS record");
    fake.ensure(&Target::dns(&super::targets::owner(), "shop.acme.com", "b.nno.example").unwrap())
        .await
        .unwrap();
    let problem = reason(verify(&fake, "shop.acme.com", "a.nno.example").await.unwrap());
    assert_eq!(problem, "shop.acme.com points to b.nno.example, not to a.nno.example");
    assert_eq!(verify(&fake, "Shop.acme.com", "b.nno.example").await.unwrap(), DomainCheck::Verified);
    fake.follow([Rule::new(Action::Fail(Fault::Retryable("later".into()))).on(Operation::Observe)])
        .await
        .unwrap();
    assert_eq!(
        verify(&fake, "shop.acme.com", "b.nno.example").await.unwrap_err(),
        ProviderError::retryable("later")
    );
}

#[tokio::test]
async fn reserved_names_are_decided_without_dns() {
    let local = Local::new().await;
    let provider = &local.provider;
    // Names under .localhost are this machine, and names under .invalid do not exist (RFC 6761).
    let target = "auth.svc.default.abcdefghij.nno.localhost";
    assert_eq!(verify(provider, "shop.localhost", target).await.unwrap(), DomainCheck::Verified);
    let problem = reason(verify(provider, "shop.localhost", "a.abcdefghij.nno.example").await.unwrap());
    assert_eq!(problem, "shop.localhost points to this machine, not to a.abcdefghij.nno.example");
    let problem = reason(verify(provider, "shop.acme.invalid", target).await.unwrap());
    assert!(problem.starts_with("shop.acme.invalid does not resolve"), "{problem}");
    // A route of this provider does not prove the ownership of the name.
    provider
        .ensure(&Target::dns(&super::targets::owner(), "shop.acme.invalid", target).unwrap())
        .await
        .unwrap();
    reason(verify(provider, "shop.acme.invalid", target).await.unwrap());
}

const TARGET_A: &str = "auth.svc.default.aaaaaaaaaa.nno.example";
const TARGET_B: &str = "auth.svc.default.bbbbbbbbbb.nno.example";

#[tokio::test]
async fn cname_into_a_platform_proves_a_domain_for_it_alone() {
    let dns = DnsServer::start(&[
        ("www.vic.org", "CNAME", TARGET_B),
        ("shop.vic.org", "CNAME", "edge.vic.org"),
        ("edge.vic.org", "CNAME", "AUTH.svc.default.BBBBBBBBBB.nno.example"),
        (TARGET_A, "A", "192.0.2.1"),
        (TARGET_B, "A", "192.0.2.1"),
        ("loop.vic.org", "CNAME", "loop.vic.org"),
    ])
    .await;
    let local = dns.provider().await;
    for host in ["www.vic.org", "WWW.vic.org", "shop.vic.org"] {
        assert_eq!(verify(&local.provider, host, TARGET_B).await.unwrap(), DomainCheck::Verified, "{host}");
        let problem = reason(verify(&local.provider, host, TARGET_A).await.unwrap());
        assert!(problem.contains("points to auth.svc.default.bbbbbbbbbb.nno.example, not to"), "{problem}");
    }
    reason(verify(&local.provider, "loop.vic.org", TARGET_B).await.unwrap());
    reason(verify(&local.provider, "nothing.vic.org", TARGET_B).await.unwrap());
}

#[tokio::test]
async fn address_in_common_proves_nothing_without_the_txt_record() {
    let dns = DnsServer::start(&[
        ("vic.org", "A", "192.0.2.1"),
        ("_nno-challenge.vic.org", "TXT", TARGET_B),
        ("_nno-challenge.vic.org", "TXT", "something else"),
        ("away.org", "A", "192.0.2.9"),
        ("_nno-challenge.away.org", "TXT", TARGET_B),
        (TARGET_A, "A", "192.0.2.1"),
        (TARGET_B, "A", "192.0.2.1"),
    ])
    .await;
    let local = dns.provider().await;
    assert_eq!(verify(&local.provider, "vic.org", TARGET_B).await.unwrap(), DomainCheck::Verified);
    let problem = reason(verify(&local.provider, "vic.org", TARGET_A).await.unwrap());
    assert_eq!(
        problem,
        format!("vic.org has no CNAME record, and _nno-challenge.vic.org has no TXT record '{TARGET_A}'")
    );
    let problem = reason(verify(&local.provider, "away.org", TARGET_B).await.unwrap());
    assert_eq!(problem, format!("away.org points to 192.0.2.9, and {TARGET_B} to 192.0.2.1"));
}

#[tokio::test]
async fn unavailable_dns_server_is_a_retryable_error() {
    let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let local = provider_with(closed.local_addr().unwrap()).await;
    drop(closed);
    let error = verify(&local.provider, "www.vic.org", TARGET_B).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Retryable);
}

/// DNS server with a fixed set of records.
struct DnsServer(SocketAddr);

impl DnsServer {
    async fn start(records: &[(&str, &str, &str)]) -> Self {
        let name = |text: &str| Name::from_ascii(format!("{text}.")).unwrap();
        let record = |(host, kind, value): &(&str, &str, &str)| {
            let data = match *kind {
                "A" => RData::A(value.parse::<Ipv4Addr>().unwrap().into()),
                "CNAME" => RData::CNAME(CNAME(name(value))),
                _ => RData::TXT(TXT::new(vec![(*value).to_owned()])),
            };
            Record::from_rdata(name(host), 60, data)
        };
        let records: Vec<Record> = records.iter().map(record).collect();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                let request = Message::from_vec(&buffer[..length]).unwrap();
                let query = request.queries[0].clone();
                let matches = |record: &&Record| {
                    record.name == *query.name() && record.record_type() == query.query_type()
                };
                let mut response = Message::response(request.metadata.id, OpCode::Query);
                response.metadata.recursion_desired = true;
                response.metadata.recursion_available = true;
                response.add_answers(records.iter().filter(matches).cloned());
                response.add_query(query.clone());
                socket.send_to(&response.to_vec().unwrap(), from).await.unwrap();
            }
        });
        Self(address)
    }

    async fn provider(&self) -> Local {
        provider_with(self.0).await
    }
}

/// Returns a local provider that uses the DNS server at `nameserver`.
async fn provider_with(nameserver: SocketAddr) -> Local {
    let root = tempfile::tempdir().unwrap();
    let settings = LocalSettings { nameserver: Some(nameserver), ..LocalSettings::new(root.path()) };
    let provider = LocalProvider::open(settings, Clock::system()).await.unwrap();
    Local { provider, root }
}
