//! The effect of one tenant's load on another, and the cost of reads for callers who are granted an entity. One platform
//! has a tree of entities, whose readers make noise; a quiet caller reads from another platform.

use std::{
    fmt, fs, iter,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    report::{Figure, line},
    testbed::{self, Testbed},
    tools::{self, Load},
};

/// Entities of the tree, all under one tenant.
const TREE: u32 = 24_500;
/// The pause between two requests of the quiet caller.
const PACE: Duration = Duration::from_millis(20);

/// Loads of the noisy tenant: name, path, true if the entity's viewer sends it, and number of connections.
const NOISE: [(&str, &str, bool, u32); 9] = [
    ("entity list", "entities?limit=100", true, 4),
    ("entity list", "entities?limit=100", true, 8),
    ("entity list", "entities?limit=100", true, 16),
    ("entity list", "entities?limit=100", true, 48),
    ("descendants", "entities/{root}/descendants", false, 8),
    ("descendants", "entities/{root}/descendants", false, 32),
    ("one entity", "entities/{deep}", true, 32),
    ("whoami", "", false, 32),
    ("whoami", "", false, 60),
];

/// Reads to compare between a caller with access to the entity and one with access to the platform.
const READS: [&str; 6] = [
    "entities?limit=100",
    "entities/{deep}",
    "entities/{deep}/manifest",
    "entities/{deep}/ancestors",
    "resources",
    "entities/{root}/descendants",
];

/// Keys of the callers and ids of the objects.
struct Scene {
    platform: String,
    root: String,
    deep: String,
    viewer: String,
    of_entity: String,
    quiet: String,
    quiet_path: String,
}

/// Measures both, and prints them.
pub(crate) async fn measure(seconds: Duration) -> Result<()> {
    reads(Load { seconds, connections: 1 }).await?;
    let testbed = Testbed::start(10, false, None).await?;
    let scene = Scene::make(&testbed).await?;
    shares(&testbed, &scene, seconds).await?;
    testbed.stop().await
}

/// Compares the same reads of both callers, without limits.
async fn reads(load: Load) -> Result<()> {
    let testbed = Testbed::start(10, true, None).await?;
    let scene = Scene::make(&testbed).await?;

    line(format_args!("\n{TREE} entities: one read after the other, p50 in ms\n"));
    line(format_args!("| GET /platforms/{{id}}/… | platform | entity | ratio |"));
    line(format_args!("|---|--:|--:|--:|"));
    for read in READS {
        let path = scene.path(read);
        let whole = scene.noise(&testbed, &scene.viewer, &path, load).await?;
        let entity = scene.noise(&testbed, &scene.of_entity, &path, load).await?;
        line(format_args!(
            "| `{read}` | {:.2} | {:.2} | {:.2} |",
            ms(whole.p50),
            ms(entity.p50),
            entity.p50 as f64 / whole.p50 as f64
        ));
    }

    testbed.stop().await
}

