//! Targets for tests, and tests of their validation.

use std::collections::BTreeMap;

use proptest::prelude::*;
use provisioning::providers::{
    Bundle, DnsTarget, ErrorKind, HostName, Owner, ResourceKind, ResourceName, SecretName, Spec, Target,
    starter::{Author, Starter},
};
use serde_json::json;

pub(super) fn name(text: &str) -> ResourceName {
    ResourceName::parse(text).unwrap()
}

/// Returns the default owner of the targets.
pub(crate) fn owner() -> Owner {
    Owner::of(&domain::PlatformId::parse("k3x9q2m7ab").unwrap())
}

pub(super) fn plain(kind: ResourceKind, name: &str) -> Target {
    Target::plain(&owner(), kind, name).unwrap()
}

pub(super) fn bundle(body: &str) -> Bundle {
    let files = BTreeMap::from([
        (
            "src/index.js".to_owned(),
            format!("export default {{ fetch: () => new Response('{body}') }}").into_bytes(),
        ),
        ("static/logo.bin".to_owned(), vec![0, 159, 146, 150]),
    ]);
    Bundle::new("src/index.js", files).unwrap().bind("DB", ResourceKind::D1, name("a-db"))
}

pub(super) fn worker(name: &str, body: &str) -> Target {
    Target::new(&owner(), ResourceKind::Worker, name, Spec::Bundle(bundle(body))).unwrap()
}

pub(super) fn starter(platform_name: &str) -> Starter {
    let author = Author { name: "NNO Provisioning".into(), email: "provisioning@nno.example".into() };
    Starter::new(name("k3x9q2m7ab"), platform_name, name("acme"), author, 1_700_000_000).unwrap()
}

pub(super) fn repository(name: &str, platform_name: &str) -> Target {
    Target::new(&owner(), ResourceKind::GitRepository, name, Spec::Starter(starter(platform_name))).unwrap()
}

pub(super) fn secret(worker: &str, name: &str, value: Option<&str>) -> Target {
    Target::secret(&owner(), worker, name, value.map(Into::into)).unwrap()
}

/// Returns one target of every kind, each after its dependencies.
pub(super) fn one_of_each(name: &str) -> Vec<Target> {
    let targets: Vec<_> = ResourceKind::ALL
        .into_iter()
        .map(|kind| match kind {
            ResourceKind::Worker => worker(name, "hello"),
            ResourceKind::Pages => Target::new(&owner(), kind, name, Spec::Bundle(bundle("page"))).unwrap(),
            ResourceKind::GitRepository => repository(name, "Acme"),
            ResourceKind::Secret => secret(name, "AUTH_SECRET", None),
            ResourceKind::DnsRecord => {
                Target::dns(&owner(), format!("{name}.svc.default.acme.test"), name).unwrap()
            }
            ResourceKind::D1 | ResourceKind::R2 | ResourceKind::Kv | ResourceKind::Queue => plain(kind, name),
        })
        .collect();
    assert_eq!(targets.len(), 9);
    targets
}

#[test]
fn invalid_resource_names_are_rejected() {
    let long = "a".repeat(64);
    let bad = [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "a\\b",
        "/etc/passwd",
        "A",
        "ä",
        "a b",
        "a\0",
        "a\n",
        "a.new",
        ".a.new",
        "a_b",
        &long,
    ];
    for kind in ResourceKind::ALL.into_iter().filter(|kind| *kind != ResourceKind::DnsRecord) {
        for name in bad {
            let created = match kind {
                ResourceKind::Secret => Target::secret(&owner(), name, "KEY", None),
                _ => Target::plain(&owner(), kind, name),
            };
            let error = created.expect_err(name);
            assert_eq!(error.kind, ErrorKind::Permanent, "{kind} {name:?}");
        }
    }
    assert!(Target::plain(&owner(), ResourceKind::D1, "a".repeat(63)).is_ok());
}

#[test]
fn host_names_and_secret_names_are_validated() {
    let label = "a".repeat(64);
    let long = format!("{}.a", vec!["a".repeat(63); 4].join("."));
    for bad in [
        "",
        ".",
        "a..b",
        ".a",
        "-a.b",
        "a-.b",
        "a.b.",
        "one-label",
        "127.0.0.1",
        "a_b.c",
        "a b",
        "a/../b",
        "ä.de",
        "a..",
        "*.a",
        &label,
        &long,
    ] {
        assert!(HostName::parse(bad).is_err(), "{bad:?}");
    }
    assert_eq!(HostName::parse("App.SVC.default.ACME.Test").unwrap().as_str(), "app.svc.default.acme.test");
    let long = "A".repeat(129);
    for bad in ["", "1A", "A-B", "A.B", "A B", "Ä", "../A", &long] {
        assert!(SecretName::parse(bad).is_err(), "{bad:?}");
    }
    assert!(SecretName::parse("_Auth_Secret1").is_ok());
}

