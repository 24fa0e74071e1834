//! Custom domains are claims until they are verified. These tests check which of several claims of a host name wins.

use diesel_async::SimpleAsyncConnection;
use domain::resource::DomainStatus;
use futures_util::future::join_all;
use reqwest::Method;
use rpc::registry as r;
use serde_json::{Value, json};

use crate::world::{World, text};

const UP: &str = include_str!("../../migrations/20261130002000_domain_claims/up.sql");
const DOWN: &str = include_str!("../../migrations/20261130002000_domain_claims/down.sql");
const HOUR: u64 = 3_600_000;

/// A platform with a DNS record, whose custom domains point to the record's host.
struct Claimant<'a> {
    world: &'a World,
    platform: String,
    record: String,
    target: String,
}

impl<'a> Claimant<'a> {
    async fn new(world: &'a World, slug: &str) -> Self {
        let platform = world.platform(slug).await;
        let resource = world.resource(&platform, &platform, &format!("{slug}-auth")).await;
        let target = format!("auth.svc.default.{platform}.nno.localhost");
        let record = world.dns_record(&platform, &target, &resource).await;
        Self { world, platform, record, target }
    }

    fn path(&self) -> String {
        format!("/api/v1/platforms/{}/domains", self.platform)
    }

    async fn try_claim(&self, hostname: &str) -> testkit::Response {
        let body = json!({ "dnsRecordId": self.record, "hostname": hostname, "targetDns": self.target });
        self.world.as_developer(&self.platform, Method::POST, &self.path(), body).await
    }

    async fn claim(&self, hostname: &str) -> String {
        text(&self.try_claim(hostname).await.expect(201), "id")
    }

    async fn patch(&self, id: &str, body: Value) -> testkit::Response {
        let path = format!("{}/{id}", self.path());
        self.world.as_developer(&self.platform, Method::PATCH, &path, body).await
    }

    /// Returns the domain as the list shows it.
    async fn domain(&self, id: &str) -> Value {
        let list = self.world.get(&self.path()).await.expect(200);
        let found = list["data"].as_array().unwrap().iter().find(|one| one["id"] == id);
        found.unwrap_or_else(|| panic!("no {id} in {list}")).clone()
    }

    async fn status(&self, id: &str) -> String {
        text(&self.domain(id).await, "status")
    }

    /// Returns the reason why a domain is not active.
    async fn because(&self, id: &str) -> String {
        text(&self.world.get(&format!("{}/{id}/explain", self.path())).await.expect(200), "because")
    }

    /// Reports the result of a check that starts now, and returns the status after it.
    async fn report(&self, id: &str, reason: Option<&str>) -> String {
        let message = r::ReportDomainRequest {
            platform_id: self.platform.clone(),
            domain_id: id.to_owned(),
            checked_at: runtime::clock::now().timestamp_millis(),
            reason: reason.map(str::to_owned),
        };
        let world = self.world;
        let answer =
            world.call("provisioning", None, message, async |mut c, m| c.report_domain(m).await).await;
        rpc::parse_enum::<DomainStatus>("status", answer.unwrap().status.unwrap()).unwrap().to_string()
    }
}

/// Returns the ids of the domains claimed for a check.
async fn due(world: &World) -> Vec<String> {
    let message = r::ClaimDomainsRequest { limit: 100, pause: HOUR };
    let answer = world.call("provisioning", None, message, async |mut c, m| c.claim_domains(m).await).await;
    answer.unwrap().domains.into_iter().map(|one| one.id).collect()
}

#[tokio::test]
async fn unproven_claim_does_not_keep_the_owner_out() {
    let world = World::start().await;
    let (a, b) = (Claimant::new(&world, "a").await, Claimant::new(&world, "b").await);
    let squat = a.claim("www.vic.org").await;
    let owned = b.claim("WWW.vic.org").await;
    assert_eq!(b.report(&owned, None).await, "active");
    assert_eq!((b.status(&owned).await, a.status(&squat).await), ("active".into(), "failed".into()));
    let because = a.because(&squat).await;
    assert!(because.contains("was verified for another platform"), "{because}");
    for platform in [&a.platform, &b.platform] {
        let audit = format!("/api/v1/platforms/{platform}/audit?entity=custom_domain");
        let audit = world.get(&audit).await.expect(200);
        assert_eq!(audit["pagination"]["total"], 2, "{audit}");
    }
}

#[tokio::test]
async fn platform_cannot_claim_a_host_twice() {
    let world = World::start().await;
    let a = Claimant::new(&world, "a").await;
    let id = a.claim("www.vic.org").await;
    let again = a.try_claim("Www.Vic.Org").await;
    assert_eq!(again.expect_error(409, "ALREADY_EXISTS")["hostname"], "www.vic.org");
    a.report(&id, None).await;
    a.try_claim("www.vic.org").await.expect_error(409, "ALREADY_EXISTS");
}

