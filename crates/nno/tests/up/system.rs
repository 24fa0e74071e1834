//! A system under test.

use std::{
    fs::{self, File, Permissions},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        statvfs::statvfs,
    },
    unistd::Pid,
};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout},
    time::{sleep, timeout},
};

const TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of memory that must be free for the folders of several systems.
const MIN_FREE_MEMORY: u64 = 4 << 30;
/// The user id of `nobody`.
const NOBODY: u32 = 65534;

/// Creates a folder in memory if enough is free. The tests kill processes but not the machine, so a disk is not needed.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let roomy =
        statvfs(memory).is_ok_and(|found| found.blocks_available() * found.fragment_size() > MIN_FREE_MEMORY);
    let in_memory = roomy.then(|| tempfile::tempdir_in(memory).ok()).flatten();
    in_memory.unwrap_or_else(|| tempfile::tempdir().unwrap())
}

/// A folder for one system and the user that runs it. Dropping it stops processes that still run there.
pub(crate) struct TestSystem {
    dir: TempDir,
    user: Option<u32>,
}

impl TestSystem {
    pub(crate) fn new() -> Self {
        let dir = folder();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        Self { dir, user: None }
    }

    /// A system that runs as `nobody`, from a copy of the program: `nobody` cannot read the build folder.
    pub(crate) fn owned_by_nobody() -> Self {
        let mut system = Self::new();
        system.user = Some(NOBODY);
        chown(system.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        let program = system.program();
        fs::copy(env!("CARGO_BIN_EXE_nno"), &program).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        system
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Path of the data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    fn program(&self) -> PathBuf {
        match self.user {
            Some(_) => self.path().join("nno"),
            None => PathBuf::from(env!("CARGO_BIN_EXE_nno")),
        }
    }

    /// Returns the command `nno up` on the data folder and any free port, without other settings.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(self.program());
        command.arg("up").current_dir(self.path());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("NNO_")) {
            command.env_remove(name);
        }
        command.env("NNO_DATA_DIR", self.data()).env("NNO_PORT", "0");
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// Starts a command without waiting for it.
    pub(crate) fn spawn(&self, command: Command) -> Up {
        self.spawn_with(command, Stdio::null())
    }

    pub(crate) fn spawn_with(&self, mut command: Command, stdin: Stdio) -> Up {
        let log = self.path().join("log");
        let stderr = File::options().create(true).append(true).open(&log).unwrap();
        command.stdin(stdin).stdout(Stdio::piped()).stderr(stderr);
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        Up { child, out, stdout: Vec::new(), url: String::new(), key: None, log, data: self.data() }
    }

    /// Starts the system and waits until it is ready.
    pub(crate) async fn start(&self) -> Up {
        self.start_with(self.command()).await
    }

    pub(crate) async fn start_with(&self, command: Command) -> Up {
        let mut up = self.spawn(command);
        up.wait_until_ready().await;
        up
    }

    /// Runs a command that must exit by itself.
    pub(crate) fn run_to_exit(&self, mut command: Command) -> Output {
        let began = Instant::now();
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(began.elapsed() < TIMEOUT);
        output
    }

    /// Returns the process id in PostgreSQL's pid file.
    pub(crate) fn postmaster(&self) -> Pid {
        let text = fs::read_to_string(self.data().join("postgres/cluster/postmaster.pid")).unwrap();
        Pid::from_raw(text.lines().next().unwrap().parse().unwrap())
    }

    /// Returns the names of the processes that use the data folder: as working directory, argument or variable.
    pub(crate) fn processes(&self) -> Vec<String> {
        let data = self.data();
        let uses_data = |process: &Path| {
            let content = |file| fs::read(process.join(file)).unwrap_or_default();
            let contains = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).contains(data.to_str().unwrap());
            let works_in = fs::read_link(process.join("cwd")).is_ok_and(|dir| dir.starts_with(&data));
            works_in || contains(content("cmdline")) || contains(content("environ"))
        };
        let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let users = processes.filter(|path| uses_data(path));
        users.map(|path| fs::read_to_string(path.join("comm")).unwrap_or_default()).collect()
    }
}

