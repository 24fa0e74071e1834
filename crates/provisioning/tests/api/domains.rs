//! Verification of custom domains with a real registry and a scripted provider.

use std::{collections::BTreeMap, time::Duration};

use diesel::{QueryableByName, sql_query, sql_types::BigInt};
use diesel_async::RunQueryDsl;
use fake_provider::{Action, Calls, Fault, Operation, Rule, Stage};
use provisioning::providers::{Provider as _, ResourceKind, Target};
use serde_json::{Value, json};

use crate::providers::targets::owner;
use crate::system::System;

/// Returns the host name that the domains of a platform must point to.
fn target(platform: &str) -> String {
    format!("auth.svc.default.{platform}.nno.localhost")
}

impl System {
    /// Creates a platform with a DNS record and returns the ids of both.
    async fn with_record(&self, slug: &str) -> (String, String) {
        let platform = self.platform(slug).await;
        let at = format!("/api/v1/platforms/{platform}");
        let body = json!({ "stackId": "default", "resourceType": "worker", "serviceName": "auth",
            "environment": "prod", "cfName": format!("{slug}-auth") });
        let created =
            self.registry.post(&format!("{at}/entities/{platform}/resources"), body).await.expect(201);
        let body = json!({ "hostname": format!("{slug}.svc.nno.example"), "targetType": "worker",
            "resourceId": created["id"], "environment": "prod" });
        let created = self.registry.post(&format!("{at}/stacks/default/dns"), body).await.expect(201);
        (platform, created["id"].as_str().unwrap().to_owned())
    }

    async fn domain(&self, platform: &str, record: &str, hostname: &str) {
        let body = json!({ "dnsRecordId": record, "hostname": hostname, "targetDns": target(platform) });
        self.registry.post(&format!("/api/v1/platforms/{platform}/domains"), body).await.expect(201);
    }

    /// Returns the domains of a platform by host name.
    async fn domains(&self, platform: &str) -> BTreeMap<String, Value> {
        let list =
            self.registry.get(&format!("/api/v1/platforms/{platform}/domains?limit=100")).await.expect(200);
        let rows = list["data"].as_array().unwrap().clone();
        rows.into_iter().map(|one| (one["hostname"].as_str().unwrap().to_owned(), one)).collect()
    }

