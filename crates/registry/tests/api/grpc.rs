//! What other services ask.

use domain::{Kind, PlatformId, StackId};
use rpc::registry::{self as r, PlatformEvent as E, PlatformStatus as S};
use serde_json::json;
use uuid::Uuid;

use crate::{
    templates::{Answers, Templates},
    world::World,
};

fn text(text: &str) -> String {
    text.to_owned()
}

/// Calls one method as one process.
macro_rules! call {
    ($world:expr, $process:literal, $method:ident, $message:expr) => {
        $world.call($process, None, $message, async |mut client, request| client.$method(request).await).await
    };
}

fn new_platform(slug: &str) -> r::CreatePlatformRequest {
    r::CreatePlatformRequest {
        name: text("Shop"),
        slug: text(slug),
        tier: r::Tier::Growth.into(),
        owner_user_id: text("ada"),
        platform_id: PlatformId::random().to_string(),
        limited: false,
    }
}

fn transition(platform: &str, event: r::PlatformEvent) -> r::TransitionPlatformRequest {
    r::TransitionPlatformRequest {
        platform_id: text(platform),
        event: event.into(),
        reason: Some(text("why")),
    }
}

fn resource(platform: &str, entity: &str, name: &str) -> r::Resource {
    r::Resource {
        platform_id: text(platform),
        entity_id: text(entity),
        stack_id: text("default"),
        resource_type: r::ResourceType::Worker.into(),
        service_name: text("auth"),
        environment: r::Environment::Prod.into(),
        cf_name: text(name),
        status: r::ResourceStatus::Provisioning.into(),
        ..r::Resource::default()
    }
}

fn dns_record(platform: &str, hostname: &str, resource: &str) -> r::DnsRecord {
    r::DnsRecord {
        platform_id: text(platform),
        stack_id: text("default"),
        hostname: text(hostname),
        target_type: text("worker"),
        resource_id: text(resource),
        environment: r::Environment::Prod.into(),
        status: r::DnsStatus::Pending.into(),
        ..r::DnsRecord::default()
    }
}

#[tokio::test]
async fn a_platform_from_nothing_to_active_and_gone() {
    let world = World::start().await;
    let taken = async |slug: &str| {
        call!(world, "onboarding", check_slug, r::CheckSlugRequest { slug: text(slug) }).unwrap().taken
    };
    assert!(!taken("shop").await);
    let asked = new_platform("shop");
    let made = call!(world, "onboarding", create_platform, asked.clone()).unwrap().platform.unwrap();
    let fields = (made.status(), made.tier(), made.owner_user_id.as_deref(), made.id == asked.platform_id);
    assert_eq!(fields, (r::PlatformStatus::Pending, r::Tier::Growth, Some("ada"), true));
    assert!(taken("shop").await);
    let again = call!(world, "onboarding", create_platform, asked.clone()).unwrap().platform.unwrap();
    assert_eq!(again, made);
    let stolen = call!(world, "onboarding", create_platform, new_platform("shop")).unwrap_err();
    assert_eq!(stolen.kind(), Kind::AlreadyExists);

    for (event, status) in [
        (E::Bootstrap, S::Provisioning),
        (E::Fail, S::Pending),
        (E::Bootstrap, S::Provisioning),
        (E::Complete, S::Active),
    ] {
        for _ in 0..2 {
            let after = call!(world, "onboarding", transition_platform, transition(&made.id, event)).unwrap();
            assert_eq!(after.platform.unwrap().status(), status, "{event:?}");
        }
    }
    let set = r::SetRepositoryRequest { platform_id: made.id.clone(), repo_name: Some(text("repo")) };
    let after = call!(world, "onboarding", set_repository, set).unwrap().platform.unwrap();
    assert_eq!(after.repo_name.as_deref(), Some("repo"));
    let clear = r::SetRepositoryRequest { platform_id: made.id.clone(), repo_name: None };
    assert_eq!(call!(world, "onboarding", set_repository, clear).unwrap().platform.unwrap().repo_name, None);

    let refused =
        call!(world, "onboarding", transition_platform, transition(&made.id, E::Bootstrap)).unwrap_err();
    assert_eq!((refused.kind(), &refused.details()["from"]), (Kind::InvalidTransition, &json!("active")));
    let never =
        call!(world, "onboarding", transition_platform, transition(&made.id, E::PeriodEnd)).unwrap_err();
    assert_eq!(never.kind(), Kind::Validation);
    for event in [E::Suspend, E::Delete, E::Delete] {
        call!(world, "onboarding", transition_platform, transition(&made.id, event)).unwrap();
    }
    let found =
        call!(world, "onboarding", get_platform, r::GetPlatformRequest { platform_id: made.id.clone() })
            .unwrap();
    assert_eq!(found.platform.unwrap().status(), S::Deleted);
    assert!(!taken("shop").await);
    let events = world
        .number(&format!("SELECT count(*) FROM lifecycle_events WHERE platform_id = '{}'", made.id))
        .await;
    assert_eq!(events, 7);
}

