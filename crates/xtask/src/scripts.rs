//! The scripts that project tasks run.

use std::{env, ffi::OsString, path::Path, process::Command};

use anyhow::{Context, Result, ensure};

pub(crate) const FUZZ: &str = "scripts/fuzz";
pub(crate) const BENCH: &str = "scripts/bench";
pub(crate) const CHECK_DOCS: &str = "scripts/check-docs";
pub(crate) const CHECK_GENERATOR: &str = "scripts/check-generator";
pub(crate) const CI: &str = ".ci/run";

/// Variables that `cargo run` sets for this package. Build scripts of dependencies track them, so a script that inherited
/// them would build those dependencies again.
const OF_THIS_PACKAGE: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// Runs a script of the project with the given arguments and waits for it.
///
/// # Errors
/// When the script cannot be started or fails.
pub(crate) fn run(root: &Path, script: &str, args: &[OsString]) -> Result<()> {
    let mut command = Command::new(root.join(script));
    command.args(args).current_dir(root);
    for (name, _) in env::vars_os() {
        if OF_THIS_PACKAGE.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    let status = command.status().with_context(|| format!("Cannot start {script}."))?;
    ensure!(status.success(), "{script} failed: {status}.");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn every_script_is_executable() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for script in [FUZZ, BENCH, CHECK_DOCS, CHECK_GENERATOR, CI] {
            let mode = fs::metadata(root.join(script)).unwrap().permissions().mode();
            assert_eq!(mode & 0o111, 0o111, "{script} is not executable.");
        }
    }

    #[test]
    fn failing_script_is_an_error() {
        let root = Path::new("/");
        run(root, "bin/true", &[]).unwrap();
        let error = run(root, "bin/false", &[]).unwrap_err();
        assert!(error.to_string().starts_with("bin/false failed: "), "{error}");
    }
}
