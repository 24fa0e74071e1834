//! Git repositories: bare, with the starter as first commit, created with the installed `git`.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::identity;
use super::root_dir::{LockedTarget, TargetPaths, file_url};
use crate::providers::error_context::ErrorContext as _;
use crate::providers::starter::Starter;
use crate::providers::{ObservedState, ProviderError};

/// Branch of the first commit.
const BRANCH: &str = "main";

/// Environment variables that would change the behaviour of git.
const LOCAL_VARIABLES: [&str; 17] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_GRAFT_FILE",
    "GIT_REPLACE_REF_BASE",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
    "GIT_TEMPLATE_DIR",
    "GIT_DEFAULT_HASH",
    "GIT_DEFAULT_REF_FORMAT",
];

/// The installed `git`, isolated from the configuration of the user.
#[derive(Clone, Debug)]
pub(super) struct Git {
    /// Path or name of the program.
    pub(super) program: PathBuf,
    /// Folder without a git configuration.
    pub(super) home: PathBuf,
}

impl Git {
    /// Creates the locked repository from `starter`. A repository that has a commit is not changed.
    pub(super) fn ensure(
        &self,
        target: &LockedTarget,
        starter: &Starter,
        now: i64,
    ) -> Result<ObservedState, ProviderError> {
        target.build(|folder| {
            // No template, so no hooks; and SHA-1 regardless of the default of the git version.
            let branch = format!("--initial-branch={BRANCH}");
            let init = ["init", "--quiet", "--bare", "--object-format=sha1", "--template=", &branch];
            self.change(target, folder, &init, b"")?;
            self.commit(target, folder, starter)?;
            identity::claim(folder, now).map(drop)
        })?;
        let paths = target.paths();
        if self.head(&paths.folder)?.is_none() {
            self.commit(target, &paths.folder, starter)?;
        }
        identity::claim(&paths.folder, now)?;
        self.observe(paths)?.ok_or_else(|| paths.missing())
    }

    /// Returns the state of the repository, or `None` if it does not exist.
    pub(super) fn observe(&self, paths: &TargetPaths) -> Result<Option<ObservedState>, ProviderError> {
        let observe = || {
            let Some(id) = identity::read(&paths.folder)? else { return Ok(None) };
            let head = self.head(&paths.folder)?;
            let details = serde_json::json!({
                "branch": BRANCH,
                "head": head,
                "path": paths.folder,
                "createdAt": id.created_at,
            });
            Ok(Some(ObservedState { url: file_url(&paths.folder), ..ObservedState::new(id.id, details) }))
        };
        match observe() {
            // The repository was removed concurrently.
            Err(_) if !paths.exists()? => Ok(None),
            other => other,
        }
    }

    /// Returns the id of the latest commit, if there is one.
    fn head(&self, repository: &Path) -> Result<Option<String>, ProviderError> {
        let reference = format!("refs/heads/{BRANCH}");
        let found = self.run(
            repository,
            &["for-each-ref", "--format=%(objectname)", &reference],
            b"",
            Stdio::piped(),
        )?;
        Ok(Some(found.trim().to_owned()).filter(|id| !id.is_empty()))
    }

    /// Commits the starter as the first commit of the branch. The same starter gives the same commit id.
    fn commit(
        &self,
        target: &LockedTarget,
        repository: &Path,
        starter: &Starter,
    ) -> Result<(), ProviderError> {
        self.change(target, repository, &["fast-import", "--quiet", "--done"], &stream(starter)?)
    }

    /// Runs a git command that changes the locked repository and prints nothing.
    ///
    /// Git inherits the lock of the target in place of its standard output. If this process is killed, the lock stays
    /// held until git exits, so that nothing else changes the repository meanwhile.
    fn change(
        &self,
        target: &LockedTarget,
        repository: &Path,
        arguments: &[&str],
        input: &[u8],
    ) -> Result<(), ProviderError> {
        let lock = target.share().during(|| "sharing the lock with git".to_owned())?;
        self.run(repository, arguments, input, lock).map(drop)
    }

    /// Runs git on a repository and returns its output if `output` is a pipe.
    fn run(
        &self,
        repository: &Path,
        arguments: &[&str],
        input: &[u8],
        output: Stdio,
    ) -> Result<String, ProviderError> {
        let mut child = self
            .command(repository)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| self.cannot_start(&e))?;
        let operation = || format!("git {}", arguments.join(" "));
        // Git reads all its input before it writes much output. If it stops reading early, it reports the reason at
        // exit.
        let written = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(input));
        let output = child.wait_with_output().during(operation)?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            return Err(ProviderError::retryable(format!(
                "{}: {}: {}",
                operation(),
                output.status,
                message.trim()
            )));
        }
        written.during(operation)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Returns a command that runs git on a repository with a minimal environment.
    fn command(&self, repository: &Path) -> Command {
        let mut command = Command::new(&self.program);
        for variable in LOCAL_VARIABLES {
            command.env_remove(variable);
        }
        command
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", &self.home)
            .env("XDG_CONFIG_HOME", &self.home)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .current_dir(&self.home)
            // The folder may belong to another user, for example when a container mounts it.
            .args(["-c", "safe.directory=*", "-c", "core.fsync=all"])
            .arg("--git-dir")
            .arg(repository);
        command
    }

    fn cannot_start(&self, error: &io::Error) -> ProviderError {
        let program = self.program.display();
        match error.kind() {
            io::ErrorKind::NotFound => {
                ProviderError::permanent(format!("{program} was not found; install the package `git`"))
            }
            io::ErrorKind::PermissionDenied => ProviderError::permanent(format!("{program}: {error}")),
            _ => ProviderError::retryable(format!("{program}: {error}")),
        }
    }
}

/// Returns the first commit in the input format of `git fast-import`.
fn stream(starter: &Starter) -> Result<Vec<u8>, ProviderError> {
    let author = starter.author();
    let signature = format!("{} <{}> {} +0000", author.name.trim(), author.email, starter.committed_at());
    let message = starter.message();
    let mut text =
        format!("feature done\ncommit refs/heads/{BRANCH}\nauthor {signature}\ncommitter {signature}\n");
    // Writing to a String cannot fail.
    let _ = write!(text, "data {}\n{message}\n", message.len());
    let mut stream = text.into_bytes();
    for (path, content) in starter.files()? {
        stream.extend_from_slice(format!("M 100644 inline {path}\ndata {}\n", content.len()).as_bytes());
        stream.extend_from_slice(&content);
        stream.push(b'\n');
    }
    stream.extend_from_slice(b"done\n");
    Ok(stream)
}
