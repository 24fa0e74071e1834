//! What keeps a custom domain from being active.

use fake_provider::Operation;
use provisioning::providers::{Owner, Provider as _, ResourceKind as Kind, Target};
use serde_json::json;

use super::{
    people::active,
    scene::{Cause, Later, Process, Scene, Thing, calm, later, text},
    services::start_provisioning,
};

pub(super) fn causes() -> Vec<Cause> {
    vec![
        Cause::of("no DNS record is set", domain)
            .tells(
                &["custom_domain"],
                &[
                    "leads nowhere",
                    "needs a CNAME record that points to auth.svc.default.",
                    "its next check is due at",
                ],
            )
            .lift(set_record),
        Cause::of("the DNS record leads elsewhere", domain)
            .inject(set_wrong_record)
            .tells(
                &["custom_domain"],
                &["leads to old.example, not to auth.svc.default.", "its next check is due at"],
            )
            .lift(set_record),
        Cause::of("the resolver is away", domain)
            .rules([later(Operation::Observe, Kind::DnsRecord, "SERVFAIL")])
            .tells(&["custom_domain"], &["leads could not be found out: SERVFAIL"])
            .lift(set_record),
        Cause::of("someone has ended the checks", domain)
            .inject(end_checks)
            .tells(&["custom_domain"], &["its checks were ended by a user"])
            .lift(check_again),
        Cause::of("nobody is there to check it", domain)
            .away(Process::Provisioning)
            .tells(&["custom_domain", "service"], &["the service provisioning cannot be reached"])
            .lift(set_record_and_start),
    ]
}

/// A custom domain of a platform.
fn domain(scene: &mut Scene) -> Later<'_, Thing> {
    Box::pin(async move {
        let thing = active(scene).await;
        let (slug, own) = (scene.slug(), format!("/api/v1/platforms/{}", thing.platform));
        let body = json!({ "stackId": "default", "resourceType": "worker", "serviceName": "auth",
            "environment": "prod", "cfName": format!("{slug}-auth") });
        let resources = format!("{own}/entities/{}/resources", thing.platform);
        let resource = scene.post(Process::Registry, &resources, body).await;
        let body = json!({ "hostname": format!("{slug}.svc.nno.example"), "targetType": "worker",
            "resourceId": resource["id"], "environment": "prod" });
        let record = scene.post(Process::Registry, &format!("{own}/stacks/default/dns"), body).await;
        let body = json!({ "dnsRecordId": record["id"], "hostname": hostname(&slug),
            "targetDns": target(&thing) });
        let made = scene.post(Process::Registry, &format!("{own}/domains"), body).await;
        Thing { path: format!("{own}/domains/{}/explain", text(&made, "id")), ..thing }
    })
}

fn target(thing: &Thing) -> String {
    format!("auth.svc.default.{}.nno.localhost", thing.platform)
}

fn hostname(slug: &str) -> String {
    format!("{slug}.acme.example")
}

async fn set(scene: &Scene, target: &str) {
    let owner = Owner::of(&domain::PlatformId::parse("abcdefghij").unwrap());
    let record = Target::dns(&owner, hostname(&scene.slug()), target).unwrap();
    scene.system.provider.ensure(&record).await.unwrap();
}

fn set_record<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        calm(scene, thing).await;
        set(scene, &target(thing)).await;
    })
}

fn set_wrong_record<'s>(scene: &'s mut Scene, _: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move { set(scene, "old.example").await })
}

fn set_record_and_start<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        set(scene, &target(thing)).await;
        start_provisioning(scene, thing).await;
    })
}

async fn patch(scene: &Scene, thing: &Thing, status: &str) {
    let path = thing.path.replace("/explain", "");
    scene.system.registry.patch(&path, json!({ "status": status })).await.expect(200);
}

fn end_checks<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move { patch(scene, thing, "failed").await })
}

fn check_again<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        set(scene, &target(thing)).await;
        patch(scene, thing, "pending").await;
    })
}
