//! Deployments and secrets of workers and pages in the local provider.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use provisioning::providers::{
    Binding, Clock, ErrorKind, Provider as _, ResourceKind, Spec, Target, local::MAX_DEPLOYMENTS,
};
use secrecy::ExposeSecret as _;

use super::Local;
use super::targets::{bundle, name, plain, secret, worker};

#[tokio::test]
async fn deployment_contains_the_files_of_the_bundle() {
    let local = Local::new().await;
    assert_eq!(local.provider.worker(&name("acme-api")).await.unwrap(), None);
    local.provider.ensure(&worker("acme-api", "hello")).await.unwrap();
    let deployment = local.provider.worker(&name("acme-api")).await.unwrap().unwrap();
    let bundle = bundle("hello");
    assert_eq!(deployment.manifest.hash, bundle.hash());
    assert_eq!(deployment.manifest.entry, "src/index.js");
    assert_eq!(deployment.manifest.bindings["DB"], Binding { kind: ResourceKind::D1, name: name("a-db") });
    assert_eq!(deployment.manifest.files.len(), 2);
    for (path, content) in bundle.files() {
        assert_eq!(&fs::read(deployment.files.join(path)).unwrap(), content);
        assert_eq!(deployment.manifest.files[path].size, content.len() as u64);
    }
    assert_eq!(local.provider.pages(&name("acme-api")).await.unwrap(), None);
    let pages = Target::new(
        &super::targets::owner(),
        ResourceKind::Pages,
        "acme-api",
        Spec::Bundle(super::targets::bundle("page")),
    )
    .unwrap();
    local.provider.ensure(&pages).await.unwrap();
    let pages = local.provider.pages(&name("acme-api")).await.unwrap().unwrap();
    assert_ne!(pages.manifest.hash, deployment.manifest.hash);
}

#[tokio::test]
async fn limited_number_of_deployments_is_retained() {
    let now = std::sync::atomic::AtomicI64::new(0);
    let local =
        Local::at(Clock::from_fn(move || now.fetch_add(1, std::sync::atomic::Ordering::SeqCst))).await;
    let deployments = local.root.path().join("worker/acme-api/deployments");
    let is_retained =
        |n: usize| deployments.join(bundle(&n.to_string()).hash()).join("manifest.json").exists();
    let last = MAX_DEPLOYMENTS + 3;
    for n in 0..=last {
        local.provider.ensure(&worker("acme-api", &n.to_string())).await.unwrap();
    }
    let expected: Vec<bool> = (0..=last).map(|n| n > last - MAX_DEPLOYMENTS).collect();
    assert_eq!((0..=last).map(is_retained).collect::<Vec<_>>(), expected);

    // Rolls back to the oldest one: the current deployment is always retained.
    let oldest = last - MAX_DEPLOYMENTS + 1;
    local.provider.ensure(&worker("acme-api", &oldest.to_string())).await.unwrap();
    local.provider.ensure(&worker("acme-api", &oldest.to_string())).await.unwrap();
    let current = local.provider.worker(&name("acme-api")).await.unwrap().unwrap();
    assert_eq!(current.manifest.hash, bundle(&oldest.to_string()).hash());
    assert!(current.files.join("src/index.js").exists());
}

#[tokio::test]
async fn partially_unpacked_deployments_are_completed() {
    let local = Local::new().await;
    local.provider.ensure(&worker("acme-api", "one")).await.unwrap();
    let folder = local.root.path().join("worker/acme-api");
    let hash = bundle("two").hash();
    let partial = folder.join("deployments").join(format!(".{hash}.new/files/src"));
    fs::create_dir_all(&partial).unwrap();
    fs::write(partial.join("index.js"), "export def").unwrap();
    fs::create_dir_all(folder.join("deployments/.other.new")).unwrap();
    fs::write(folder.join(".current.new"), &hash[..7]).unwrap();

    let current = local.provider.worker(&name("acme-api")).await.unwrap().unwrap();
    assert_eq!(current.manifest.hash, bundle("one").hash());
    local.provider.ensure(&worker("acme-api", "two")).await.unwrap();
    let current = local.provider.worker(&name("acme-api")).await.unwrap().unwrap();
    assert_eq!(current.manifest.hash, hash);
    assert_eq!(
        &fs::read(current.files.join("src/index.js")).unwrap(),
        &bundle("two").files()["src/index.js"]
    );
    let hidden = |folder: &std::path::Path| {
        fs::read_dir(folder)
            .unwrap()
            .any(|entry| entry.unwrap().file_name().to_str().unwrap().starts_with('.'))
    };
    assert!(!hidden(&folder) && !hidden(&folder.join("deployments")));
}

#[tokio::test]
async fn invalid_pointer_is_ignored() {
    let local = Local::new().await;
    local.provider.ensure(&worker("acme-api", "one")).await.unwrap();
    fs::write(local.root.path().join("worker/acme-api/current"), "../../../etc").unwrap();
    assert_eq!(local.provider.worker(&name("acme-api")).await.unwrap(), None);
    local.provider.ensure(&worker("acme-api", "one")).await.unwrap();
    assert!(local.provider.worker(&name("acme-api")).await.unwrap().is_some());
}

#[tokio::test]
async fn secrets_are_stored_privately() {
    let local = Local::new().await;
    let secrets = async || local.provider.reveal_secrets(&name("acme-api")).await.unwrap();
    local.provider.ensure(&worker("acme-api", "one")).await.unwrap();
    assert!(secrets().await.is_empty());

    let created = local.provider.ensure(&secret("acme-api", "GENERATED", None)).await.unwrap();
    let value = secrets().await["GENERATED"].expose_secret().to_owned();
    assert_eq!(value.len(), 43);
    assert_eq!(local.provider.ensure(&secret("acme-api", "GENERATED", None)).await.unwrap(), created);
    assert_eq!(secrets().await["GENERATED"].expose_secret(), value);
    local.provider.ensure(&secret("acme-api", "OTHER", None)).await.unwrap();
    assert_ne!(secrets().await["OTHER"].expose_secret(), value);
    local.provider.ensure(&secret("acme-api", "GENERATED", Some("rotated \"\n\0ä"))).await.unwrap();
    assert_eq!(secrets().await["GENERATED"].expose_secret(), "rotated \"\n\0ä");

    let file = local.root.path().join("worker/acme-api/secrets.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // The mode of a staged file that a crash left is not inherited.
    let stage = file.with_file_name(".secrets.json.new");
    fs::write(&stage, "{").unwrap();
    fs::set_permissions(&stage, fs::Permissions::from_mode(0o644)).unwrap();
    local.provider.destroy(&secret("acme-api", "OTHER", None)).await.unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(secrets().await.into_keys().collect::<Vec<_>>(), ["GENERATED"]);

    // Secrets survive a redeployment and are removed with the worker.
    local.provider.ensure(&worker("acme-api", "two")).await.unwrap();
    assert_eq!(secrets().await.len(), 1);
    local.provider.destroy(&plain(ResourceKind::Worker, "acme-api")).await.unwrap();
    assert!(secrets().await.is_empty());
}

#[tokio::test]
async fn error_does_not_quote_a_damaged_secrets_file() {
    let local = Local::new().await;
    local.provider.ensure(&worker("acme-api", "one")).await.unwrap();
    let file = local.root.path().join("worker/acme-api/secrets.json");
    fs::write(&file, r#"{"TOKEN": "hunter2hunter2"}"#).unwrap();
    let error = local.provider.ensure(&secret("acme-api", "OTHER", None)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Permanent);
    assert!(error.message.contains("secrets.json") && !error.message.contains("hunter2"), "{error}");
}
