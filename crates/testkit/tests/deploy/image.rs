//! The Docker build context. Checking its files requires no container engine.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

#[test]
fn build_context_is_a_complete_workspace() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let (dockerfile, ignored) = (read("deploy/Dockerfile"), read(".dockerignore"));
    let context = tempfile::tempdir().unwrap();
    // `COPY source... target` lines before the first build step.
    let first_stage = dockerfile.lines().take_while(|line| !line.starts_with("RUN"));
    for line in first_stage.filter_map(|line| line.strip_prefix("COPY ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, copied) = words.split_last().unwrap();
        for source in copied {
            assert!(
                ignored.lines().any(|line| line == format!("!{source}")),
                ".dockerignore excludes {source}"
            );
            symlink(root.join(source), context.path().join(source)).unwrap();
        }
    }
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--no-deps", "--format-version=1"])
        .current_dir(context.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
