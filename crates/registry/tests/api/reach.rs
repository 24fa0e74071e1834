//! Every operation × every role × how far it reaches: what is answered follows from the table in `domain::access` alone,
//! and nothing of what lies outside is told.
//!
//! Built with the feature `first-wall-down` the statements are given no scope: then Postgres alone keeps callers apart,
//! and what must hold is that they learn and change nothing.

use domain::{
    EntityId, Grant, PlatformId, Reach, Role,
    access::{About, Operation as Row, Target, Verdict},
};
use kit::{Caller, identity::ActorType, service::Service};
use registry::Registry;
use reqwest::Method;
use serde_json::Value;
use testkit::Response;

use crate::every_operation::{Fixture, Operation, operations};

const WALL_DOWN: bool = cfg!(feature = "first-wall-down");

/// Whose a part of a path is: all but these belong to the entity `e`.
fn entity_of(path: &str) -> Option<&'static str> {
    let all = [
        "{e}", "{leaf}", "{w}", "{r}", "{d1}", "{d2}", "{dns}", "{s}", "{up}", "{back}", "{gone}",
        "{domain}", "{old}",
    ];
    all.into_iter().find(|part| path.contains(part)).map(|part| match part {
        "{leaf}" | "{w}" | "{up}" | "{back}" | "{gone}" => part,
        _ => "{e}",
    })
}

/// A caller, and what they are called where a check fails.
struct Someone {
    name: String,
    caller: Caller,
    grant: Grant,
}

/// Each role with each reach: all, the platform, another, an entity, one beside it, one of another platform.
async fn everyone(fixture: &Fixture) -> Vec<Someone> {
    let world = &fixture.world;
    // What a tier allows is another test's.
    let path = format!("/api/v1/platforms/{}", fixture.fill("{p}"));
    world.patch(&path, serde_json::json!({ "tier": "scale" })).await.expect(200);
    let other = world.platform("other").await;
    let foreign = world.tenant(&other, "foreign").await;
    let gone = world.platform("gone").await;
    world.post(&format!("/api/v1/platforms/{gone}/suspend"), serde_json::json!({})).await.expect(200);
    world.delete(&format!("/api/v1/platforms/{gone}")).await.expect(200);
    let platform = |id: &str| PlatformId::parse(id).unwrap();
    let entity = |id: &str| EntityId::parse(id).unwrap();
    let own = fixture.fill("{p}");
    let reaches = [
        ("all", Reach::All),
        ("own", Reach::Platform(platform(&own))),
        ("other", Reach::Platform(platform(&other))),
        ("deleted", Reach::Platform(platform(&gone))),
        ("entity", Reach::Entity(platform(&own), entity(&fixture.fill("{e}")))),
        ("sibling", Reach::Entity(platform(&own), entity(&fixture.fill("{leaf}")))),
        ("foreign", Reach::Entity(platform(&other), entity(&foreign))),
    ];
    let mut all = Vec::new();
    for (name, reach) in reaches {
        for role in Role::ALL.iter().filter(|role| **role != Role::Operator || reach == Reach::All) {
            let grant = Grant { role: *role, reach: reach.clone() };
            let caller =
                Caller::known(format!("apikey:{name}-{role}"), ActorType::Apikey, vec![grant.clone()]);
            all.push(Someone { name: format!("{role} of {name}"), caller, grant });
        }
    }
    all
}

/// The row of an operation of the document.
fn row(document: &Value, method: &Method, path: &str) -> &'static Row {
    let id = &document["paths"][format!("/api/v1{path}")][method.as_str().to_lowercase()]["operationId"];
    Row::find(id.as_str().unwrap_or_default())
        .unwrap_or_else(|| panic!("{method} {path} is not in the table"))
}

/// What the table says of an operation on the fixture's things.
fn verdict(row: &Row, path: &str, fixture: &Fixture, grant: &Grant) -> Verdict {
    let id = |part: &str| fixture.fill(part);
    let platform = PlatformId::parse(&id(if path.contains("{q}") { "{q}" } else { "{p}" })).unwrap();
    let line: Vec<EntityId> = entity_of(path).and_then(|part| owner(fixture, part)).into_iter().collect();
    let target = match row.about {
        About::Everything | About::Caller => Target::Everything,
        About::Platform => Target::Platform(&platform),
        // A list of the platform is there for everyone who sees something of it.
        About::Entity if line.is_empty() => match grant.reach.platform() {
            Some(own) if *own == platform && grant.reach.entity().is_some() => {
                return if grant.role.covers(row.least) { Verdict::Allowed } else { Verdict::Forbidden };
            }
            _ => Target::Platform(&platform),
        },
        About::Entity => Target::Entity(&platform, &line),
    };
    match row.verdict(std::slice::from_ref(grant), &target) {
        // A role that is too low for the whole platform is told so: that tells nothing of what is there.
        Verdict::Outside if grant.reach.platform() == Some(&platform) && row.about == About::Entity => {
            if grant.role.covers(row.least) {
                Verdict::Outside
            } else {
                Verdict::Forbidden
            }
        }
        verdict => verdict,
    }
}

/// The entity that a part belongs to: of stacks their tenant, which nobody here reaches.
fn owner(fixture: &Fixture, part: &str) -> Option<EntityId> {
    match part {
        "{up}" | "{back}" | "{gone}" => EntityId::parse("nobody0000").ok(),
        part => EntityId::parse(&fixture.fill(part)).ok(),
    }
}