#[test]
fn dns_record_points_to_a_host_name_or_a_worker() {
    for (text, expected) in
        [("acme-shop", "acme-shop"), ("B.Nno.Example", "b.nno.example"), ("localhost", "localhost")]
    {
        let target = DnsTarget::parse(text).unwrap();
        assert_eq!(target.as_str(), expected);
        let written = serde_json::to_string(&target).unwrap();
        assert_eq!(written, serde_json::json!(expected).to_string(), "a target must serialise as plain text");
        assert_eq!(serde_json::from_str::<DnsTarget>(&written).unwrap(), target);
    }
    for bad in ["", "a..b", "a.b.", "Acme", "a_b", "127.0.0.1", "*.a.b"] {
        let error = DnsTarget::parse(bad).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Permanent, "{bad:?}");
        assert!(serde_json::from_value::<DnsTarget>(serde_json::json!(bad)).is_err(), "{bad:?}");
    }
}

#[test]
fn deserialised_target_is_validated() {
    for target in one_of_each("acme-api") {
        let text = serde_json::to_string(&target).unwrap();
        let read: Target = serde_json::from_str(&text).unwrap();
        assert_eq!(read.identity(), target.identity());
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
    let starter = json!({ "platform_id": "a", "platform_name": "a\nb", "slug": "a", "committed_at": 0,
        "author": { "name": "a", "email": "a@b" } });
    for bad in [
        json!({ "owner": owner(), "kind": "d1", "name": "../x" }),
        json!({ "owner": owner(), "kind": "d1", "name": "x", "spec": { "dns": { "target": "y" } } }),
        json!({ "owner": owner(), "kind": "d1", "name": "x", "size": 1 }),
        json!({ "owner": owner(), "kind": "secret", "name": "x" }),
        json!({ "owner": owner(), "kind": "dns_record", "name": "x.test", "spec": { "dns": { "target": "../y" } } }),
        json!({ "owner": owner(), "kind": "worker", "name": "x", "spec": { "bundle": { "entry": "../a", "files": { "../a": "" } } } }),
        json!({ "owner": owner(), "kind": "git_repository", "name": "x", "spec": { "starter": starter } }),
    ] {
        assert!(serde_json::from_value::<Target>(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn secret_value_is_never_serialised() {
    let target = secret("acme-api", "TOKEN", Some("hunter2hunter2"));
    assert!(!format!("{target:?} {target} {}", target.identity()).contains("hunter2"));
    let error = serde_json::to_string(&target).unwrap_err().to_string();
    assert!(error.contains("cannot be serialised") && !error.contains("hunter2"), "{error}");
}

#[test]
fn bundle_paths_are_validated() {
    let long = format!("{}/a", "a".repeat(256));
    for bad in ["", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a\\b", "a\0b", "a\nb", &long] {
        let error = Bundle::new(bad, BTreeMap::from([(bad.to_owned(), Vec::new())])).expect_err(bad);
        assert_eq!(error.kind, ErrorKind::Permanent);
    }
    let both = BTreeMap::from([("a".to_owned(), Vec::new()), ("a/b/c".to_owned(), Vec::new())]);
    assert!(Bundle::new("a", both).unwrap_err().message.contains("both a file and the folder"));
    let entry = Bundle::new("b", BTreeMap::from([("a".to_owned(), Vec::new())])).unwrap_err();
    assert!(entry.message.contains("not among the files"));
}

#[test]
fn bundle_hash_covers_all_its_parts() {
    let bundle = |entry: &str, files: &[(&str, &str)]| {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
        Bundle::new(entry, files).unwrap()
    };
    let one = bundle("a", &[("a", "xy"), ("b", "z")]);
    let others = [
        bundle("b", &[("a", "xy"), ("b", "z")]),
        bundle("a", &[("a", "xyz"), ("b", "")]),
        bundle("a", &[("a", "x"), ("b", "yz")]),
        bundle("a", &[("a", "xy"), ("bz", "")]),
        bundle("a", &[("a", "xy")]),
        one.clone().bind("DB", ResourceKind::D1, name("x")),
        one.clone().bind("DB", ResourceKind::Kv, name("x")),
    ];
    let hashes: std::collections::BTreeSet<_> = others.iter().map(Bundle::hash).chain([one.hash()]).collect();
    assert_eq!(hashes.len(), others.len() + 1);
    assert_eq!(one.hash(), bundle("a", &[("b", "z"), ("a", "xy")]).hash());
    // Must not change: deployments of earlier versions are found by their hash.
    assert_eq!(one.hash(), "0b16e48d97a377443150975b1dc55084f995d4db52f5b289e34475835a05e635");
}

proptest! {
    #[test]
    fn valid_name_is_a_single_path_component(text in "\\PC{0,70}") {
        if let Ok(name) = ResourceName::parse(&text) {
            let path = std::path::Path::new(name.as_str());
            prop_assert_eq!(path.components().count(), 1);
            prop_assert!(matches!(path.components().next(), Some(std::path::Component::Normal(_))));
        }
    }
}
