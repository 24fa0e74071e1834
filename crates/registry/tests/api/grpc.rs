//! Calls of other services over gRPC.

use domain::{Kind, PlatformId, StackId};
use rpc::registry::{self as r, PlatformEvent as E, PlatformStatus as S};
use serde_json::json;
use uuid::Uuid;

use crate::{
    templates::{Behavior, Templates},
    world::World,
};

fn text(text: &str) -> String {
    text.to_owned()
}

/// Calls a method as a process.
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
async fn onboarding_creates_activates_and_deletes_a_platform() {
    let world = World::start().await;
    let taken = async |slug: &str| {
        call!(world, "onboarding", check_slug, r::CheckSlugRequest { slug: text(slug) }).unwrap().taken
    };
    assert!(!taken("shop").await);
    let request = new_platform("shop");
    let created = call!(world, "onboarding", create_platform, request.clone()).unwrap().platform.unwrap();
    let fields = (
        created.status(),
        created.tier(),
        created.owner_user_id.as_deref(),
        created.id == request.platform_id,
    );
    assert_eq!(fields, (r::PlatformStatus::Pending, r::Tier::Growth, Some("ada"), true));
    assert!(taken("shop").await);
    let again = call!(world, "onboarding", create_platform, request.clone()).unwrap().platform.unwrap();
    assert_eq!(again, created);
    let stolen = call!(world, "onboarding", create_platform, new_platform("shop")).unwrap_err();
    assert_eq!(stolen.kind(), Kind::AlreadyExists);

    for (event, status) in [
        (E::Bootstrap, S::Provisioning),
        (E::Fail, S::Pending),
        (E::Bootstrap, S::Provisioning),
        (E::Complete, S::Active),
    ] {
        for _ in 0..2 {
            let after =
                call!(world, "onboarding", transition_platform, transition(&created.id, event)).unwrap();
            assert_eq!(after.platform.unwrap().status(), status, "{event:?}");
        }
    }
    let set = r::SetRepositoryRequest { platform_id: created.id.clone(), repo_name: Some(text("repo")) };
    let after = call!(world, "onboarding", set_repository, set).unwrap().platform.unwrap();
    assert_eq!(after.repo_name.as_deref(), Some("repo"));
    let clear = r::SetRepositoryRequest { platform_id: created.id.clone(), repo_name: None };
    assert_eq!(call!(world, "onboarding", set_repository, clear).unwrap().platform.unwrap().repo_name, None);

    let refused =
        call!(world, "onboarding", transition_platform, transition(&created.id, E::Bootstrap)).unwrap_err();
    assert_eq!((refused.kind(), &refused.details()["from"]), (Kind::InvalidTransition, &json!("active")));
    let never =
        call!(world, "onboarding", transition_platform, transition(&created.id, E::PeriodEnd)).unwrap_err();
    assert_eq!(never.kind(), Kind::Validation);
    for event in [E::Suspend, E::Delete, E::Delete] {
        call!(world, "onboarding", transition_platform, transition(&created.id, event)).unwrap();
    }
    let found =
        call!(world, "onboarding", get_platform, r::GetPlatformRequest { platform_id: created.id.clone() })
            .unwrap();
    assert_eq!(found.platform.unwrap().status(), S::Deleted);
    assert!(!taken("shop").await);
    let events = world
        .number(&format!("SELECT count(*) FROM lifecycle_events WHERE platform_id = '{}'", created.id))
        .await;
    assert_eq!(events, 7);
}

#[tokio::test]
async fn ensure_tenant_creates_one_tenant() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let request = |slug: &str| r::EnsureTenantRequest {
        platform_id: platform.clone(),
        name: text("Acme"),
        slug: text(slug),
    };
    let created =
        futures_util::future::join_all((0..8).map(|_| async {
            call!(world, "onboarding", ensure_tenant, request("acme")).unwrap().entity_id
        }))
        .await;
    assert!(created.iter().all(|id| *id == created[0]));
    let entity =
        world.get(&format!("/api/v1/platforms/{platform}/entities/{}", created[0])).await.expect(200);
    assert_eq!((&entity["type"], &entity["name"]), (&json!("tenant"), &json!("Acme")));
    world.subtenant(&platform, "sub", &created[0]).await;
    let refused = call!(world, "onboarding", ensure_tenant, request("sub")).unwrap_err();
    assert_eq!(refused.kind(), Kind::AlreadyExists);
}

