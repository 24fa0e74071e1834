use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

fn create_keys(dir: &Path) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_nno")).args(["process-keys", "--dir"]).arg(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_process_gets_a_key_that_stays() {
    let dir = tempfile::tempdir().unwrap();
    let output = create_keys(dir.path());
    let mut private = Vec::new();
    for name in ["gateway", "registry", "stack-registry", "onboarding", "provisioning", "iam"] {
        assert!(output.contains(name), "{output}");
        let path = dir.path().join(format!("private/{name}.pem"));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(dir.path().join(format!("public/{name}.pem")).is_file());
        private.push(fs::read_to_string(path).unwrap());
    }
    private.sort();
    let count = private.len();
    private.dedup();
    assert_eq!(private.len(), count, "all keys are different");
    // A lost key is created again, and the others stay.
    let (registry, gateway) =
        (dir.path().join("private/registry.pem"), dir.path().join("private/gateway.pem"));
    let (lost, other) = (fs::read_to_string(&registry).unwrap(), fs::read_to_string(&gateway).unwrap());
    fs::remove_file(&registry).unwrap();
    create_keys(dir.path());
    assert_ne!(fs::read_to_string(&registry).unwrap(), lost);
    assert_eq!(fs::read_to_string(&gateway).unwrap(), other);
}

#[test]
fn folder_that_cannot_be_created_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_nno")).args(["process-keys", "--dir"]).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.starts_with("nno: ") && errors.contains(file.to_str().unwrap()), "{errors}");
}