    async fn until(&self, platform: &str, hostname: &str, status: &str) -> Value {
        for _ in 0..1500 {
            let found = self.domains(platform).await.remove(hostname).unwrap();
            if found["status"] == status {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{hostname} never {status}: {:?}", self.domains(platform).await)
    }

    /// Returns the number of checks by host name.
    async fn checks(&self) -> BTreeMap<String, usize> {
        let mut checks = BTreeMap::new();
        for call in self.provider.calls().await.unwrap() {
            let hostname = call.identity.strip_prefix("dns_record/").unwrap().to_owned();
            *checks.entry(hostname).or_default() += 1;
        }
        checks
    }

    async fn until_checked(&self, hostname: &str, times: usize) {
        for _ in 0..1500 {
            if self.checks().await.get(hostname).is_some_and(|n| *n >= times) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}", self.checks().await)
    }
}

fn every(check_every: &str) -> Value {
    json!({ "domains": { "check_every": check_every, "concurrency": 4 } })
}

#[tokio::test]
async fn domain_becomes_active_once_it_points_to_its_target() {
    let system = System::start_with(every("50ms")).await;
    let (platform, record) = system.with_record("acme").await;
    system.domain(&platform, &record, "shop.acme.com").await;
    system.until_checked("shop.acme.com", 3).await;
    assert_eq!(system.domains(&platform).await["shop.acme.com"]["status"], "pending");
    // The domain points to another target.
    system.provider.ensure(&Target::dns(&owner(), "shop.acme.com", "old.example").unwrap()).await.unwrap();
    let checks = system.checks().await["shop.acme.com"];
    system.until_checked("shop.acme.com", checks + 3).await;
    assert_eq!(system.domains(&platform).await["shop.acme.com"]["status"], "pending");
    let pending = system.registry.get("/api/v1/domains/pending").await.expect(200);
    assert_eq!(pending["data"][0]["hostname"], "shop.acme.com");

    system
        .provider
        .ensure(&Target::dns(&owner(), "shop.acme.com", target(&platform)).unwrap())
        .await
        .unwrap();
    let active = system.until(&platform, "shop.acme.com", "active").await;
    assert!(active["verifiedAt"].is_string(), "{active}");
    let pending = system.registry.get("/api/v1/domains/pending").await.expect(200);
    assert_eq!(pending["data"], json!([]));
    let audit = format!("/api/v1/platforms/{platform}/audit?action=custom_domain.verified");
    let audit = system.registry.get(&audit).await.expect(200);
    assert_eq!(audit["pagination"]["total"], 1, "{audit}");
}

#[tokio::test]
async fn failing_or_hanging_check_does_not_block_others() {
    let system = System::start_with(every("100ms")).await;
    let (platform, record) = system.with_record("acme").await;
    let on = |name: &str, action: Action| Rule {
        name: Some(name.to_owned()),
        ..Rule::new(action).on(Operation::Observe).kind(ResourceKind::DnsRecord)
    };
    let hang = Action::Hang { stage: Stage::BeforeEffect, duration: Some(Duration::from_secs(2)) };
    let rules = [
        on("broken.acme.com", Action::Fail(Fault::Permanent("no such account".to_owned()))),
        on("limited.acme.com", Action::Fail(Fault::RateLimited(Duration::from_secs(9))))
            .calls(Calls::First(2)),
        on("slow.acme.com", hang),
    ];
    system.provider.follow(rules).await.unwrap();
    let mut names = vec!["broken.acme.com", "limited.acme.com", "slow.acme.com"];
    let healthy: Vec<String> = (0..12).map(|n| format!("h{n}.acme.com")).collect();
    names.extend(healthy.iter().map(String::as_str));
    for name in &names {
        system.provider.ensure(&Target::dns(&owner(), *name, target(&platform)).unwrap()).await.unwrap();
        system.domain(&platform, &record, name).await;
    }
    for name in healthy.iter().map(String::as_str).chain(["limited.acme.com", "slow.acme.com"]) {
        system.until(&platform, name, "active").await;
    }
    assert_eq!(system.domains(&platform).await["broken.acme.com"]["status"], "pending");
    let before = system.checks().await["broken.acme.com"];
    system.until_checked("broken.acme.com", before + 2).await;
}

#[tokio::test]
async fn replicas_share_the_checks() {
    let system = System::start_with(every("1h")).await;
    let (platform, record) = system.with_record("acme").await;
    let names: Vec<String> = (0..30).map(|n| format!("h{n}.acme.com")).collect();
    for name in &names {
        system.domain(&platform, &record, name).await;
    }
    // Each replica polls the registry when it starts.
    let replicas = futures_util::future::join_all((0..3).map(|_| system.replica(every("1h")))).await;
    for name in &names {
        system.until_checked(name, 1).await;
    }
    // Leaves time for duplicate checks.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let checks = system.checks().await;
    assert_eq!(checks.len(), 30);
    assert!(checks.values().all(|times| *times == 1), "{checks:?}");
    drop(replicas);
}

#[tokio::test]
async fn checks_resume_after_a_registry_outage() {
    let system = System::start_with(every("50ms")).await;
    let (platform, record) = system.with_record("acme").await;
    system.domain(&platform, &record, "shop.acme.com").await;
    system.until_checked("shop.acme.com", 1).await;
    for _ in 0..3 {
        system.registry.db.cut_connections().await;
        let checks = system.checks().await["shop.acme.com"];
        system.until_checked("shop.acme.com", checks + 1).await;
    }
    system
        .provider
        .ensure(&Target::dns(&owner(), "shop.acme.com", target(&platform)).unwrap())
        .await
        .unwrap();
    system.until(&platform, "shop.acme.com", "active").await;
}

#[tokio::test]
async fn removal_of_a_platform_removes_its_domains() {
    let system = System::start_with(every("1h")).await;
    let (platform, record) = system.with_record("acme").await;
    system.domain(&platform, &record, "shop.acme.com").await;
    let at = format!("/api/v1/platforms/{platform}");
    system.registry.post(&format!("{at}/suspend"), json!({})).await.expect(200);
    system.registry.post(&format!("{at}/delete"), json!({})).await.expect(200);
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let domains = "SELECT count(*) FROM custom_domains";
    for _ in 0..1500 {
        let mut database = system.registry.db.connect().await;
        if sql_query(domains).get_result::<Count>(&mut database).await.unwrap().count == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the domain was not removed");
}