#[tokio::test]
async fn ensure_stack_creates_one_stack() {
    let templates = Templates::start(Behavior::Shop("active", Some("1.0.0"))).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    let request = |name: &str, template: &str| r::EnsureStackRequest {
        platform_id: platform.clone(),
        tenant_id: tenant.clone(),
        name: text(name),
        is_default: true,
        template_id: text(template),
        repo_name: Some(text("repo")),
    };
    let first = call!(world, "onboarding", ensure_stack, request("main", "shop")).unwrap();
    assert_eq!(first.status(), r::StackStatus::Pending);
    templates.set_behavior(Behavior::Failure);
    assert_eq!(call!(world, "onboarding", ensure_stack, request("main", "shop")).unwrap(), first);
    assert_eq!(templates.calls(), 1);
    let error = call!(world, "onboarding", ensure_stack, request("other", "shop")).unwrap_err();
    assert_eq!(error.kind(), Kind::ServiceUnavailable);
    templates.set_behavior(Behavior::Shop("active", Some("1.0.0")));
    let second_default = call!(world, "onboarding", ensure_stack, request("other", "shop")).unwrap_err();
    assert_eq!(second_default.kind(), Kind::AlreadyExists);
    for (template, kind) in [("nothing", Kind::TemplateUnavailable), ("", Kind::Validation)] {
        let refused = call!(world, "onboarding", ensure_stack, request("third", template)).unwrap_err();
        assert_eq!(refused.kind(), kind);
    }
    let other = world.tenant(&platform, "u").await;
    let created = futures_util::future::join_all((0..6).map(|_| async {
        let request = r::EnsureStackRequest { tenant_id: other.clone(), ..request("main", "shop") };
        call!(world, "onboarding", ensure_stack, request).unwrap().stack_id
    }))
    .await;
    assert!(StackId::parse(&created[0]).is_ok() && created.iter().all(|id| *id == created[0]));
}

#[tokio::test]
async fn template_usage_counts_stacks_and_platforms() {
    let templates = Templates::start(Behavior::Shop("active", Some("1.0.0"))).await;
    let world = World::start_with(templates.settings()).await;
    let usage = async || {
        let request = r::TemplateUsageRequest { template_id: text("t-1") };
        let mut usage = call!(world, "stack-registry", template_usage, request).unwrap();
        usage.versions.sort_by(|a, b| a.version.cmp(&b.version));
        let row = |one: r::VersionUsage| (one.version, one.stacks, one.platforms);
        (usage.versions.into_iter().map(row).collect::<Vec<_>>(), usage.platforms)
    };
    assert_eq!(usage().await, (vec![], 0));
    let (one, other, deleted) =
        (world.platform("one").await, world.platform("other").await, world.platform("gone").await);
    for (platform, version, stacks) in
        [(&one, "1.0.0", 2), (&one, "2.0.0", 1), (&other, "2.0.0", 1), (&deleted, "2.0.0", 1)]
    {
        templates.set_behavior(Behavior::Shop("active", Some(version)));
        for n in 0..stacks {
            let tenant = world.tenant(platform, &format!("t{}-{n}", version.replace('.', "-"))).await;
            let body = json!({ "tenantId": tenant, "name": "main", "templateId": "shop" });
            world.post(&format!("/api/v1/platforms/{platform}/stacks"), body).await.expect(201);
        }
    }
    // A stack without a template, and a stack of a deleted platform.
    let tenant = world.tenant(&one, "custom").await;
    world.stack(&one, &tenant, "custom").await;
    world.delete(&format!("/api/v1/platforms/{deleted}")).await;
    let expected = vec![(text("1.0.0"), 2, 1), (text("2.0.0"), 2, 2)];
    assert_eq!(usage().await, (expected, 2));
    let nobody = r::TemplateUsageRequest { template_id: text("t-2") };
    assert_eq!(call!(world, "stack-registry", template_usage, nobody).unwrap(), Default::default());
}