#[tokio::test]
async fn a_tenant_is_made_once() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let asked = |slug: &str| r::EnsureTenantRequest {
        platform_id: platform.clone(),
        name: text("Acme"),
        slug: text(slug),
    };
    let made = futures_util::future::join_all(
        (0..8).map(|_| async { call!(world, "onboarding", ensure_tenant, asked("acme")).unwrap().entity_id }),
    )
    .await;
    assert!(made.iter().all(|id| *id == made[0]));
    let entity = world.get(&format!("/api/v1/platforms/{platform}/entities/{}", made[0])).await.expect(200);
    assert_eq!((&entity["type"], &entity["name"]), (&json!("tenant"), &json!("Acme")));
    world.subtenant(&platform, "sub", &made[0]).await;
    let refused = call!(world, "onboarding", ensure_tenant, asked("sub")).unwrap_err();
    assert_eq!(refused.kind(), Kind::AlreadyExists);
}

#[tokio::test]
async fn a_stack_is_made_once() {
    let templates = Templates::start(Answers::Shop("active", Some("1.0.0"))).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    let asked = |name: &str, template: &str| r::EnsureStackRequest {
        platform_id: platform.clone(),
        tenant_id: tenant.clone(),
        name: text(name),
        is_default: true,
        template_id: text(template),
        repo_name: Some(text("repo")),
    };
    let first = call!(world, "onboarding", ensure_stack, asked("main", "shop")).unwrap();
    assert_eq!(first.status(), r::StackStatus::Pending);
    templates.now(Answers::Failure);
    assert_eq!(call!(world, "onboarding", ensure_stack, asked("main", "shop")).unwrap(), first);
    assert_eq!(templates.asked(), 1);
    let away = call!(world, "onboarding", ensure_stack, asked("other", "shop")).unwrap_err();
    assert_eq!(away.kind(), Kind::ServiceUnavailable);
    templates.now(Answers::Shop("active", Some("1.0.0")));
    let second_default = call!(world, "onboarding", ensure_stack, asked("other", "shop")).unwrap_err();
    assert_eq!(second_default.kind(), Kind::AlreadyExists);
    for (template, kind) in [("nothing", Kind::TemplateUnavailable), ("", Kind::Validation)] {
        let refused = call!(world, "onboarding", ensure_stack, asked("third", template)).unwrap_err();
        assert_eq!(refused.kind(), kind);
    }
    let other = world.tenant(&platform, "u").await;
    let made = futures_util::future::join_all((0..6).map(|_| async {
        let asked = r::EnsureStackRequest { tenant_id: other.clone(), ..asked("main", "shop") };
        call!(world, "onboarding", ensure_stack, asked).unwrap().stack_id
    }))
    .await;
    assert!(StackId::parse(&made[0]).is_ok() && made.iter().all(|id| *id == made[0]));
}

#[tokio::test]
async fn how_much_a_template_is_in_use() {
    let templates = Templates::start(Answers::Shop("active", Some("1.0.0"))).await;
    let world = World::start_with(templates.settings()).await;
    let usage = async || {
        let asked = r::TemplateUsageRequest { template_id: text("t-1") };
        let mut told = call!(world, "stack-registry", template_usage, asked).unwrap();
        told.versions.sort_by(|a, b| a.version.cmp(&b.version));
        let row = |one: r::VersionUsage| (one.version, one.stacks, one.platforms);
        (told.versions.into_iter().map(row).collect::<Vec<_>>(), told.platforms)
    };
    assert_eq!(usage().await, (vec![], 0));
    let (one, other, gone) =
        (world.platform("one").await, world.platform("other").await, world.platform("gone").await);
    for (platform, version, stacks) in
        [(&one, "1.0.0", 2), (&one, "2.0.0", 1), (&other, "2.0.0", 1), (&gone, "2.0.0", 1)]
    {
        templates.now(Answers::Shop("active", Some(version)));
        for n in 0..stacks {
            let tenant = world.tenant(platform, &format!("t{}-{n}", version.replace('.', "-"))).await;
            let body = json!({ "tenantId": tenant, "name": "main", "templateId": "shop" });
            world.post(&format!("/api/v1/platforms/{platform}/stacks"), body).await.expect(201);
        }
    }
    // One without a template, and one of a platform that is no more.
    let tenant = world.tenant(&one, "custom").await;
    world.stack(&one, &tenant, "custom").await;
    world.delete(&format!("/api/v1/platforms/{gone}")).await;
    let expected = vec![(text("1.0.0"), 2, 1), (text("2.0.0"), 2, 2)];
    assert_eq!(usage().await, (expected, 2));
    let nobody = r::TemplateUsageRequest { template_id: text("t-2") };
    assert_eq!(call!(world, "stack-registry", template_usage, nobody).unwrap(), Default::default());
}

