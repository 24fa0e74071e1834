//! The image needs an engine to be built; that cargo can read what is copied into it can be seen without one.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

#[test]
fn what_is_copied_is_a_whole_workspace() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let (dockerfile, ignored) = (read("deploy/Dockerfile"), read(".dockerignore"));
    let context = tempfile::tempdir().unwrap();
    // Up to the first build step: `COPY what... to`.
    let first_stage = dockerfile.lines().take_while(|line| !line.starts_with("RUN"));
    for line in first_stage.filter_map(|line| line.strip_prefix("COPY ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, copied) = words.split_last().unwrap();
        for what in copied {
            assert!(ignored.lines().any(|line| line == format!("!{what}")), "{what} is ignored");
            symlink(root.join(what), context.path().join(what)).unwrap();
        }
    }
    let told = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--no-deps", "--format-version=1"])
        .current_dir(context.path())
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
}
