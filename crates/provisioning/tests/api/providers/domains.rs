//! How providers find out where a customer's own host name leads.

use provisioning::providers::{
    Clock, Hostname, Provider, ProviderError, Target, Verdict,
    fake::{Action, FakeProvider, Fault, Operation, Rule, Script},
};

use super::Local;

async fn verify(provider: &dyn Provider, host: &str, target: &str) -> Result<Verdict, ProviderError> {
    let name = |text: &str| Hostname::try_from(text).unwrap();
    provider.verify_domain(&super::targets::owner(), &name(host), &name(target)).await
}

fn reason(verdict: Verdict) -> String {
    match verdict {
        Verdict::NotYet(why) => why,
        Verdict::Verified => panic!("verified"),
    }
}

#[tokio::test]
async fn by_its_own_records() {
    let fake = FakeProvider::in_memory(&Script::default(), Clock::system()).unwrap();
    let told = reason(verify(&fake, "shop.acme.com", "a.nno.example").await.unwrap());
    assert_eq!(told, "shop.acme.com leads nowhere");
    fake.ensure(&Target::dns(&super::targets::owner(), "shop.acme.com", "b.nno.example").unwrap())
        .await
        .unwrap();
    let told = reason(verify(&fake, "shop.acme.com", "a.nno.example").await.unwrap());
    assert_eq!(told, "shop.acme.com leads to b.nno.example, not to a.nno.example");
    assert_eq!(verify(&fake, "Shop.acme.com", "b.nno.example").await.unwrap(), Verdict::Verified);
    fake.follow([Rule::new(Action::Fail(Fault::Retryable("later".into()))).on(Operation::Observe)])
        .await
        .unwrap();
    assert_eq!(
        verify(&fake, "shop.acme.com", "b.nno.example").await.unwrap_err(),
        ProviderError::retryable("later")
    );
}

#[tokio::test]
async fn by_the_machine_s_resolver() {
    let local = Local::new().await;
    let provider = &local.provider;
    // Names under .localhost are this machine's, and there are none under .invalid (RFC 6761).
    let target = "auth.svc.default.abcdefghij.nno.localhost";
    assert_eq!(verify(provider, "shop.localhost", target).await.unwrap(), Verdict::Verified);
    let told = reason(verify(provider, "shop.acme.invalid", target).await.unwrap());
    assert!(told.starts_with("shop.acme.invalid does not resolve"), "{told}");
    let told = reason(verify(provider, "shop.localhost", "gone.invalid").await.unwrap());
    assert!(told.starts_with("gone.invalid does not resolve"), "{told}");
    // An address is its own: the resolver is really asked, and the answers compared.
    assert_eq!(verify(provider, "127.0.0.1", "shop.localhost").await.unwrap(), Verdict::Verified);
    let told = reason(verify(provider, "127.0.0.2", "shop.localhost").await.unwrap());
    assert_eq!(told, "127.0.0.2 leads to 127.0.0.2, and shop.localhost to 127.0.0.1, ::1");
    // What this provider was told to route somewhere proves nothing of who owns the name.
    provider
        .ensure(&Target::dns(&super::targets::owner(), "shop.acme.invalid", target).unwrap())
        .await
        .unwrap();
    reason(verify(provider, "shop.acme.invalid", target).await.unwrap());
}
