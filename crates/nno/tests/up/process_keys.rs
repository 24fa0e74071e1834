use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

fn make(dir: &Path) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_nno")).args(["process-keys", "--dir"]).arg(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_process_gets_a_key_and_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let said = make(dir.path());
    let mut private = Vec::new();
    for name in ["gateway", "registry", "stack-registry", "onboarding", "provisioning", "iam"] {
        assert!(said.contains(name), "{said}");
        let path = dir.path().join(format!("private/{name}.pem"));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(dir.path().join(format!("public/{name}.pem")).is_file());
        private.push(fs::read_to_string(path).unwrap());
    }
    private.sort();
    let made = private.len();
    private.dedup();
    assert_eq!(private.len(), made, "no two are alike");
    // One that is lost is made again, the others stay.
    let (registry, gateway) =
        (dir.path().join("private/registry.pem"), dir.path().join("private/gateway.pem"));
    let (lost, kept) = (fs::read_to_string(&registry).unwrap(), fs::read_to_string(&gateway).unwrap());
    fs::remove_file(&registry).unwrap();
    make(dir.path());
    assert_ne!(fs::read_to_string(&registry).unwrap(), lost);
    assert_eq!(fs::read_to_string(&gateway).unwrap(), kept);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_nno")).args(["process-keys", "--dir"]).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.starts_with("nno: ") && told.contains(file.to_str().unwrap()), "{told}");
}