/// Ids of what belongs to the entity `e`, and of its platform.
fn secrets(fixture: &Fixture) -> Vec<String> {
    ["{e}", "{r}", "{d1}", "{d2}", "{dns}", "{domain}", "{s}", "{spare}"]
        .map(|part| fixture.fill(part))
        .to_vec()
}

async fn ask(fixture: &Fixture, someone: &Someone, operation: &Operation) -> (String, Response) {
    let Operation(method, _, path, body, _) = operation;
    let mut path = format!("/api/v1{}", fixture.fill(path));
    if *method != Method::GET {
        path.push_str(if path.contains('?') { "&dryRun=true" } else { "?dryRun=true" });
    }
    let request = fixture.world.request_as(&someone.caller, method.clone(), &path);
    let body = fixture.body(body);
    let request = if body.is_null() { request } else { request.json(&body) };
    (path, Response::read(request.send().await.unwrap()).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_as_everyone() {
    let fixture = Fixture::new().await;
    let everyone = everyone(&fixture).await;
    let document = serde_json::to_value(Registry::openapi()).unwrap();
    let (writes, mut cells, mut wrong) = (fixture.world.writes().await, 0, Vec::new());
    for operation in operations() {
        let Operation(method, template, path, body, _) = &operation;
        let row = row(&document, method, template);
        for someone in &everyone {
            let (asked, answer) = ask(&fixture, someone, &operation).await;
            cells += 1;
            let about = format!("{}: {method} {path}: {} {}", someone.name, answer.status, answer.body);
            let verdict = verdict(row, path, &fixture, &someone.grant);
            if let Some(leak) = leak(&fixture, someone, &asked, body, &answer) {
                wrong.push(format!("{about} tells of {leak}"));
            }
            if !WALL_DOWN && !fits(&fixture, someone, row, &operation, verdict, &answer) {
                wrong.push(format!("{about} where the table says {verdict:?}"));
            }
            if WALL_DOWN
                && verdict != Verdict::Allowed
                && *method != Method::GET
                && answer.status.is_success()
            {
                wrong.push(format!("{about} is done, where the table says {verdict:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {cells}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(fixture.world.writes().await, writes, "everything was tried, nothing done");
    println!("{cells} cells");
}

/// Something of the entity's or its platform's that an answer tells to who does not reach it.
fn leak(
    fixture: &Fixture,
    someone: &Someone,
    asked: &str,
    body: &Value,
    answer: &Response,
) -> Option<String> {
    let (own, e) = (fixture.fill("{p}"), fixture.fill("{e}"));
    let reaches = match &someone.grant.reach {
        Reach::All => true,
        Reach::Platform(id) => id.as_str() == own,
        Reach::Entity(_, entity) => entity.as_str() == e,
    };
    if reaches {
        return None;
    }
    let (told, said) = (answer.body.to_string(), format!("{asked} {}", fixture.body(body)));
    let foreign = someone.grant.reach.platform().is_some_and(|id| id.as_str() != own);
    let all = secrets(fixture).into_iter().chain(foreign.then_some(own));
    all.filter(|id| !said.contains(id)).find(|id| told.contains(id))
}

/// Whether an answer is what the table says.
fn fits(
    fixture: &Fixture,
    someone: &Someone,
    row: &Row,
    operation: &Operation,
    verdict: Verdict,
    answer: &Response,
) -> bool {
    let Operation(method, _, path, body, _) = operation;
    let status = answer.status.as_u16();
    // What is looked up by name alone is not there for who does not reach it.
    if row.id == "lookupResource" {
        let e = EntityId::parse(&fixture.fill("{e}")).unwrap();
        let p = PlatformId::parse(&fixture.fill("{p}")).unwrap();
        let seen = someone.grant.reach.includes(&Target::Entity(&p, &[e]));
        return status == if seen { 200 } else { 404 };
    }
    let of_entity = someone.grant.reach.entity().is_some();
    match verdict {
        // A tenant is made by who sees the platform whole; what a body names is looked for where the caller may.
        Verdict::Allowed if of_entity && row.id == "createEntity" => status == 403,
        Verdict::Allowed if of_entity && *method == Method::POST && !body.is_null() => {
            status < 300 || status == 400 || status == 404
        }
        // An active platform is neither restored nor deleted.
        Verdict::Allowed if ["/restore", "/delete"].iter().any(|verb| path.ends_with(verb)) => status == 409,
        Verdict::Allowed => status < 300,
        Verdict::Forbidden => status == 403,
        Verdict::Outside => status == 404,
    }
}

/// That the test of the second wall can fail: without it, someone else's entity is there for all to see.
#[cfg(feature = "first-wall-down")]
#[tokio::test]
async fn with_both_walls_down_everyone_sees_everything() {
    use diesel_async::SimpleAsyncConnection;
    let fixture = Fixture::new().await;
    let stranger = PlatformId::parse(&fixture.world.platform("other").await).unwrap();
    let grant = Grant { role: Role::Viewer, reach: Reach::Platform(stranger) };
    let caller = Caller::known("apikey:stranger", ActorType::Apikey, vec![grant]);
    let path = fixture.fill("/api/v1/platforms/{p}/entities/{e}");
    let ask = async || {
        Response::read(fixture.world.request_as(&caller, Method::GET, &path).send().await.unwrap()).await
    };
    ask().await.expect_error(404, "NOT_FOUND");
    let sql =
        "ALTER TABLE platforms DISABLE ROW LEVEL SECURITY; ALTER TABLE entities DISABLE ROW LEVEL SECURITY";
    fixture.world.db.connect_as_owner().await.batch_execute(sql).await.unwrap();
    ask().await.expect(200);
}