#[tokio::test]
async fn ensure_resource_registers_once_and_updates() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    let tenant = world.tenant(&platform, "t").await;
    let ensure = async |message: r::Resource| {
        let answer = call!(
            world,
            "provisioning",
            ensure_resource,
            r::EnsureResourceRequest { resource: Some(message) }
        );
        answer.map(|answer| answer.resource.unwrap())
    };
    let created =
        futures_util::future::join_all((0..6).map(|_| ensure(resource(&platform, &platform, "x")))).await;
    let first = created[0].clone().unwrap();
    assert!(created.into_iter().all(|one| one.unwrap() == first));
    let writes = world.writes().await;
    ensure(resource(&platform, &platform, "x")).await.unwrap();
    assert_eq!(world.writes().await, writes, "nothing was written");

    let message = r::Resource {
        entity_id: tenant.clone(),
        cf_id: Some(text("id")),
        cf_url: Some(text("https://x.example")),
        status: r::ResourceStatus::Active.into(),
        ..resource(&platform, &tenant, "x")
    };
    let after = ensure(message.clone()).await.unwrap();
    assert_eq!(after, r::Resource { id: first.id.clone(), ..message });
    let after =
        ensure(r::Resource { status: r::ResourceStatus::Failed.into(), ..resource(&platform, &tenant, "x") })
            .await
            .unwrap();
    assert_eq!((after.cf_id.as_deref(), after.status()), (Some("id"), r::ResourceStatus::Failed));
    for (entity, total) in [(&platform, 0), (&tenant, 1)] {
        let page =
            world.get(&format!("/api/v1/platforms/{platform}/entities/{entity}/resources")).await.expect(200);
        assert_eq!(page["pagination"]["total"], total);
    }
    for (message, kind) in [
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
        assert_eq!(ensure(message.clone()).await.unwrap_err().kind(), kind, "{message:?}");
    }
    let nothing = call!(world, "provisioning", ensure_resource, r::EnsureResourceRequest { resource: None })
        .unwrap_err();
    assert_eq!(nothing.kind(), Kind::Validation);
}

