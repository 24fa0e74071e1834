//! A client generated from the OpenAPI document of the gateway.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use crate::system::TestSystem;

fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(folder).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {out}{err}");
    out.into_owned()
}

#[tokio::test]
async fn generated_client_compiles_and_works() {
    let folder = TempDir::new().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/client");
    for name in ["package.json", "package-lock.json", "tsconfig.json", "client.ts"] {
        fs::copy(source.join(name), folder.path().join(name)).unwrap();
    }
    run(folder.path(), "npm", &["ci", "--prefer-offline", "--no-audit", "--no-fund"]);

    let system = TestSystem::new();
    let up = system.start().await;
    let document = up.get("/openapi.json").await;
    fs::write(folder.path().join("openapi.json"), document.to_string()).unwrap();
    run(folder.path(), "npm", &["run", "generate"]);
    run(folder.path(), "npm", &["run", "build"]);
    let output = run(folder.path(), "node", &["client.js", &up.url, &up.operator_key()]);
    assert_eq!(output, "the client is usable\n");
    up.stop().await;
}