impl Drop for TestSystem {
    fn drop(&mut self) {
        let data = self.data();
        let ended = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(embedded_postgres::discard(&data))
        });
        let _ = ended.join();
    }
}

/// A running `nno up`.
pub(crate) struct Up {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    /// Lines of its stdout so far.
    pub(crate) stdout: Vec<String>,
    /// URL of the gateway.
    pub(crate) url: String,
    /// Key for requests, if it is not the operator's.
    pub(crate) key: Option<String>,
    log: PathBuf,
    data: PathBuf,
}

impl Up {
    pub(crate) async fn wait_until_ready(&mut self) {
        let ready = async {
            while let Some(line) = self.out.next_line().await.unwrap() {
                let url = line.strip_prefix("nno is ready: ").map(str::to_owned);
                self.stdout.push(line);
                if let Some(url) = url {
                    self.url = url;
                    return true;
                }
            }
            false
        };
        let ready = timeout(TIMEOUT, ready).await;
        assert_eq!(ready, Ok(true), "{:?}\n{}", self.stdout, self.log());
    }

    /// Returns its stderr so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Path of the file that its stderr is written to.
    pub(crate) fn log_path(&self) -> &Path {
        &self.log
    }

    /// Returns its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Returns a soft resource limit of the process.
    pub(crate) fn limit(&self, name: &str) -> u64 {
        let limits = fs::read_to_string(format!("/proc/{}/limits", self.pid())).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for the exit.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        timeout(TIMEOUT, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("the process does not exit: {}", self.log()))
            .unwrap()
    }

    /// Sends SIGTERM and waits for a successful exit.
    pub(crate) async fn stop(mut self) {
        self.send(Signal::SIGTERM);
        assert_eq!(self.wait().await.code(), Some(0), "{}", self.log());
    }

    /// Sends SIGKILL and waits for the exit.
    pub(crate) async fn kill(mut self) {
        self.send(Signal::SIGKILL);
        assert_eq!(self.wait().await.code(), None);
    }

    /// Returns the key in the data folder.
    pub(crate) fn operator_key(&self) -> String {
        fs::read_to_string(self.data.join("operator-key")).unwrap().trim().to_owned()
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let key = self.key.clone().unwrap_or_else(|| self.operator_key());
        self.request_with(&key, method, path)
    }

    fn request_with(&self, key: &str, method: Method, path: &str) -> RequestBuilder {
        let request = testkit::client().request(method, format!("{}{path}", self.url));
        request.bearer_auth(key).timeout(Duration::from_secs(10))
    }

    /// Returns a header of a response.
    pub(crate) async fn header(&self, path: &str, name: &str) -> String {
        let response = self.request(Method::GET, path).send().await.unwrap();
        response.headers()[name].to_str().unwrap().to_owned()
    }

    /// Sends a request and returns the status and the JSON body.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value), String> {
        Self::send_request(self.request(method, path), body).await
    }

    /// Sends a request with another key.
    pub(crate) async fn call_with_key(
        &self,
        key: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value), String> {
        Self::send_request(self.request_with(key, method, path), body).await
    }

    async fn send_request(request: RequestBuilder, body: Option<Value>) -> Result<(u16, Value), String> {
        let request = body.iter().fold(request, |request, body| request.json(body));
        let response = request.send().await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        Ok((status, response.json().await.map_err(|error| error.to_string())?))
    }

    /// Sends a GET, asserts status 200 and returns the body.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, None).await.unwrap();
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Creates a platform and returns its id.
    pub(crate) async fn create_platform(&self, slug: &str) -> String {
        let body = serde_json::json!({ "name": slug, "slug": slug });
        let (status, body) = self.call(Method::POST, "/api/v1/platforms", Some(body)).await.unwrap();
        assert_eq!(status, 201, "{body}");
        body["id"].as_str().unwrap().to_owned()
    }
}

/// Waits until the condition holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
