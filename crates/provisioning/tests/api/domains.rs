//! Custom domains, from pending to active, with a real registry and a provider that does as it is told.

use std::{collections::BTreeMap, time::Duration};

use diesel::{QueryableByName, sql_query, sql_types::BigInt};
use diesel_async::RunQueryDsl;
use fake_provider::{Action, Calls, Fault, Operation, Rule, Stage};
use provisioning::providers::{Provider as _, ResourceKind, Target};
use serde_json::{Value, json};

use crate::providers::targets::owner;
use crate::system::System;

/// What the domains of a platform lead to.
fn target(platform: &str) -> String {
    format!("auth.svc.default.{platform}.nno.localhost")
}

impl System {
    /// A platform with a DNS record: the ids of both.
    async fn with_record(&self, slug: &str) -> (String, String) {
        let platform = self.platform(slug).await;
        let at = format!("/api/v1/platforms/{platform}");
        let body = json!({ "stackId": "default", "resourceType": "worker", "serviceName": "auth",
            "environment": "prod", "cfName": format!("{slug}-auth") });
        let made = self.registry.post(&format!("{at}/entities/{platform}/resources"), body).await.expect(201);
        let body = json!({ "hostname": format!("{slug}.svc.nno.example"), "targetType": "worker",
            "resourceId": made["id"], "environment": "prod" });
        let made = self.registry.post(&format!("{at}/stacks/default/dns"), body).await.expect(201);
        (platform, made["id"].as_str().unwrap().to_owned())
    }

    async fn domain(&self, platform: &str, record: &str, hostname: &str) {
        let body = json!({ "dnsRecordId": record, "hostname": hostname, "targetDns": target(platform) });
        self.registry.post(&format!("/api/v1/platforms/{platform}/domains"), body).await.expect(201);
    }

    /// The domains of a platform by host name.
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

    /// How often the provider was asked about each host name.
    async fn asked(&self) -> BTreeMap<String, usize> {
        let mut asked = BTreeMap::new();
        for call in self.provider.calls().await.unwrap() {
            let hostname = call.identity.strip_prefix("dns_record/").unwrap().to_owned();
            *asked.entry(hostname).or_default() += 1;
        }
        asked
    }

    async fn until_asked(&self, hostname: &str, times: usize) {
        for _ in 0..1500 {
            if self.asked().await.get(hostname).is_some_and(|n| *n >= times) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}", self.asked().await)
    }
}

fn every(check_every: &str) -> Value {
    json!({ "domains": { "check_every": check_every, "concurrency": 4 } })
}

#[tokio::test]
async fn the_provider_says_no_and_then_yes() {
    let system = System::start_with(every("50ms")).await;
    let (platform, record) = system.with_record("acme").await;
    system.domain(&platform, &record, "shop.acme.com").await;
    system.until_asked("shop.acme.com", 3).await;
    assert_eq!(system.domains(&platform).await["shop.acme.com"]["status"], "pending");
    // It leads somewhere else.
    system
        .provider
        .ensure(&Target::dns(&crate::providers::targets::owner(), "shop.acme.com", "old.example").unwrap())
        .await
        .unwrap();
    let asked = system.asked().await["shop.acme.com"];
    system.until_asked("shop.acme.com", asked + 3).await;
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
async fn one_that_fails_or_hangs_stops_no_other() {
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
    let good: Vec<String> = (0..12).map(|n| format!("h{n}.acme.com")).collect();
    names.extend(good.iter().map(String::as_str));
    for name in &names {
        system.provider.ensure(&Target::dns(&owner(), *name, target(&platform)).unwrap()).await.unwrap();
        system.domain(&platform, &record, name).await;
    }
    for name in good.iter().map(String::as_str).chain(["limited.acme.com", "slow.acme.com"]) {
        system.until(&platform, name, "active").await;
    }
    assert_eq!(system.domains(&platform).await["broken.acme.com"]["status"], "pending");
    let before = system.asked().await["broken.acme.com"];
    system.until_asked("broken.acme.com", before + 2).await;
}

#[tokio::test]
async fn replicas_share_the_work() {
    let system = System::start_with(every("1h")).await;
    let (platform, record) = system.with_record("acme").await;
    let names: Vec<String> = (0..30).map(|n| format!("h{n}.acme.com")).collect();
    for name in &names {
        system.domain(&platform, &record, name).await;
    }
    // Each asks at its start.
    let replicas = futures_util::future::join_all((0..3).map(|_| system.replica(every("1h")))).await;
    for name in &names {
        system.until_asked(name, 1).await;
    }
    // Time enough for whoever would ask again.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let asked = system.asked().await;
    assert_eq!(asked.len(), 30);
    assert!(asked.values().all(|times| *times == 1), "{asked:?}");
    drop(replicas);
}

#[tokio::test]
async fn a_registry_that_is_away_is_waited_for() {
    let system = System::start_with(every("50ms")).await;
    let (platform, record) = system.with_record("acme").await;
    system.domain(&platform, &record, "shop.acme.com").await;
    system.until_asked("shop.acme.com", 1).await;
    for _ in 0..3 {
        system.registry.db.cut_connections().await;
        let asked = system.asked().await["shop.acme.com"];
        system.until_asked("shop.acme.com", asked + 1).await;
    }
    system
        .provider
        .ensure(&Target::dns(&owner(), "shop.acme.com", target(&platform)).unwrap())
        .await
        .unwrap();
    system.until(&platform, "shop.acme.com", "active").await;
}

#[tokio::test]
async fn a_platform_that_is_taken_down_takes_its_domains_with_it() {
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
    panic!("the domain is never gone");
}