#[tokio::test]
async fn infrastructure_can_be_removed_after_its_platform_is_deleted() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let message = resource(&platform, &platform, "x");
    let created = call!(
        world,
        "provisioning",
        ensure_resource,
        r::EnsureResourceRequest { resource: Some(message.clone()) }
    );
    let resource_id = created.unwrap().resource.unwrap().id;
    let said_record = dns_record(&platform, &format!("a.{platform}.nno.localhost"), &resource_id);
    let ensured = r::EnsureDnsRecordRequest { record: Some(said_record) };
    let record = call!(world, "provisioning", ensure_dns_record, ensured.clone()).unwrap().record.unwrap();
    world.delete(&format!("/api/v1/platforms/{platform}")).await.expect(200);

    let error =
        call!(world, "provisioning", ensure_resource, r::EnsureResourceRequest { resource: Some(message) });
    assert_eq!(error.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(call!(world, "provisioning", ensure_dns_record, ensured).unwrap_err().kind(), Kind::NotFound);
    let list = async || {
        let request = r::ListResourcesRequest { platform_id: platform.clone() };
        let listed = call!(world, "provisioning", list_resources, request).unwrap();
        (listed.resources.into_iter().map(|one| one.id).collect::<Vec<_>>(), listed.dns_records)
    };
    assert_eq!(list().await, (vec![resource_id.clone()], vec![record.clone()]));
    for _ in 0..2 {
        let request =
            r::DeleteDnsRecordRequest { platform_id: platform.clone(), dns_record_id: record.id.clone() };
        call!(world, "provisioning", delete_dns_record, request).unwrap();
        let request =
            r::DeleteResourceRequest { platform_id: platform.clone(), resource_id: resource_id.clone() };
        call!(world, "provisioning", delete_resource, request).unwrap();
    }
    assert_eq!(list().await, (vec![], vec![]));
    let request =
        r::DeleteResourceRequest { platform_id: platform.clone(), resource_id: Uuid::now_v7().to_string() };
    call!(world, "provisioning", delete_resource, request).unwrap();
    let total = "SELECT sum(n) FROM counters WHERE key LIKE 'resources:%'";
    assert_eq!(world.number(total).await, 0);
    let unknown = r::ListResourcesRequest { platform_id: text("aaaaaaaaaa") };
    assert_eq!(call!(world, "provisioning", list_resources, unknown).unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn ensure_dns_record_creates_once_and_updates() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    let (x, y) = (world.resource(&platform, &platform, "x").await, world.resource(&other, &other, "y").await);
    let ensure = async |message: r::DnsRecord| {
        let answer = call!(
            world,
            "provisioning",
            ensure_dns_record,
            r::EnsureDnsRecordRequest { record: Some(message) }
        );
        answer.map(|answer| answer.record.unwrap())
    };
    let first = ensure(dns_record(&platform, &format!("A.{platform}.NNO.localhost"), &x)).await.unwrap();
    let a = format!("a.{platform}.nno.localhost");
    assert_eq!(first.hostname, a);
    let b = |platform: &str| format!("b.{platform}.nno.localhost");
    let message = r::DnsRecord {
        status: r::DnsStatus::Active.into(),
        cf_route_id: Some(text("r")),
        ..dns_record(&platform, &a, &x)
    };
    let after = ensure(message.clone()).await.unwrap();
    assert_eq!(after, r::DnsRecord { id: first.id.clone(), ..message });
    let writes = world.writes().await;
    assert_eq!(ensure(after.clone()).await.unwrap(), after);
    assert_eq!(world.writes().await, writes);
    for (message, kind) in [
        (dns_record(&other, &a, &y), Kind::Validation),
        (dns_record(&platform, &b(&platform), &y), Kind::Validation),
        (dns_record(&platform, "localhost", &x), Kind::Validation),
        (
            r::DnsRecord { stack_id: text("aaaaaaaaaa"), ..dns_record(&platform, &b(&platform), &x) },
            Kind::NotFound,
        ),
        (dns_record("aaaaaaaaaa", &b("aaaaaaaaaa"), &x), Kind::NotFound),
    ] {
        assert_eq!(ensure(message.clone()).await.unwrap_err().kind(), kind, "{message:?}");
    }
}

#[tokio::test]
async fn mark_secret_sets_its_status() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let id = world.resource(&platform, &platform, "x").await;
    let request = |status: i32| r::MarkSecretRequest {
        platform_id: platform.clone(),
        resource_id: id.clone(),
        secret_name: text("AUTH_SECRET"),
        status,
    };
    call!(world, "provisioning", mark_secret, request(r::SecretStatus::Missing.into())).unwrap();
    call!(world, "provisioning", mark_secret, request(r::SecretStatus::Set.into())).unwrap();
    let list = world.get(&format!("/api/v1/platforms/{platform}/resources/{id}/secrets")).await.expect(200);
    assert_eq!((list["data"].as_array().unwrap().len(), &list["data"][0]["status"]), (1, &json!("set")));
    for number in [0, 99] {
        let refused = call!(world, "provisioning", mark_secret, request(number)).unwrap_err();
        assert_eq!(refused.kind(), Kind::Validation);
        assert_eq!(refused.details()["fields"][0]["path"], "status");
    }
}

#[tokio::test]
async fn idempotency_key_makes_a_call_safe_to_repeat() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let request = r::SetRepositoryRequest { platform_id: platform.clone(), repo_name: Some(text("one")) };
    let send = async |request: r::SetRepositoryRequest| {
        world
            .call("onboarding", Some("k"), request, async |mut c, request| c.set_repository(request).await)
            .await
    };
    let first = send(request.clone()).await.unwrap();
    world.patch(&format!("/api/v1/platforms/{platform}"), json!({ "repoName": "two" })).await.expect(200);
    assert_eq!(send(request.clone()).await.unwrap(), first);
    assert_eq!(world.get(&format!("/api/v1/platforms/{platform}")).await.expect(200)["repoName"], "two");
    let other = r::SetRepositoryRequest { repo_name: Some(text("three")), ..request };
    assert_eq!(send(other).await.unwrap_err().kind(), Kind::IdempotencyMismatch);
}