#[tokio::test]
async fn claim_of_a_host_that_is_active_elsewhere_stays_pending_with_a_reason() {
    let world = World::start().await;
    let (a, b) = (Claimant::new(&world, "a").await, Claimant::new(&world, "b").await);
    let first = a.claim("www.vic.org").await;
    a.report(&first, None).await;
    // The response to the claim does not reveal that the name is in use.
    let second = b.claim("www.vic.org").await;
    assert_eq!(due(&world).await, [second.as_str()]);
    assert_eq!(b.domain(&second).await["status"], "pending");
    assert_eq!(b.report(&second, None).await, "pending");
    let because = b.because(&second).await;
    assert!(because.contains("is active for another platform"), "{because}");
    assert_eq!(a.status(&first).await, "active");
    let path = format!("{}/{first}", a.path());
    world.as_developer(&a.platform, Method::DELETE, &path, Value::Null).await.expect(204);
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    assert_eq!(b.report(&second, None).await, "active");
}

#[tokio::test]
async fn only_operators_set_a_domain_active_or_verified() {
    let world = World::start().await;
    let a = Claimant::new(&world, "a").await;
    let id = a.claim("www.vic.org").await;
    for body in [
        json!({ "status": "active" }),
        json!({ "verifiedAt": 1 }),
        json!({ "status": "active", "verifiedAt": 1 }),
    ] {
        let answer = a.patch(&id, body.clone()).await;
        let message = answer.body["error"]["message"].as_str().unwrap().to_owned();
        answer.expect_error(403, "FORBIDDEN");
        assert!(message.contains("operator"), "{message}");
        let admin = json!({ "platform": a.platform });
        let path = format!("{}/{id}", a.path());
        world.send_as(&admin, Method::PATCH, &path, &body).await.expect_error(403, "FORBIDDEN");
    }
    assert_eq!(a.status(&id).await, "pending");
    for body in [json!({ "sslStatus": "x" }), json!({ "status": "failed" }), json!({ "status": "pending" })] {
        a.patch(&id, body).await.expect(200);
    }
    let path = format!("{}/{id}", a.path());
    let active = world.patch(&path, json!({ "status": "active" })).await.expect(200);
    assert_eq!(active["status"], "active");
    // Repeating the current values is allowed.
    let verified =
        world.number("SELECT (extract(epoch FROM verified_at) * 1000)::bigint FROM custom_domains").await;
    a.patch(&id, json!({ "status": "active", "verifiedAt": verified })).await.expect(200);
    a.patch(&id, json!({ "verifiedAt": verified + 1 })).await.expect_error(403, "FORBIDDEN");
    a.patch(&id, json!({ "verifiedAt": null })).await.expect_error(403, "FORBIDDEN");
}

#[tokio::test]
async fn operator_can_activate_a_host_that_is_active_nowhere_else() {
    let world = World::start().await;
    let (a, b) = (Claimant::new(&world, "a").await, Claimant::new(&world, "b").await);
    let (first, second) = (a.claim("www.vic.org").await, b.claim("www.vic.org").await);
    let path = |claimant: &Claimant<'_>, id: &str| format!("{}/{id}", claimant.path());
    world.patch(&path(&b, &second), json!({ "status": "active" })).await.expect(200);
    assert_eq!(a.status(&first).await, "failed");
    let refused = world.patch(&path(&a, &first), json!({ "status": "active" })).await;
    assert_eq!(refused.expect_error(409, "ALREADY_EXISTS")["hostname"], "www.vic.org");
}

#[tokio::test]
async fn claim_lapses_and_can_be_renewed() {
    let world = World::start_with(json!({ "service": { "domains": { "claim_period": "1s" } } })).await;
    let a = Claimant::new(&world, "a").await;
    let id = a.claim("www.vic.org").await;
    assert_eq!(due(&world).await, [id.as_str()]);
    a.report(&id, Some("it leads nowhere")).await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    a.patch(&id, json!({ "status": "pending" })).await.expect(200);
    assert_eq!(due(&world).await, [""; 0], "requesting a check does not extend the claim");
    assert_eq!(a.status(&id).await, "failed");
    let because = a.because(&id).await;
    assert!(because.contains("lapsed"), "{because}");
    let audit = format!("/api/v1/platforms/{}/audit?action=custom_domain.lapsed", a.platform);
    assert_eq!(world.get(&audit).await.expect(200)["pagination"]["total"], 1);

    a.patch(&id, json!({ "status": "pending" })).await.expect(200);
    assert_eq!(due(&world).await, [id.as_str()]);
    assert_eq!(a.report(&id, None).await, "active");
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(due(&world).await, [""; 0]);
    assert_eq!(a.status(&id).await, "active", "a verified domain does not lapse");
}