#[tokio::test]
async fn a_resource_is_registered_once_and_brought_to_what_is_said() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    let tenant = world.tenant(&platform, "t").await;
    let ensure = async |said: r::Resource| {
        let answer =
            call!(world, "provisioning", ensure_resource, r::EnsureResourceRequest { resource: Some(said) });
        answer.map(|answer| answer.resource.unwrap())
    };
    let made =
        futures_util::future::join_all((0..6).map(|_| ensure(resource(&platform, &platform, "x")))).await;
    let first = made[0].clone().unwrap();
    assert!(made.into_iter().all(|one| one.unwrap() == first));
    let writes = world.writes().await;
    ensure(resource(&platform, &platform, "x")).await.unwrap();
    assert_eq!(world.writes().await, writes, "nothing is new");

    let said = r::Resource {
        entity_id: tenant.clone(),
        cf_id: Some(text("id")),
        cf_url: Some(text("https://x.example")),
        status: r::ResourceStatus::Active.into(),
        ..resource(&platform, &tenant, "x")
    };
    let after = ensure(said.clone()).await.unwrap();
    assert_eq!(after, r::Resource { id: first.id.clone(), ..said });
    let kept =
        ensure(r::Resource { status: r::ResourceStatus::Failed.into(), ..resource(&platform, &tenant, "x") })
            .await
            .unwrap();
    assert_eq!((kept.cf_id.as_deref(), kept.status()), (Some("id"), r::ResourceStatus::Failed));
    for (entity, total) in [(&platform, 0), (&tenant, 1)] {
        let page =
            world.get(&format!("/api/v1/platforms/{platform}/entities/{entity}/resources")).await.expect(200);
        assert_eq!(page["pagination"]["total"], total);
    }
    for (said, kind) in [
        (resource(&other, &other, "x"), Kind::AlreadyExists),
        (resource("aaaaaaaaaa", "aaaaaaaaaa", "y"), Kind::NotFound),
        (resource(&platform, "aaaaaaaaaa", "y"), Kind::NotFound),
        (
            r::Resource { status: r::ResourceStatus::Deleted.into(), ..resource(&platform, &platform, "x") },
            Kind::Validation,
        ),
        (
            r::Resource { stack_id: text("aaaaaaaaaa"), ..resource(&platform, &platform, "y") },
            Kind::Validation,
        ),
        (r::Resource { cf_url: Some(text("x")), ..resource(&platform, &platform, "y") }, Kind::Validation),
    ] {
        assert_eq!(ensure(said.clone()).await.unwrap_err().kind(), kind, "{said:?}");
    }
    let nothing = call!(world, "provisioning", ensure_resource, r::EnsureResourceRequest { resource: None })
        .unwrap_err();
    assert_eq!(nothing.kind(), Kind::Validation);
}

