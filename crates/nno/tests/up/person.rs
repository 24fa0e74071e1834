//! Someone who types `nno` commands.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// A home folder, and nothing else set but what is said.
pub(crate) struct Person {
    home: TempDir,
    set: Vec<(String, String)>,
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Person {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), set: Vec::new() }
    }

    /// The same with a variable set.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.set.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.unset(name);
        self.set.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.set.retain(|(set, _)| set != name);
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where keys are kept.
    pub(crate) fn credentials(&self) -> PathBuf {
        self.home().join(".config/nno/credentials.json")
    }

    pub(crate) fn kept(&self) -> Value {
        serde_json::from_slice(&fs::read(self.credentials()).unwrap()).unwrap()
    }

    pub(crate) fn let_others_read(&self, mode: u32) {
        fs::set_permissions(self.credentials(), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A command, which is not run yet. It finds `nno`.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.home()).current_dir(self.home());
        let own = Path::new(env!("CARGO_BIN_EXE_nno")).parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&path))).unwrap();
        command.env("PATH", path);
        command.envs(self.set.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn nno(&self, args: &[&str]) -> Said {
        self.nno_given(args, "")
    }

    /// With something on standard input.
    pub(crate) fn nno_given(&self, args: &[&str], input: &str) -> Said {
        let mut command = self.command(env!("CARGO_BIN_EXE_nno"));
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that does not read it may have ended.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap().into()
    }

    /// What it says when it ends well, and says nothing else.
    pub(crate) fn told(&self, args: &[&str]) -> String {
        let Said { code, out, err } = self.nno(args);
        assert_eq!((code, err.as_str()), (0, ""), "{args:?}: {out}");
        out
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let text = self.told(&[args, &["--output", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
    }

    pub(crate) fn log_in(&self, url: &str, key: &str) {
        let Said { code, out, err } = self.nno_given(&["login", "--url", url, "--key-stdin"], key);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
    }
}

/// Who may do what with a file or folder.
pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// All that is still to be read.
pub(crate) fn rest(mut from: impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text
}
