//! Git repositories: bare, with one commit of the starter, made with the system's `git`.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::identity;
use super::place::{Held, Spot, file_url};
use crate::providers::fault::ErrorContext as _;
use crate::providers::starter::Starter;
use crate::providers::{ObservedState, ProviderError};

/// The branch the first commit is on.
const BRANCH: &str = "main";

/// What git would let the environment of this process decide.
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

/// The system's `git`, deaf to the configuration of whoever runs this program.
#[derive(Clone, Debug)]
pub(super) struct Git {
    /// The program to run.
    pub(super) program: PathBuf,
    /// A folder without a configuration of git.
    pub(super) home: PathBuf,
}

impl Git {
    /// Makes the held repository from `starter`; one that has a commit is left as it is.
    pub(super) fn ensure(
        &self,
        held: &Held,
        starter: &Starter,
        now: i64,
    ) -> Result<ObservedState, ProviderError> {
        held.build(|folder| {
            // Nothing but what is asked for: no hooks, and the hash whatever a later git prefers.
            let branch = format!("--initial-branch={BRANCH}");
            let init = ["init", "--quiet", "--bare", "--object-format=sha1", "--template=", &branch];
            self.change(held, folder, &init, b"")?;
            self.commit(held, folder, starter)?;
            identity::claim(folder, now).map(drop)
        })?;
        let spot = held.spot();
        if self.head(&spot.folder)?.is_none() {
            self.commit(held, &spot.folder, starter)?;
        }
        identity::claim(&spot.folder, now)?;
        self.observe(spot)?.ok_or_else(|| spot.missing())
    }

    /// What is in the repository, or `None` if there is none.
    pub(super) fn observe(&self, spot: &Spot) -> Result<Option<ObservedState>, ProviderError> {
        let look = || {
            let Some(id) = identity::read(&spot.folder)? else { return Ok(None) };
            let head = self.head(&spot.folder)?;
            let details = serde_json::json!({
                "branch": BRANCH,
                "head": head,
                "path": spot.folder,
                "createdAt": id.created_at,
            });
            Ok(Some(ObservedState { url: file_url(&spot.folder), ..ObservedState::new(id.id, details) }))
        };
        match look() {
            // It was removed while being looked at.
            Err(_) if !spot.exists()? => Ok(None),
            other => other,
        }
    }

    /// The id of the latest commit, if there is one.
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

    /// Commits the starter as the first commit of the branch. The same starter gives the same id.
    fn commit(&self, held: &Held, repository: &Path, starter: &Starter) -> Result<(), ProviderError> {
        self.change(held, repository, &["fast-import", "--quiet", "--done"], &stream(starter)?)
    }

    /// Runs a git that changes the held repository and has nothing to say.
    ///
    /// It holds the target as well, in place of its standard output: were this process killed, git would go on, and
    /// nobody may touch the repository before it is done.
    fn change(
        &self,
        held: &Held,
        repository: &Path,
        arguments: &[&str],
        input: &[u8],
    ) -> Result<(), ProviderError> {
        let lock = held.share().during(|| "sharing the lock with git".to_owned())?;
        self.run(repository, arguments, input, lock).map(drop)
    }

    /// Runs git on one repository; what it says, if `output` is a pipe.
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
        let what = || format!("git {}", arguments.join(" "));
        // Git reads all of its input before it has much to say. One that stops reading says why on its way out.
        let written = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(input));
        let output = child.wait_with_output().during(what)?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(ProviderError::retryable(format!("{}: {}: {}", what(), output.status, words.trim())));
        }
        written.during(what)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Git on one repository, with nothing of the environment but what it needs to be found.
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
            // The folder may belong to another user, as when a container mounts it.
            .args(["-c", "safe.directory=*", "-c", "core.fsync=all"])
            .arg("--git-dir")
            .arg(repository);
        command
    }

    fn cannot_start(&self, error: &io::Error) -> ProviderError {
        let program = self.program.display();
        match error.kind() {
            io::ErrorKind::NotFound => {
                ProviderError::permanent(format!("{program} was not found: install the package `git`"))
            }
            io::ErrorKind::PermissionDenied => ProviderError::permanent(format!("{program}: {error}")),
            _ => ProviderError::retryable(format!("{program}: {error}")),
        }
    }
}

/// The first commit in the language of `git fast-import`.
fn stream(starter: &Starter) -> Result<Vec<u8>, ProviderError> {
    let author = starter.author();
    let who = format!("{} <{}> {} +0000", author.name.trim(), author.email, starter.committed_at());
    let message = starter.message();
    let mut text = format!("feature done\ncommit refs/heads/{BRANCH}\nauthor {who}\ncommitter {who}\n");
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
