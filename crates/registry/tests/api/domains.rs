//! Custom domains, over HTTP and as seen by the service that verifies them.

use chrono::{TimeDelta, Utc};
use domain::{Kind, resource::DomainStatus};
use reqwest::Method;
use rpc::registry as r;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    operation::{Cases, Operation},
    world::{World, faults, ids, text},
};

/// Test cases of the custom domain operations.
pub(crate) const CASES: Cases = Cases { created: Vec::new, operations };

fn operations() -> Vec<Operation> {
    let (list, one) = ("/platforms/{platformId}/domains", "/platforms/{platformId}/domains/{domainId}");
    let domain = json!({ "dnsRecordId": "{spare}", "hostname": "new.example", "targetDns": "spare.{p}.nno.localhost" });
    vec![
        Operation::get(list, "/platforms/{p}/domains"),
        Operation::get(&format!("{one}/explain"), "/platforms/{p}/domains/{domain}/explain"),
        Operation::get("/domains/pending", "/domains/pending").for_operators(),
        Operation::post(list, "/platforms/{p}/domains", domain),
        Operation::patch(one, "/platforms/{p}/domains/{domain}", json!({ "sslStatus": "active" })),
        Operation::delete(one, "/platforms/{p}/domains/{old}"),
    ]
}

fn target(platform: &str) -> String {
    format!("auth.svc.default.{platform}.nno.localhost")
}

fn body(platform: &str, record: &str, hostname: &str) -> Value {
    json!({ "dnsRecordId": record, "hostname": hostname, "targetDns": target(platform) })
}

impl World {
    /// Returns the id of a new custom domain.
    pub(crate) async fn domain(&self, platform: &str, record: &str, hostname: &str) -> String {
        let path = format!("/api/v1/platforms/{platform}/domains");
        text(&self.post(&path, body(platform, record, hostname)).await.expect(201), "id")
    }

    /// Returns the ids of a new platform and its DNS record.
    async fn with_record(&self, slug: &str) -> (String, String) {
        let platform = self.platform(slug).await;
        let resource = self.resource(&platform, &platform, &format!("{slug}-auth")).await;
        let record = self.dns_record(&platform, &format!("{slug}.svc.nno.example"), &resource).await;
        (platform, record)
    }

    async fn claim(&self, limit: u32, pause: u64) -> r::ClaimDomainsResponse {
        let message = r::ClaimDomainsRequest { limit, pause };
        self.call("provisioning", None, message, async |mut c, m| c.claim_domains(m).await).await.unwrap()
    }

    async fn report(&self, message: r::ReportDomainRequest) -> Option<String> {
        let response =
            self.call("provisioning", None, message, async |mut c, m| c.report_domain(m).await).await;
        let status = |number| rpc::parse_enum::<DomainStatus>("status", number).unwrap().to_string();
        response.unwrap().status.map(status)
    }
}

const HOUR: u64 = 3_600_000;

fn report(domain: &r::Domain, checked_at: i64, reason: Option<&str>) -> r::ReportDomainRequest {
    r::ReportDomainRequest {
        platform_id: domain.platform_id.clone(),
        domain_id: domain.id.clone(),
        checked_at,
        reason: reason.map(str::to_owned),
    }
}

#[tokio::test]
async fn custom_domain_is_created_updated_and_deleted() {
    let world = World::start().await;
    let (platform, record) = world.with_record("a").await;
    let domains = format!("/api/v1/platforms/{platform}/domains");
    let answer = world.post(&domains, body(&platform, &record, "Shop.Acme.COM")).await;
    let etag = answer.header("etag").unwrap().to_owned();
    let created = answer.expect(201);
    for (name, value) in [
        ("platformId", json!(platform)),
        ("dnsRecordId", json!(record)),
        ("hostname", json!("shop.acme.com")),
        ("targetDns", json!(target(&platform))),
        ("cfHostnameId", Value::Null),
        ("sslStatus", json!("pending")),
        ("status", json!("pending")),
        ("verifiedAt", Value::Null),
    ] {
        assert_eq!(created[name], value, "{name}");
    }
    assert_eq!(created.as_object().unwrap().len(), 11, "{created}");
    assert_eq!(world.get(&domains).await.expect(200), json!({ "data": [created], "cursor": null }));

    let own = format!("{domains}/{}", text(&created, "id"));
    let change = json!({ "sslStatus": "active", "status": "active", "verifiedAt": 1_700_000_000_000_i64, "cfHostnameId": "cf-1" });
    let stale = world.send(Method::PATCH, &own, &change, &[("If-Match", "\"x\"")]).await;
    stale.expect_error(412, "PRECONDITION_FAILED");
    let changed = world.send(Method::PATCH, &own, &change, &[("If-Match", &etag)]).await.expect(200);
    assert_eq!(
        (&changed["status"], &changed["sslStatus"], &changed["cfHostnameId"], &changed["verifiedAt"]),
        (&json!("active"), &json!("active"), &json!("cf-1"), &json!("2023-11-14T22:13:20.000Z"))
    );
    assert_eq!(faults(world.patch(&own, json!({ "verifiedAt": null })).await), ["verifiedAt"]);
    let again =
        world.patch(&own, json!({ "status": "pending", "verifiedAt": null, "cfHostnameId": null })).await;
    let again = again.expect(200);
    assert_eq!((&again["verifiedAt"], &again["cfHostnameId"]), (&Value::Null, &Value::Null));
    let active = world.patch(&own, json!({ "status": "active" })).await.expect(200);
    assert_eq!(active["verifiedAt"], active["updatedAt"]);

    let response = world.delete(&own).await;
    assert_eq!((response.status.as_u16(), response.body), (204, Value::Null));
    world.delete(&own).await.expect_error(404, "NOT_FOUND");
    world.patch(&own, json!({})).await.expect_error(404, "NOT_FOUND");
    world.domain(&platform, &record, "shop.acme.com").await;
}