/// A quiet caller, alone and next to each load.
async fn shares(testbed: &Testbed, scene: &Scene, seconds: Duration) -> Result<()> {
    line(format_args!("\nA manifest every {} ms, next to another tenant's load; ms", PACE.as_millis()));
    line(format_args!("kernel.sched_autogroup_enabled = {}\n", autogroup()));
    line(format_args!("| load | its responses/s | alone p50 | p99 | with it p50 | p99 | p99 ratio |"));
    line(format_args!("|---|--:|--:|--:|--:|--:|--:|"));
    busy(testbed, scene, seconds).await?;
    for (name, read, by_entity, connections) in NOISE {
        let alone = scene.probe(testbed, seconds).await?;
        let path = if read.is_empty() { "/api/v1/iam/whoami".to_owned() } else { scene.path(read) };
        let key = if by_entity { &scene.of_entity } else { &scene.viewer };
        let noise = scene.noise(testbed, key, &path, Load { seconds: seconds * 2, connections });
        let quiet = async {
            tokio::time::sleep(seconds / 2).await;
            scene.probe(testbed, seconds).await
        };
        let (noise, next_to_it) = tokio::try_join!(noise, quiet)?;
        row(format_args!("{name} x{connections}"), noise.rate, &alone, &next_to_it);
        // Lets the rate limits of the noisy caller recover.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    Ok(())
}

/// A control: the quiet caller next to threads that keep every core busy and send nothing. Extra latency under a load
/// beyond this is not a lack of processors.
async fn busy(testbed: &Testbed, scene: &Scene, seconds: Duration) -> Result<()> {
    let alone = scene.probe(testbed, seconds).await?;
    let done = Arc::new(AtomicBool::new(false));
    let cores = thread::available_parallelism()?.get();
    let threads: Vec<_> = iter::repeat_with(|| Arc::clone(&done))
        .take(cores)
        .map(|done| thread::spawn(move || while !done.load(Ordering::Relaxed) {}))
        .collect();
    let next_to_it = scene.probe(testbed, seconds).await;
    done.store(true, Ordering::Relaxed);
    for thread in threads {
        ensure!(thread.join().is_ok(), "a busy thread panicked");
    }
    row(format_args!("busy cores x{cores}"), 0.0, &alone, &next_to_it?);
    Ok(())
}

fn row(load: fmt::Arguments<'_>, rate: f64, alone: &Figure, next_to_it: &Figure) {
    line(format_args!(
        "| {load} | {rate:.0} | {:.1} | {:.1} | {:.1} | {:.1} | {:.2} |",
        ms(alone.p50),
        ms(alone.p99),
        ms(next_to_it.p50),
        ms(next_to_it.p99),
        next_to_it.p99 as f64 / alone.p99 as f64
    ));
}

/// The kernel's setting `kernel.sched_autogroup_enabled`. With 1, processors are shared among sessions, and each connection
/// of PostgreSQL is a session: some statements wait a tenth of a second for a processor.
fn autogroup() -> String {
    fs::read_to_string("/proc/sys/kernel/sched_autogroup_enabled")
        .map_or_else(|_| "unknown".to_owned(), |value| value.trim().to_owned())
}

fn ms(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

impl Scene {
    async fn make(testbed: &Testbed) -> Result<Self> {
        let (platform, root) = tenant(testbed, "noisy").await?;
        let (other, quiet_root) = tenant(testbed, "quiet").await?;
        // A chain of fourteen under the tenant, and all others directly under it.
        let sql = format!(
            "INSERT INTO entities SELECT 'e' || lpad(n::text, 9, '0'), '{platform}', \
                 CASE WHEN n BETWEEN 2 AND 14 THEN 'e' || lpad((n - 1)::text, 9, '0') ELSE '{root}' END, 'subtenant', \
                 'E', 'e-' || n, 'active', now() - n * interval '1 ms', now(), NULL, CASE WHEN n <= 14 THEN n + 1 ELSE 2 END, \
                 ARRAY['{root}'] || CASE WHEN n <= 14 \
                     THEN ARRAY(SELECT 'e' || lpad(up::text, 9, '0') FROM generate_series(1, n - 1) up ORDER BY up) ELSE '{{}}' END \
             FROM generate_series(1, {TREE} - 1) n; \
             INSERT INTO counters SELECT key, 99, {TREE} - 1 FROM unnest(ARRAY['entities:{platform}', \
                 'entities:{platform}:subtenant', 'entities_under:{platform}:{root}']) AS key; \
             ANALYZE"
        );
        testbed.superuser().await?.batch_execute(&sql).await.context("cannot insert the tree")?;
        let scene = Self {
            viewer: key(testbed, json!({ "name": "v", "role": "viewer", "platformId": platform })).await?,
            of_entity: key(
                testbed,
                json!({ "name": "e", "role": "viewer", "platformId": platform, "entityId": root }),
            )
            .await?,
            quiet: key(testbed, json!({ "name": "q", "role": "developer", "platformId": other })).await?,
            quiet_path: format!("/api/v1/platforms/{other}/entities/{quiet_root}/manifest"),
            deep: "e000000014".to_owned(),
            platform,
            root,
        };
        for key in [&scene.viewer, &scene.of_entity] {
            let list = scene.get(testbed, key, "entities?limit=100").await?;
            let found = list.pointer("/pagination/total").and_then(Value::as_u64);
            ensure!(found == Some(TREE.into()), "the list has {found:?}");
            let under = scene.get(testbed, key, "entities/{root}/descendants").await?;
            let found = under.get("data").and_then(Value::as_array).map_or(0, Vec::len);
            ensure!(found + 1 == TREE as usize, "{found} are under the root");
        }
        Ok(scene)
    }

    async fn get(&self, testbed: &Testbed, key: &str, read: &str) -> Result<Value> {
        let request = tools::client()?.get(format!("{}{}", testbed.gateway.url, self.path(read)));
        let response = request.bearer_auth(key).send().await?;
        Ok(response.error_for_status()?.json().await?)
    }

    fn path(&self, read: &str) -> String {
        let read = read.replace("{root}", &self.root).replace("{deep}", &self.deep);
        format!("/api/v1/platforms/{}/{read}", self.platform)
    }

    async fn noise(&self, testbed: &Testbed, key: &str, path: &str, load: Load) -> Result<Figure> {
        let file = testbed.dir.join("noise.paths");
        fs::write(&file, format!("{path}\n"))?;
        tools::wrk_with_failures(&testbed.gateway, key, file, load).await
    }

    /// Measures reads of a manifest at a steady pace.
    async fn probe(&self, testbed: &Testbed, seconds: Duration) -> Result<Figure> {
        let (client, url) = (tools::client()?, format!("{}{}", testbed.gateway.url, self.quiet_path));
        let (mut took, until) = (Vec::new(), Instant::now() + seconds);
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while Instant::now() < until {
            pace.tick().await;
            let began = Instant::now();
            let response = client.get(&url).bearer_auth(&self.quiet).send().await?;
            response.error_for_status()?.bytes().await?;
            took.push(u64::try_from(began.elapsed().as_micros())?);
        }
        took.sort_unstable();
        let at = |percent: usize| took.get(took.len() * percent / 100).copied().unwrap_or_default();
        Ok(Figure { rate: took.len() as f64 / seconds.as_secs_f64(), p50: at(50), p99: at(99), cpu: None })
    }
}

/// Creates a platform and its tenant.
async fn tenant(testbed: &Testbed, slug: &str) -> Result<(String, String)> {
    let platform =
        post(testbed, "/api/v1/platforms", json!({ "name": slug, "slug": slug, "tier": "scale" })).await?;
    let platform = text(&platform, "id")?;
    let body = json!({ "name": "Root", "slug": "root", "type": "tenant" });
    let root = post(testbed, &format!("/api/v1/platforms/{platform}/entities"), body).await?;
    Ok((platform, text(&root, "id")?))
}

async fn key(testbed: &Testbed, body: Value) -> Result<String> {
    text(&post(testbed, "/api/v1/iam/keys", body).await?, "key")
}

async fn post(testbed: &Testbed, path: &str, body: Value) -> Result<Value> {
    let request = tools::client()?.post(format!("{}{path}", testbed.gateway.url));
    let response = request.bearer_auth(testbed::OPERATOR_KEY).json(&body).send().await?;
    Ok(response.error_for_status()?.json().await?)
}

fn text(response: &Value, field: &str) -> Result<String> {
    Ok(response.get(field).and_then(Value::as_str).with_context(|| format!("no {field}"))?.to_owned())
}
