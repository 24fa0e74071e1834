//! Git repositories of the local provider.

use std::path::Path;
use std::process::Command;

use provisioning::providers::{
    Clock, ErrorKind, Provider as _,
    local::{LocalProvider, LocalSettings},
};

use super::Local;
use super::targets::{repository, starter};

/// Runs the installed git and returns its output.
pub(super) fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args(["-c", "safe.directory=*", "-c", "user.name=Ada", "-c", "user.email=ada@acme.test"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn clone_contains_the_starter_in_one_commit() {
    let local = Local::new().await;
    let created = local.provider.ensure(&repository("acme", "Acme & Söhne")).await.unwrap();
    let bare = local.root.path().join("git_repository/acme.git");
    assert_eq!(git(&bare, &["rev-parse", "--is-bare-repository"]), "true");
    assert_eq!(git(&bare, &["fsck", "--strict", "--full"]), "");

    let workdir = tempfile::tempdir().unwrap();
    git(workdir.path(), &["clone", "--quiet", created.url.as_deref().unwrap(), "clone"]);
    let clone = workdir.path().join("clone");
    assert_eq!(git(&clone, &["rev-list", "--all", "--count"]), "1");
    assert_eq!(git(&clone, &["rev-parse", "HEAD"]), created.details["head"].as_str().unwrap());
    assert_eq!(git(&clone, &["branch", "--show-current"]), "main");
    let signature = "NNO Provisioning <provisioning@nno.example> 1700000000 +0000";
    let raw = git(&clone, &["cat-file", "commit", "HEAD"]);
    assert!(
        raw.contains(&format!("author {signature}\ncommitter {signature}\n\nStart Acme & Söhne")),
        "{raw}"
    );

    let files = starter("Acme & Söhne").files().unwrap();
    assert_eq!(git(&clone, &["ls-files"]).lines().collect::<Vec<_>>(), files.keys().collect::<Vec<_>>());
    for (path, content) in files {
        assert_eq!(std::fs::read(clone.join(&path)).unwrap(), content, "{path}");
    }
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(clone.join("nno.json")).unwrap()).unwrap();
    let platform = serde_json::json!({ "id": "k3x9q2m7ab", "name": "Acme & Söhne", "slug": "acme" });
    assert_eq!(manifest["platform"], platform);
}

#[tokio::test]
async fn commit_id_is_reproducible() {
    let local = Local::new().await;
    let created = local.provider.ensure(&repository("acme", "Acme")).await.unwrap();
    // Changes only with the files of the starter.
    assert_eq!(created.details["head"], "3667ef7e24f6480d45f63db1916852d2f2529a9b");
}

#[tokio::test]
async fn pushed_commits_are_preserved() {
    let local = Local::new().await;
    let target = repository("acme", "Acme");
    let created = local.provider.ensure(&target).await.unwrap();
    let workdir = tempfile::tempdir().unwrap();
    git(workdir.path(), &["clone", "--quiet", created.url.as_deref().unwrap(), "clone"]);
    let clone = workdir.path().join("clone");
    std::fs::write(clone.join("new.txt"), "new").unwrap();
    git(&clone, &["add", "new.txt"]);
    git(&clone, &["commit", "--quiet", "--message", "More"]);
    git(&clone, &["push", "--quiet"]);

    let again = local.provider.ensure(&target).await.unwrap();
    assert_eq!(again.provider_id, created.provider_id);
    assert_eq!(again.details["head"], git(&clone, &["rev-parse", "HEAD"]));
    assert_eq!(git(&clone, &["ls-remote", "--heads", "origin"]).lines().count(), 1);
    assert_eq!(
        git(&local.root.path().join("git_repository/acme.git"), &["rev-list", "--all", "--count"]),
        "2"
    );
}

#[tokio::test]
async fn existing_empty_repository_is_adopted() {
    let local = Local::new().await;
    let folder = local.root.path().join("git_repository");
    git(&folder, &["init", "--quiet", "--bare", "--object-format=sha1", "acme.git"]);
    let target = repository("acme", "Acme");
    assert_eq!(local.provider.observe(&target).await.unwrap(), None);
    let created = local.provider.ensure(&target).await.unwrap();
    let other = local.provider.ensure(&repository("other", "Acme")).await.unwrap();
    assert_eq!(created.details["head"], other.details["head"]);
    assert_eq!(local.provider.ensure(&target).await.unwrap(), created);
}

#[tokio::test]
async fn missing_git_error_names_the_package() {
    let root = tempfile::tempdir().unwrap();
    let settings = LocalSettings { git: root.path().join("no-such-git"), ..LocalSettings::new(root.path()) };
    let provider = LocalProvider::open(settings, Clock::system()).await.unwrap();
    let error = provider.ensure(&repository("acme", "Acme")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Permanent);
    assert!(error.message.contains("install the package `git`"), "{error}");
    assert_eq!(provider.observe(&repository("acme", "Acme")).await.unwrap(), None);
    // After git is installed, the operation succeeds.
    let provider = LocalProvider::open(LocalSettings::new(root.path()), Clock::system()).await.unwrap();
    provider.ensure(&repository("acme", "Acme")).await.unwrap();
}

#[tokio::test]
async fn error_contains_the_output_of_git() {
    let local = Local::new().await;
    let folder = local.root.path().join("git_repository/acme.git");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("notes.txt"), "mine").unwrap();
    let error = local.provider.ensure(&repository("acme", "Acme")).await.unwrap_err();
    assert!(error.message.contains("not a git repository"), "{error}");
    assert!(folder.join("notes.txt").exists());
}
