//! Causes that keep a custom domain from being active.

use fake_provider::Operation;
use provisioning::providers::{Owner, Provider as _, ResourceKind as Kind, Target};
use serde_json::json;

use super::{
    fixture::{Cause, Fixture, Later, Object, Process, clear_rules, fails_for_now, text},
    people::active,
    services::start_provisioning,
};

pub(super) fn causes() -> Vec<Cause> {
    vec![
        Cause::new("no DNS record is set", domain)
            .expect(
                &["custom_domain"],
                &[
                    "has no DNS record",
                    "needs a CNAME record that points to auth.svc.default.",
                    "its next check is due at",
                ],
            )
            .remove(set_record),
        Cause::new("the DNS record leads elsewhere", domain)
            .inject(set_wrong_record)
            .expect(
                &["custom_domain"],
                &["points to old.example, not to auth.svc.default.", "its next check is due at"],
            )
            .remove(set_record),
        Cause::new("the resolver is down", domain)
            .rules([fails_for_now(Operation::Observe, Kind::DnsRecord, "SERVFAIL")])
            .expect(&["custom_domain"], &["could not be checked: SERVFAIL"])
            .remove(set_record),
        Cause::new("an operator has stopped the checks", domain)
            .inject(end_checks)
            .expect(&["custom_domain"], &["its checks were ended by a user"])
            .remove(check_again),
        Cause::new("provisioning is down", domain)
            .without(Process::Provisioning)
            .expect(&["custom_domain", "service"], &["the service provisioning cannot be reached"])
            .remove(set_record_and_start),
    ]
}

/// A custom domain of a platform.
fn domain(fixture: &mut Fixture) -> Later<'_, Object> {
    Box::pin(async move {
        let object = active(fixture).await;
        let (slug, own) = (fixture.slug(), format!("/api/v1/platforms/{}", object.platform));
        let body = json!({ "stackId": "default", "resourceType": "worker", "serviceName": "auth",
            "environment": "prod", "cfName": format!("{slug}-auth") });
        let resources = format!("{own}/entities/{}/resources", object.platform);
        let resource = fixture.post(Process::Registry, &resources, body).await;
        let body = json!({ "hostname": format!("{slug}.svc.nno.example"), "targetType": "worker",
            "resourceId": resource["id"], "environment": "prod" });
        let record = fixture.post(Process::Registry, &format!("{own}/stacks/default/dns"), body).await;
        let body = json!({ "dnsRecordId": record["id"], "hostname": hostname(&slug),
            "targetDns": target(&object) });
        let created = fixture.post(Process::Registry, &format!("{own}/domains"), body).await;
        Object { path: format!("{own}/domains/{}/explain", text(&created, "id")), ..object }
    })
}

fn target(object: &Object) -> String {
    format!("auth.svc.default.{}.nno.localhost", object.platform)
}

fn hostname(slug: &str) -> String {
    format!("{slug}.acme.example")
}

async fn set(fixture: &Fixture, target: &str) {
    let owner = Owner::of(&domain::PlatformId::parse("abcdefghij").unwrap());
    let record = Target::dns(&owner, hostname(&fixture.slug()), target).unwrap();
    fixture.system.provider.ensure(&record).await.unwrap();
}

fn set_record<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        clear_rules(fixture, object).await;
        set(fixture, &target(object)).await;
    })
}

fn set_wrong_record<'s>(fixture: &'s mut Fixture, _: &'s Object) -> Later<'s, ()> {
    Box::pin(async move { set(fixture, "old.example").await })
}

fn set_record_and_start<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        set(fixture, &target(object)).await;
        start_provisioning(fixture, object).await;
    })
}

async fn patch(fixture: &Fixture, object: &Object, status: &str) {
    let path = object.path.replace("/explain", "");
    fixture.system.registry.patch(&path, json!({ "status": status })).await.expect(200);
}

fn end_checks<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move { patch(fixture, object, "failed").await })
}

fn check_again<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        set(fixture, &target(object)).await;
        patch(fixture, object, "pending").await;
    })
}
