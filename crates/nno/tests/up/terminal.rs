//! `nno up` on a terminal, and without one.

use std::{
    fs::{self, File},
    io::Read,
    path::PathBuf,
    process::{Child, Command},
    sync::{Arc, Mutex},
    thread,
};

use nix::{
    pty::{OpenptyResult, openpty},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    system::{TestSystem, eventually},
    user::mode,
};

/// `nno up` with its three streams on a pseudo-terminal.
struct OnTerminal {
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl OnTerminal {
    fn spawn(mut command: Command) -> Self {
        let OpenptyResult { master, slave } = openpty(None, None).unwrap();
        let slave = File::from(slave);
        command.env("TERM", "xterm").stdin(slave.try_clone().unwrap());
        command.stdout(slave.try_clone().unwrap()).stderr(slave);
        let child = command.spawn().unwrap();
        // The command holds the terminal open otherwise, and the reader would not end.
        drop(command);
        let shown = Arc::<Mutex<Vec<u8>>>::default();
        let (mut master, sink) = (File::from(master), Arc::clone(&shown));
        thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(length @ 1..) = master.read(&mut some) {
                sink.lock().unwrap().extend_from_slice(&some[..length]);
            }
        });
        Self { child, shown }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).replace("\r\n", "\n")
    }

    async fn wait_until_shown(&mut self, text: &str) {
        eventually(text, async || {
            assert_eq!(self.child.try_wait().unwrap(), None, "{}", self.shown());
            self.shown().contains(text)
        })
        .await;
    }

    /// Returns the ready URL.
    async fn wait_until_ready(&mut self) -> String {
        self.wait_until_shown("Press Ctrl-C to stop").await;
        let shown = self.shown();
        let url = shown.lines().find_map(|line| line.strip_prefix("nno is ready: "));
        url.unwrap_or_else(|| panic!("{shown}")).to_owned()
    }

    async fn stop(mut self) -> String {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        eventually("it ends", async || self.child.try_wait().unwrap().is_some()).await;
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{}", self.shown());
        self.shown()
    }
}

fn log_file(system: &TestSystem) -> PathBuf {
    system.data().join("logs/nno.log")
}

/// Asserts that the text consists of JSON log lines, and that some of them describe requests.
fn assert_log_lines(text: &str) {
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(lines.iter().any(|line| line["spans"][0]["name"] == "http"), "{text}");
}

async fn send_request(url: &str) {
    let request = testkit::client().get(format!("{url}/api/v1/platforms"));
    assert_eq!(request.send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn terminal_shows_steps_and_the_next_command_without_log_lines() {
    let system = TestSystem::new();
    let mut command = system.command();
    command.env("NO_COLOR", "1");
    let mut up = OnTerminal::spawn(command);
    let url = up.wait_until_ready().await;
    send_request(&url).await;
    eventually("the request is logged", async || {
        fs::read_to_string(log_file(&system)).is_ok_and(|text| text.contains("/api/v1/platforms"))
    })
    .await;

    let shown = up.shown();
    for step in ["Starting PostgreSQL", "Migrating registry", "Starting registry", "Starting gateway"] {
        let line =
            shown.lines().find(|line| line.contains(step)).unwrap_or_else(|| panic!("{step}: {shown}"));
        assert!(line.ends_with(" s"), "{line:?} has a duration");
    }
    let data = system.data().canonicalize().unwrap();
    let key_file = data.join("operator-key");
    for (name, value) in [
        ("API", format!("{url}/api/v1")),
        ("Documentation", format!("{url}/docs")),
        ("Operator key", key_file.display().to_string()),
        ("Log", data.join("logs/nno.log").display().to_string()),
    ] {
        assert!(shown.contains(&format!("\n  {name:<15}{value}\n")), "{name}: {shown}");
    }
    assert!(shown.contains(&format!(" login --url {url} --key-file {}\n", key_file.display())), "{shown}");
    assert!(!shown.contains('{') && !shown.contains('\u{1b}'), "neither JSON nor colours: {shown}");
    assert!(!shown.contains(fs::read_to_string(&key_file).unwrap().trim()), "the key is not shown");
    assert_log_lines(&fs::read_to_string(log_file(&system)).unwrap());

    let shown = up.stop().await;
    assert!(shown.contains("Stopping. Press Ctrl-C again") && shown.ends_with("Stopped.\n"), "{shown}");
    assert_eq!(system.processes(), [""; 0]);
}

#[tokio::test]
async fn log_requests_shows_log_lines_on_the_terminal() {
    let system = TestSystem::new();
    let mut command = system.command();
    command.arg("--log-requests").env_remove("NO_COLOR");
    let mut up = OnTerminal::spawn(command);
    let url = up.wait_until_ready().await;
    send_request(&url).await;
    up.wait_until_shown("/api/v1/platforms").await;
    let shown = up.stop().await;
    assert!(shown.contains('\u{1b}'), "colours on a terminal: {shown}");
    let (json, other): (Vec<&str>, Vec<&str>) = shown.lines().partition(|line| line.starts_with('{'));
    assert_log_lines(&json.join("\n"));
    assert!(other.iter().any(|line| line.contains("Migrating registry")), "{other:?}");
    assert!(other.contains(&format!("nno is ready: {url}").as_str()), "{other:?}");
}

#[tokio::test]
async fn without_a_terminal_log_lines_go_to_stderr_and_the_log_file() {
    let system = TestSystem::new();
    let up = system.start().await;
    send_request(&up.url).await;
    eventually("the request is logged", async || up.log().contains("/api/v1/platforms")).await;
    let (data, ready) = (system.data().canonicalize().unwrap(), format!("nno is ready: {}", up.url));
    let expected = [
        format!("data folder: {}", data.display()),
        format!("operator key: in {}/operator-key", data.display()),
        ready,
    ];
    assert_eq!(up.stdout, expected);
    let key = up.operator_key();
    let path = up.log_path().to_owned();
    up.stop().await;
    let (stderr, file) = (fs::read_to_string(path).unwrap(), fs::read_to_string(log_file(&system)).unwrap());
    assert_log_lines(&stderr);
    assert_eq!(file.lines().count(), stderr.lines().count());
    assert!(!file.contains(&key) && !stderr.contains(&key));
    assert_eq!((mode(&data.join("logs")), mode(&log_file(&system))), (0o700, 0o600));
}
