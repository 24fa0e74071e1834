//! Messages for the person who runs `nno up`.
//!
//! On a terminal, stdout shows a line for each step with its duration, then a summary and notices, and log lines stay in
//! the log file unless `--log-requests` is given. Elsewhere stdout has the few lines that scripts read, and stderr has
//! the log.

use std::{
    env,
    fmt::{self, Display},
    io::{self, IsTerminal, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use anstyle::Style;
use anyhow::Result;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const RED: Style = anstyle::AnsiColor::Red.on_default();
/// Columns that the label of a step takes.
const LABEL_WIDTH: usize = 36;

/// The person's view of this process. Clones share the output.
#[derive(Debug, Clone)]
pub(crate) struct Console(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    is_terminal: bool,
    logs_to_stderr: bool,
    /// True while the last line of the terminal is the label of a step in progress.
    line_is_open: Mutex<bool>,
}

/// Addresses and files that the person needs once the system runs.
#[derive(Debug)]
pub(crate) struct Summary<'a> {
    pub(crate) front: SocketAddr,
    /// File with the operator's key, if the key is not from the environment or an option.
    pub(crate) key_file: Option<&'a Path>,
    pub(crate) log_file: &'a Path,
}

impl Console {
    pub(crate) fn new(log_requests: bool) -> Self {
        let is_terminal = io::stdout().is_terminal();
        Self(Arc::new(Inner {
            is_terminal,
            logs_to_stderr: log_requests || !is_terminal,
            line_is_open: Mutex::new(false),
        }))
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.0.is_terminal
    }

    /// True if log lines also go to stderr.
    pub(crate) fn logs_to_stderr(&self) -> bool {
        self.0.logs_to_stderr
    }

    /// Prints a line, on a terminal or not.
    pub(crate) fn line(&self, text: impl Display) {
        self.print(format_args!("{text}\n"));
    }

    /// Prints a line only for scripts: on a terminal the summary has the same fact.
    pub(crate) fn script_line(&self, text: impl Display) {
        if !self.0.is_terminal {
            self.line(text);
        }
    }

    /// Prints a line only on a terminal: elsewhere the log has the same fact.
    pub(crate) fn notice(&self, text: impl Display) {
        if self.0.is_terminal {
            self.line(text);
        }
    }

    /// Runs `work` and shows it on a terminal as one line with its duration.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) async fn step<T>(
        &self,
        label: impl Display,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        if !self.0.is_terminal {
            return work.await;
        }
        let label = format!("  {:<LABEL_WIDTH$}", label.to_string());
        // Log lines would break a line that is not finished.
        if !self.0.logs_to_stderr {
            self.print(format_args!("{label}..."));
            *self.line_is_open() = true;
        }
        let began = Instant::now();
        let outcome = work.await;
        let (style, result) = match &outcome {
            Ok(_) => (DIM, format!("{:>5.1} s", began.elapsed().as_secs_f64())),
            Err(_) => (RED, " failed".to_owned()),
        };
        if std::mem::take(&mut *self.line_is_open()) {
            self.print(format_args!("\r"));
        }
        self.print(format_args!("{label}{style}{result}{style:#}\n"));
        outcome
    }

    /// Prints that the system is ready. A terminal also shows where to find it and what to type next.
    pub(crate) fn ready(&self, summary: &Summary<'_>) {
        self.notice("");
        self.line(format_args!("nno is ready: http://{}", summary.front));
        self.notice(summary);
    }

    fn print(&self, text: fmt::Arguments<'_>) {
        let mut line_is_open = self.line_is_open();
        let mut out = anstream::stdout().lock();
        if std::mem::take(&mut *line_is_open) {
            let _ = out.write_all(b"\n");
        }
        // The reader may be gone, which must not end the system.
        let _ = out.write_fmt(text).and_then(|()| out.flush());
    }

    fn line_is_open(&self) -> MutexGuard<'_, bool> {
        self.0.line_is_open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = format!("http://{}", reachable(self.front));
        let key = match self.key_file {
            Some(path) => path.display().to_string(),
            None => "the one that was given (NNO_OPERATOR_KEY)".to_owned(),
        };
        writeln!(f)?;
        for (name, value) in [
            ("API", format!("{url}/api/v1")),
            ("Documentation", format!("{url}/docs")),
            ("Operator key", key),
            ("Log", self.log_file.display().to_string()),
        ] {
            writeln!(f, "  {BOLD}{name:<15}{BOLD:#}{value}")?;
        }
        let key_file = self.key_file.map(|path| format!(" --key-file {}", quoted(path))).unwrap_or_default();
        writeln!(f, "\nNext, in another terminal:\n")?;
        writeln!(f, "  {BOLD}{} login --url {url}{key_file}{BOLD:#}\n", program())?;
        write!(f, "Press Ctrl-C to stop. All data is kept.")
    }
}

/// An address that a client on this machine can connect to.
pub(crate) fn reachable(mut front: SocketAddr) -> SocketAddr {
    match front.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => front.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => front.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    front
}

/// The word that starts this program in a shell: its name if the shell finds it, else its path.
fn program() -> String {
    let Ok(program) = env::current_exe().and_then(|path| path.canonicalize()) else {
        return "nno".to_owned();
    };
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|dir| dir.join("nno")).find(|path| path.is_file());
    match found.and_then(|path| path.canonicalize().ok()) {
        Some(path) if path == program => "nno".to_owned(),
        _ => quoted(&program),
    }
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_has_an_address_that_can_be_called_and_a_command_that_can_be_pasted() {
        let key_file = Path::new("/data of me/operator-key");
        let summary = Summary {
            front: "0.0.0.0:8080".parse().unwrap(),
            key_file: Some(key_file),
            log_file: Path::new("/data of me/logs/nno.log"),
        };
        let text = summary.to_string();
        assert!(text.contains("http://127.0.0.1:8080/docs\n"), "{text}");
        assert!(
            text.contains("login --url http://127.0.0.1:8080 --key-file '/data of me/operator-key'"),
            "{text}"
        );
        let given = Summary { key_file: None, front: "[::]:80".parse().unwrap(), ..summary };
        let text = given.to_string();
        assert!(text.contains("http://[::1]:80/api/v1\n") && !text.contains("--key-file"), "{text}");
    }

    #[test]
    fn quoted_path_is_one_word() {
        for (path, word) in [("/a/b-c_d.e", "/a/b-c_d.e"), ("/a b", "'/a b'"), ("/it's", r"'/it'\''s'")] {
            assert_eq!(quoted(Path::new(path)), word);
        }
    }
}