#[tokio::test]
async fn invalid_custom_domains_are_rejected() {
    let world = World::start().await;
    let ((platform, record), (other, foreign)) = (world.with_record("a").await, world.with_record("b").await);
    let domains = format!("/api/v1/platforms/{platform}/domains");
    for id in [foreign.as_str(), "x", &Uuid::now_v7().to_string()] {
        assert_eq!(
            faults(world.post(&domains, body(&platform, id, "shop.acme.com")).await),
            ["dnsRecordId"],
            "{id}"
        );
    }
    for host in ["localhost", "a..b", "127.0.0.1", "*.acme.com", ""] {
        assert_eq!(
            faults(world.post(&domains, body(&platform, &record, host)).await),
            ["hostname"],
            "{host}"
        );
    }
    let mut paths = faults(world.post(&domains, json!({ "status": "active" })).await);
    paths.sort();
    assert_eq!(paths, ["dnsRecordId", "hostname", "status", "targetDns"]);
    let id = world.domain(&platform, &record, "shop.acme.com").await;
    let own = format!("{domains}/{id}");
    let bad = json!({ "status": "lost", "sslStatus": "", "verifiedAt": "now", "hostname": "b.acme.com" });
    let mut paths = faults(world.patch(&own, bad).await);
    paths.sort();
    assert_eq!(paths, ["hostname", "sslStatus", "status", "verifiedAt"]);
    let elsewhere = format!("/api/v1/platforms/{other}/domains/{id}");
    world.patch(&elsewhere, json!({})).await.expect_error(404, "NOT_FOUND");
    world.delete(&elsewhere).await.expect_error(404, "NOT_FOUND");
    assert_eq!(world.number("SELECT count(*) FROM custom_domains").await, 1);
}

#[tokio::test]
async fn dns_record_with_domains_is_deleted_only_by_services() {
    let world = World::start().await;
    let (platform, record) = world.with_record("a").await;
    for host in ["one.acme.com", "two.acme.com"] {
        world.domain(&platform, &record, host).await;
    }
    let path = format!("/api/v1/platforms/{platform}/stacks/default/dns/{record}");
    let details = world.delete(&path).await.expect_error(409, "HAS_DEPENDENTS");
    assert_eq!(details["dependents"], json!({ "domains": 2 }));
    let message = r::DeleteDnsRecordRequest { platform_id: platform.clone(), dns_record_id: record };
    for _ in 0..2 {
        let response = world
            .call("provisioning", None, message.clone(), async |mut c, m| c.delete_dns_record(m).await)
            .await;
        response.unwrap();
    }
    assert_eq!(world.number("SELECT count(*) FROM custom_domains").await, 0);
    let audit = world
        .get(&format!("/api/v1/platforms/{platform}/audit?action=custom_domain.deleted"))
        .await
        .expect(200);
    assert_eq!(audit["pagination"]["total"], 2);
}

