//! `nno stack` and the demo templates.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    documentation::{blocks, documentation},
    system::{TestSystem, Up},
};

/// Runs `nno stack` in a folder with these variables.
fn nno(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nno"));
    command.arg("stack").args(args).current_dir(folder).env_remove("NNO_KEY").env_remove("NNO_URL");
    command.envs(variables.iter().copied()).output().unwrap()
}

/// Returns the exit code and stdout.
fn result(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8(output.stdout.clone()).unwrap())
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

const MANIFEST: &str = "\
name: shop
displayName: A shop
description: Sells goods
version: 1.0.0
nnoSdkVersion: 1.0.0
definition:
  schemaVersion: 1
  displayName: A shop
  features: []
  resources: {d1: false, r2: false, kv: false, queue: false}
";

fn folder_with(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

#[test]
fn catalogue_is_valid() {
    let (code, out) = result(&nno(&repository(), &["validate", "catalogue"], &[]));
    let expected = ["helpdesk", "identity", "storefront"]
        .map(|name| format!("catalogue/{name}/stack.yaml: {name} 1.0.1: valid\n"));
    assert_eq!((code, out), (0, expected.concat()));
}

#[test]
fn manifest_in_the_documentation_is_valid() {
    let page = documentation("docs/user-guide/stack-templates.md");
    let manifest = blocks(&page).into_iter().find(|block| block.info == "yaml manifest").unwrap();
    let dir = folder_with(&[("stack.yaml", &manifest.text)]);
    let (code, out) = result(&nno(dir.path(), &["validate", "stack.yaml"], &[]));
    assert_eq!((code, out.as_str()), (0, "stack.yaml: notes 1.0.0: valid\n"));
}

#[test]
fn every_fault_of_every_file_has_a_path() {
    let invalid = MANIFEST
        .replace("schemaVersion: 1", "schemaVersion: 2\n  colour: red")
        .replace("name: shop", "name: A b");
    let dir = folder_with(&[
        ("a/stack.yaml", MANIFEST),
        ("b/stack.yml", &invalid),
        ("c/stack.json", "{"),
        ("d.yaml", MANIFEST),
    ]);
    let output = nno(dir.path(), &["validate", ".", "d.yaml"], &[]);
    let (code, out) = result(&output);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((code, lines.len()), (1, 6), "{out}");
    assert_eq!(lines[0], "./a/stack.yaml: shop 1.0.0: valid");
    assert_eq!(lines[1], "./b/stack.yml: /definition/colour: is not a known field");
    assert!(lines[2].starts_with("./b/stack.yml: /definition/schemaVersion: "), "{out}");
    assert!(lines[3].starts_with("./b/stack.yml: /name: "), "{out}");
    assert!(lines[4].starts_with("./c/stack.json: is not JSON: "), "{out}");
    assert_eq!(lines[5], "d.yaml: /version: is the version of 'shop' in ./a/stack.yaml already");

    let output = nno(dir.path(), &["validate", "--output", "json", "a", "b"], &[]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let valid = json!({ "file": "a/stack.yaml", "template": "shop", "version": "1.0.0", "outcome": "valid", "faults": [] });
    assert_eq!((&report["files"][0], &report["files"][1]["outcome"]), (&valid, &json!("faulty")));
    assert_eq!(
        report["files"][1]["faults"][0],
        json!({ "path": "/definition/colour", "message": "is not a known field" })
    );
}

#[test]
fn command_that_cannot_start_exits_with_two() {
    let dir = folder_with(&[("stack.yaml", MANIFEST), ("empty/x", "")]);
    let key = [("NNO_KEY", "a-key-of-a-test")];
    for (args, variables, why) in [
        (&["validate"][..], &[][..], "required"),
        (&["validate", "gone.yaml"], &[], "cannot read gone.yaml"),
        (&["validate", "empty"], &[], "empty has no stack.json"),
        (&["publish", "."], &[], "NNO_KEY"),
        (&["publish", ".", "--key-file", "gone"], &[], "cannot read gone"),
        (&["publish", ".", "--url", "ftp://nno.example"], &key, "must look like http://"),
        (&["publish", ".", "--url", "nno"], &key, "not a URL"),
    ] {
        let output = nno(dir.path(), args, variables);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?} {errors}");
        assert!(errors.contains(why), "{args:?} {errors}");
    }
}

#[test]
fn unreachable_server_exits_with_three() {
    let dir = folder_with(&[("stack.yaml", MANIFEST)]);
    let url = ("NNO_URL", "http://127.0.0.1:9");
    let (code, out) =
        result(&nno(dir.path(), &["publish", "stack.yaml"], &[("NNO_KEY", "a-key-of-a-test"), url]));
    assert_eq!(code, 3);
    assert!(out.contains("cannot reach http://127.0.0.1:9"), "{out}");
}

/// A folder with one manifest, and the system to publish it to.
struct Author<'a> {
    up: &'a Up,
    dir: TempDir,
}

impl Author<'_> {
    fn publish(&self, manifest: &str, more: &[&str]) -> (i32, String) {
        fs::write(self.dir.path().join("stack.yaml"), manifest).unwrap();
        fs::write(self.dir.path().join("key"), self.up.operator_key() + "\n").unwrap();
        let args = [&["publish", "stack.yaml", "--key-file", "key"], more].concat();
        result(&nno(self.dir.path(), &args, &[("NNO_URL", &self.up.url)]))
    }
}