#[tokio::test]
async fn only_one_of_many_concurrent_verifications_becomes_active() {
    let world = World::start().await;
    let mut claims = Vec::new();
    for n in 0..8 {
        let one = Claimant::new(&world, &format!("p{n}")).await;
        let id = one.claim("www.vic.org").await;
        claims.push((one, id));
    }
    let statuses = join_all(claims.iter().map(|(one, id)| one.report(id, None))).await;
    assert_eq!(statuses.iter().filter(|status| *status == "active").count(), 1, "{statuses:?}");
    let active = world.number("SELECT count(*) FROM custom_domains WHERE status = 'active'").await;
    let failed = world.number("SELECT count(*) FROM custom_domains WHERE status = 'failed'").await;
    assert_eq!((active, failed), (1, 7));
}

#[tokio::test]
async fn stored_claim_that_points_elsewhere_is_never_verified() {
    let world = World::start().await;
    let (a, b) = (Claimant::new(&world, "a").await, Claimant::new(&world, "b").await);
    for (set, word) in [
        ("target_dns = 'vic.org'".to_owned(), "targetDns"),
        (format!("hostname = 'auth.svc.default.{}.nno.localhost'", b.platform), "host name"),
    ] {
        let id = a.claim("www.vic.org").await;
        world.sql(&format!("UPDATE custom_domains SET {set} WHERE id = '{id}'")).await;
        assert_eq!(due(&world).await, [id.as_str()]);
        assert_eq!(a.report(&id, None).await, "pending");
        let because = a.because(&id).await;
        assert!(because.contains(word), "{because}");
        let path = format!("{}/{id}", a.path());
        world.delete(&path).await.expect(204);
    }
}

#[tokio::test]
async fn migration_turns_unproven_active_domains_into_claims() {
    let world = World::start().await;
    let a = Claimant::new(&world, "a").await;
    let mut owner = world.db.connect_as_owner().await;
    owner.batch_execute(DOWN).await.unwrap();
    let mut stored = Vec::new();
    for (n, (action, actor)) in [
        ("custom_domain.updated", "user"),
        ("custom_domain.updated", "apikey"),
        ("custom_domain.updated", "operator"),
        ("custom_domain.verified", "service"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = uuid::Uuid::now_v7();
        let (platform, record) = (&a.platform, &a.record);
        let sql = format!(
            "INSERT INTO custom_domains (id, platform_id, dns_record_id, hostname, target_dns, ssl_status, status, \
                 verified_at, created_at, updated_at) \
             VALUES ('{id}', '{platform}', '{record}', 'h{n}.acme.com', 'acme.com', 'pending', 'active', now(), now(), now()); \
             INSERT INTO audit_log (id, platform_id, actor_id, actor_type, action, entity_type, entity_id, after, \
                 metadata, created_at) \
             VALUES (gen_random_uuid(), '{platform}', 'x', '{actor}', '{action}', 'custom_domain', '{id}', \
                 '{{\"status\": \"active\"}}', '{{}}', now())"
        );
        owner.batch_execute(&sql).await.unwrap();
        stored.push(id.to_string());
    }
    owner.batch_execute(UP).await.unwrap();
    let mut statuses = Vec::new();
    for id in &stored {
        statuses.push(a.status(id).await);
    }
    assert_eq!(statuses, ["pending", "pending", "active", "active"]);
    let lapsing =
        world.number("SELECT count(*) FROM custom_domains WHERE lapses_at > now() + interval '6 days'").await;
    assert_eq!(lapsing, 2);

    // The down migration keeps one claim per name, the active one first.
    let b = Claimant::new(&world, "b").await;
    let (pending, active) = (a.claim("www.vic.org").await, b.claim("www.vic.org").await);
    b.report(&active, None).await;
    a.claim("www.two.org").await;
    b.claim("www.two.org").await;
    owner.batch_execute(DOWN).await.unwrap();
    let left = world
        .number("SELECT count(*) FROM custom_domains WHERE hostname IN ('www.vic.org', 'www.two.org')")
        .await;
    let remaining = world.number(&format!("SELECT count(*) FROM custom_domains WHERE id = '{active}'")).await;
    let lost = world.number(&format!("SELECT count(*) FROM custom_domains WHERE id = '{pending}'")).await;
    assert_eq!((left, remaining, lost), (2, 1, 0));
}