#[tokio::test]
async fn custom_domain_lists_use_the_envelopes_of_the_contract() {
    let world = World::start().await;
    let ((platform, record), (other, foreign)) = (world.with_record("a").await, world.with_record("b").await);
    let mut created = Vec::new();
    for n in 0..3 {
        created.push(world.domain(&platform, &record, &format!("h{n}.acme.com")).await);
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let theirs = world.domain(&other, &foreign, "h3.acme.com").await;
    let domains = format!("/api/v1/platforms/{platform}/domains");
    let first = world.get(&format!("{domains}?limit=2")).await.expect(200);
    assert_eq!(ids(&first), [created[2].clone(), created[1].clone()]);
    let rest = world.get(&format!("{domains}?limit=2&cursor={}", text(&first, "cursor"))).await.expect(200);
    assert_eq!((ids(&rest), &rest["cursor"]), (vec![created[0].clone()], &Value::Null));

    world.patch(&format!("{domains}/{}", created[1]), json!({ "status": "failed" })).await.expect(200);
    let pending = world.get("/api/v1/domains/pending").await.expect(200);
    assert_eq!(ids(&pending), [created[0].clone(), created[2].clone(), theirs]);
    assert_eq!(
        pending["data"][0],
        json!({ "id": created[0], "platformId": platform, "cfHostnameId": null, "hostname": "h0.acme.com" })
    );
    assert_eq!(pending.as_object().unwrap().len(), 1);
    // Domains of a deleted platform are not pending.
    world.delete(&format!("/api/v1/platforms/{other}")).await.expect(200);
    assert_eq!(
        ids(&world.get("/api/v1/domains/pending").await.expect(200)),
        [created[0].clone(), created[2].clone()]
    );
    let scope = json!({ "platform": platform });
    let refused = world.send_as(&scope, Method::GET, "/api/v1/domains/pending", &Value::Null).await;
    refused.expect_error(403, "FORBIDDEN");
}

#[tokio::test]
async fn due_domains_are_claimed_once_page_by_page() {
    let world = World::start().await;
    let ((platform, record), (deleted, foreign)) =
        (world.with_record("a").await, world.with_record("b").await);
    let mut created = Vec::new();
    for n in 0..5 {
        created.push(world.domain(&platform, &record, &format!("h{n}.acme.com")).await);
    }
    world.domain(&deleted, &foreign, "gone.acme.com").await;
    world.delete(&format!("/api/v1/platforms/{deleted}")).await.expect(200);
    // Several processes share the work.
    let pages = futures_util::future::join_all((0..4).map(|_| world.claim(2, HOUR))).await;
    let mut given: Vec<String> = pages.into_iter().flat_map(|page| page.domains).map(|one| one.id).collect();
    given.sort();
    created.sort();
    assert_eq!(given, created, "each domain once, and none of a deleted platform");
    let none = world.claim(2, HOUR).await;
    assert_eq!((none.domains.len(), none.more), (0, false));
    // Setting the status to pending makes a domain due at once. Otherwise it is due after the pause.
    let own = format!("/api/v1/platforms/{platform}/domains/{}", created[3]);
    world.patch(&own, json!({ "sslStatus": "initializing" })).await.expect(200);
    assert_eq!(world.claim(2, HOUR).await.domains.len(), 0);
    world.patch(&own, json!({ "status": "pending" })).await.expect(200);
    let page = world.claim(1, HOUR).await;
    assert_eq!((page.domains[0].id.as_str(), page.more), (created[3].as_str(), true));
    for (limit, pause) in [(0, HOUR), (101, HOUR), (1, u64::MAX)] {
        let message = r::ClaimDomainsRequest { limit, pause };
        let response =
            world.call("provisioning", None, message, async |mut c, m| c.claim_domains(m).await).await;
        assert_eq!(response.unwrap_err().kind(), Kind::Validation);
    }
}

#[tokio::test]
async fn repeated_and_older_reports_change_nothing() {
    let world = World::start().await;
    let (platform, record) = world.with_record("a").await;
    world.domain(&platform, &record, "shop.acme.com").await;
    let domain = world.claim(1, HOUR).await.domains.remove(0);
    let reason = async || {
        let sql = "SELECT length(check_error) FROM custom_domains";
        world.number(&format!("coalesce(({sql}), 0)")).await
    };
    let (writes, now) = (world.writes().await, runtime::clock::now());
    let at = |seconds: i64| (now + TimeDelta::seconds(seconds)).timestamp_millis();
    assert_eq!(
        world.report(report(&domain, at(1), Some("no such host\0"))).await.as_deref(),
        Some("pending")
    );
    assert_eq!(reason().await, 12);
    // Older and repeated reports change nothing.
    assert_eq!(world.report(report(&domain, at(0), None)).await.as_deref(), Some("pending"));
    assert_eq!(world.report(report(&domain, at(1), None)).await.as_deref(), Some("pending"));
    assert_eq!((reason().await, world.writes().await), (12, writes), "a failed check is not audited");

    let statuses =
        futures_util::future::join_all((0..8).map(|_| world.report(report(&domain, at(2), None)))).await;
    assert!(statuses.iter().all(|status| status.as_deref() == Some("active")), "{statuses:?}");
    assert_eq!((reason().await, world.writes().await), (0, writes + 1), "verified once");
    let list = world.get(&format!("/api/v1/platforms/{platform}/domains")).await.expect(200);
    let seen: chrono::DateTime<Utc> = text(&list["data"][0], "verifiedAt").parse().unwrap();
    assert_eq!((&list["data"][0]["status"], seen.timestamp_millis()), (&json!("active"), at(2)));
    // A late report reverts nothing.
    assert_eq!(world.report(report(&domain, at(3), Some("gone"))).await.as_deref(), Some("active"));
    let audit =
        world.get(&format!("/api/v1/platforms/{platform}/audit?entity=custom_domain")).await.expect(200);
    assert_eq!(audit["data"][0]["action"], "custom_domain.verified");
    assert_eq!(audit["data"][0]["actorId"], "service:provisioning");

    world.delete(&format!("/api/v1/platforms/{platform}/domains/{}", domain.id)).await.expect(204);
    assert_eq!(world.report(report(&domain, at(4), None)).await, None);
    let stranger = r::ClaimDomainsRequest { limit: 1, pause: 1 };
    let refused = world.call("onboarding", None, stranger, async |mut c, m| c.claim_domains(m).await).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::Forbidden);
}