async fn catalogue(up: &Up) -> Value {
    let mut all = vec![up.get("/api/v1/stacks").await];
    for template in all[0]["data"].as_array().unwrap().clone() {
        all.push(up.get(&format!("/api/v1/stacks/{}/versions", template["name"].as_str().unwrap())).await);
    }
    Value::Array(all)
}

async fn check_publication(up: &Up) {
    let author = Author { up, dir: folder_with(&[]) };
    let line = |what: &str| (0, format!("stack.yaml: shop 1.0.0: {what}\n"));
    let before = catalogue(up).await;
    let (code, out) = author.publish(MANIFEST, &["--dry-run"]);
    assert!(code == 0 && out.contains("template would be created, version would be published"), "{out}");
    assert_eq!(catalogue(up).await, before);
    assert_eq!(author.publish(MANIFEST, &[]), line("template created, version published"));
    assert_eq!(author.publish(MANIFEST, &[]), line("version unchanged"));

    let renamed = MANIFEST.replace("\ndisplayName: A shop", "\ndisplayName: The shop\nicon: bag");
    let before = catalogue(up).await;
    assert_eq!(
        author.publish(&renamed, &["--dry-run"]),
        line("template would be changed, version unchanged")
    );
    assert_eq!(catalogue(up).await, before);
    assert_eq!(author.publish(&renamed, &[]), line("template changed, version unchanged"));
    let template = up.get("/api/v1/stacks/shop").await["template"].clone();
    assert_eq!((&template["display_name"], &template["icon"]), (&json!("The shop"), &json!("bag")));
    assert_eq!(author.publish(MANIFEST, &[]), line("template changed, version unchanged"));

    let before = catalogue(up).await;
    let other = MANIFEST.replace("kv: false", "kv: true");
    let (code, out) = author.publish(&other, &[]);
    assert_eq!(code, 3);
    assert!(
        out.contains("shop 1.0.0: 409 ALREADY_EXISTS: Version 1.0.0 of 'shop' is already published"),
        "{out}"
    );
    let lost = format!(
        "{}  dependsOn: [{{template: nowhere, versionRange: '*'}}]\n",
        MANIFEST.replace("version: 1.0.0\nnno", "version: 1.1.0\nnno")
    );
    let (code, out) = author.publish(&lost, &[]);
    assert_eq!(code, 3);
    assert!(
        out.starts_with("stack.yaml: /definition/dependsOn/0/template: is not a known template\n"),
        "{out}"
    );
    let (code, out) = author.publish(&MANIFEST.replace("1.0.0", "one"), &[]);
    assert!(code == 1 && out.contains("stack.yaml: /version: "), "{out}");
    assert_eq!(catalogue(up).await, before, "a rejected version leaves nothing");

    let (code, out) =
        author.publish(&other.replace("version: 1.0.0\nnno", "version: 1.1.0\nnno"), &["--output", "json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    let done = json!({ "template": "unchanged", "version": "created", "dry_run": false, "notes": [] });
    assert_eq!(
        (code, &report["files"][0]["outcome"], &report["files"][0]["done"]),
        (0, &json!("published"), &done)
    );
    assert_eq!(up.get("/api/v1/stacks/shop").await["latestVersion"]["version"], "1.1.0");

    let (code, out) = result(&nno(
        author.dir.path(),
        &["publish", "stack.yaml"],
        &[("NNO_URL", &up.url), ("NNO_KEY", "unknown-key")],
    ));
    assert!(code == 3 && out.contains("401 UNAUTHORIZED"), "{out}");
}

#[tokio::test]
async fn demo_templates_are_published_once() {
    let system = TestSystem::new();
    let demo = || {
        let mut command = system.command();
        command.env("NNO_DEMO", "1");
        command
    };
    let up = system.start_with(demo()).await;
    assert!(up.stdout.contains(&"demo templates: 3 of 3 published now".to_owned()), "{:?}", up.stdout);
    let listed = up.get("/api/v1/stacks").await;
    let mut names: Vec<&str> =
        listed["data"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["helpdesk", "identity", "storefront"]);
    let found = up.get("/api/v1/stacks?search=shop&label=tier%3Dproduct").await;
    assert_eq!((&found["total"], &found["data"][0]["name"]), (&json!(1), &json!("storefront")));
    let usage = up.get("/api/v1/stacks/identity/usage").await;
    assert_eq!(usage, json!({ "data": [], "total": 0, "stacks": 0, "platforms": 0 }));

    let before = catalogue(&up).await;
    let key = up.operator_key();
    let variables = [("NNO_URL", up.url.as_str()), ("NNO_KEY", &key)];
    let (code, out) = result(&nno(&repository(), &["publish", "catalogue"], &variables));
    assert_eq!((code, out.matches(": version unchanged\n").count()), (0, 3), "{out}");
    assert_eq!(catalogue(&up).await, before);
    up.stop().await;

    let up = system.start_with(demo()).await;
    assert!(up.stdout.contains(&"demo templates: 0 of 3 published now".to_owned()), "{:?}", up.stdout);
    assert_eq!(catalogue(&up).await, before);
    check_publication(&up).await;
    let schema = testkit::client()
        .get(format!("{}/api/v1/stack-definition.schema.json", up.url))
        .send()
        .await
        .unwrap();
    assert_eq!(schema.json::<Value>().await.unwrap()["title"], "Stack definition");
    let (status, _) = up.call(Method::DELETE, "/api/v1/stacks/shop/1.1.0", None).await.unwrap();
    assert_eq!(status, 200);
    up.stop().await;
}