#[tokio::test]
async fn infrastructure_can_be_taken_down_after_its_platform_is_deleted() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let said = resource(&platform, &platform, "x");
    let made = call!(
        world,
        "provisioning",
        ensure_resource,
        r::EnsureResourceRequest { resource: Some(said.clone()) }
    );
    let resource_id = made.unwrap().resource.unwrap().id;
    let said_record = dns_record(&platform, &format!("a.{platform}.nno.localhost"), &resource_id);
    let ensured = r::EnsureDnsRecordRequest { record: Some(said_record) };
    let record = call!(world, "provisioning", ensure_dns_record, ensured.clone()).unwrap().record.unwrap();
    world.delete(&format!("/api/v1/platforms/{platform}")).await.expect(200);

    let late =
        call!(world, "provisioning", ensure_resource, r::EnsureResourceRequest { resource: Some(said) });
    assert_eq!(late.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(call!(world, "provisioning", ensure_dns_record, ensured).unwrap_err().kind(), Kind::NotFound);
    let list = async || {
        let asked = r::ListResourcesRequest { platform_id: platform.clone() };
        let listed = call!(world, "provisioning", list_resources, asked).unwrap();
        (listed.resources.into_iter().map(|one| one.id).collect::<Vec<_>>(), listed.dns_records)
    };
    assert_eq!(list().await, (vec![resource_id.clone()], vec![record.clone()]));
    for _ in 0..2 {
        let asked =
            r::DeleteDnsRecordRequest { platform_id: platform.clone(), dns_record_id: record.id.clone() };
        call!(world, "provisioning", delete_dns_record, asked).unwrap();
        let asked =
            r::DeleteResourceRequest { platform_id: platform.clone(), resource_id: resource_id.clone() };
        call!(world, "provisioning", delete_resource, asked).unwrap();
    }
    assert_eq!(list().await, (vec![], vec![]));
    let asked =
        r::DeleteResourceRequest { platform_id: platform.clone(), resource_id: Uuid::now_v7().to_string() };
    call!(world, "provisioning", delete_resource, asked).unwrap();
    let total = "SELECT sum(n) FROM counters WHERE key LIKE 'resources:%'";
    assert_eq!(world.number(total).await, 0);
    let unknown = r::ListResourcesRequest { platform_id: text("aaaaaaaaaa") };
    assert_eq!(call!(world, "provisioning", list_resources, unknown).unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_dns_record_is_made_once_and_brought_to_what_is_said() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    let (x, y) = (world.resource(&platform, &platform, "x").await, world.resource(&other, &other, "y").await);
    let ensure = async |said: r::DnsRecord| {
        let answer =
            call!(world, "provisioning", ensure_dns_record, r::EnsureDnsRecordRequest { record: Some(said) });
        answer.map(|answer| answer.record.unwrap())
    };
    let first = ensure(dns_record(&platform, &format!("A.{platform}.NNO.localhost"), &x)).await.unwrap();
    let a = format!("a.{platform}.nno.localhost");
    assert_eq!(first.hostname, a);
    let b = |platform: &str| format!("b.{platform}.nno.localhost");
    let said = r::DnsRecord {
        status: r::DnsStatus::Active.into(),
        cf_route_id: Some(text("r")),
        ..dns_record(&platform, &a, &x)
    };
    let after = ensure(said.clone()).await.unwrap();
    assert_eq!(after, r::DnsRecord { id: first.id.clone(), ..said });
    let writes = world.writes().await;
    assert_eq!(ensure(after.clone()).await.unwrap(), after);
    assert_eq!(world.writes().await, writes);
    for (said, kind) in [
        (dns_record(&other, &a, &y), Kind::Validation),
        (dns_record(&platform, &b(&platform), &y), Kind::Validation),
        (dns_record(&platform, "localhost", &x), Kind::Validation),
        (
            r::DnsRecord { stack_id: text("aaaaaaaaaa"), ..dns_record(&platform, &b(&platform), &x) },
            Kind::NotFound,
        ),
        (dns_record("aaaaaaaaaa", &b("aaaaaaaaaa"), &x), Kind::NotFound),
    ] {
        assert_eq!(ensure(said.clone()).await.unwrap_err().kind(), kind, "{said:?}");
    }
}

#[tokio::test]
async fn a_secret_is_marked() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let id = world.resource(&platform, &platform, "x").await;
    let asked = |status: i32| r::MarkSecretRequest {
        platform_id: platform.clone(),
        resource_id: id.clone(),
        secret_name: text("AUTH_SECRET"),
        status,
    };
    call!(world, "provisioning", mark_secret, asked(r::SecretStatus::Missing.into())).unwrap();
    call!(world, "provisioning", mark_secret, asked(r::SecretStatus::Set.into())).unwrap();
    let list = world.get(&format!("/api/v1/platforms/{platform}/resources/{id}/secrets")).await.expect(200);
    assert_eq!((list["data"].as_array().unwrap().len(), &list["data"][0]["status"]), (1, &json!("set")));
    for number in [0, 99] {
        let refused = call!(world, "provisioning", mark_secret, asked(number)).unwrap_err();
        assert_eq!(refused.kind(), Kind::Validation);
        assert_eq!(refused.details()["fields"][0]["path"], "status");
    }
}

#[tokio::test]
async fn a_key_makes_a_call_safe_to_repeat() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let asked = r::SetRepositoryRequest { platform_id: platform.clone(), repo_name: Some(text("one")) };
    let send = async |asked: r::SetRepositoryRequest| {
        world
            .call("onboarding", Some("k"), asked, async |mut c, request| c.set_repository(request).await)
            .await
    };
    let first = send(asked.clone()).await.unwrap();
    world.patch(&format!("/api/v1/platforms/{platform}"), json!({ "repoName": "two" })).await.expect(200);
    assert_eq!(send(asked.clone()).await.unwrap(), first);
    assert_eq!(world.get(&format!("/api/v1/platforms/{platform}")).await.expect(200)["repoName"], "two");
    let other = r::SetRepositoryRequest { repo_name: Some(text("three")), ..asked };
    assert_eq!(send(other).await.unwrap_err().kind(), Kind::IdempotencyMismatch);
}
