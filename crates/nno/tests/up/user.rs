//! A user of `nno` commands.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// A home folder and the only environment variables that are set.
pub(crate) struct User {
    home: TempDir,
    variables: Vec<(String, String)>,
}

/// Exit code and output of a command.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for CommandOutput {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl User {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    /// Sets a variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.unset(name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.variables.retain(|(set, _)| set != name);
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Path of the stored credentials.
    pub(crate) fn credentials(&self) -> PathBuf {
        self.home().join(".config/nno/credentials.json")
    }

    /// Returns the stored credentials.
    pub(crate) fn stored(&self) -> Value {
        serde_json::from_slice(&fs::read(self.credentials()).unwrap()).unwrap()
    }

    pub(crate) fn set_credentials_mode(&self, mode: u32) {
        fs::set_permissions(self.credentials(), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Returns a command that is not started yet. Its PATH includes `nno`.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.home()).current_dir(self.home());
        let own = Path::new(env!("CARGO_BIN_EXE_nno")).parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&path))).unwrap();
        command.env("PATH", path);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn nno(&self, args: &[&str]) -> CommandOutput {
        self.nno_with_stdin(args, "")
    }

    /// Runs `nno` with this text on stdin.
    pub(crate) fn nno_with_stdin(&self, args: &[&str], input: &str) -> CommandOutput {
        let mut command = self.command(env!("CARGO_BIN_EXE_nno"));
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that does not read stdin may have exited.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap().into()
    }

    /// Runs `nno`, asserts that it succeeds without messages on stderr, and returns its stdout.
    pub(crate) fn stdout_of(&self, args: &[&str]) -> String {
        let CommandOutput { code, out, err } = self.nno(args);
        assert_eq!((code, err.as_str()), (0, ""), "{args:?}: {out}");
        out
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let text = self.stdout_of(&[args, &["--output", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
    }

    pub(crate) fn log_in(&self, url: &str, key: &str) {
        let CommandOutput { code, out, err } =
            self.nno_with_stdin(&["login", "--url", url, "--key-stdin"], key);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
    }
}

/// Returns the permission bits of a file or folder.
pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Reads to the end.
pub(crate) fn rest(mut from: impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text
}
