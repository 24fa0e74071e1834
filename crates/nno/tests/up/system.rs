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

const PATIENCE: Duration = Duration::from_secs(60);
/// In bytes, for many systems at a time.
const MEMORY: u64 = 4 << 30;
/// The user id of `nobody`.
const NOBODY: u32 = 65534;

/// In memory, if there is enough of it: the processes die here and the machine does not, so nothing has to reach a disk.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let roomy = statvfs(memory).is_ok_and(|found| found.blocks_available() * found.fragment_size() > MEMORY);
    let in_memory = roomy.then(|| tempfile::tempdir_in(memory).ok()).flatten();
    in_memory.unwrap_or_else(|| tempfile::tempdir().unwrap())
}

/// A place for one system, and whose it is. Whatever still runs there is ended with it.
pub(crate) struct Place {
    dir: TempDir,
    user: Option<u32>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = folder();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        Self { dir, user: None }
    }

    /// One of `nobody`, who may not go where our build is.
    pub(crate) fn of_nobody() -> Self {
        let mut place = Self::new();
        place.user = Some(NOBODY);
        chown(place.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        let program = place.program();
        fs::copy(env!("CARGO_BIN_EXE_nno"), &program).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    fn program(&self) -> PathBuf {
        match self.user {
            Some(_) => self.path().join("nno"),
            None => PathBuf::from(env!("CARGO_BIN_EXE_nno")),
        }
    }

    /// `nno up` on the data folder and any free port, with nothing else set.
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

    /// Starts it, without waiting for anything.
    pub(crate) fn spawn(&self, command: Command) -> Up {
        self.spawn_with(command, Stdio::null())
    }

    pub(crate) fn spawn_with(&self, mut command: Command, stdin: Stdio) -> Up {
        let log = self.path().join("log");
        let stderr = File::options().create(true).append(true).open(&log).unwrap();
        command.stdin(stdin).stdout(Stdio::piped()).stderr(stderr);
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        Up { child, out, said: Vec::new(), url: String::new(), key: None, log, data: self.data() }
    }

    /// Starts it and waits until it says that it is ready.
    pub(crate) async fn up(&self) -> Up {
        self.up_with(self.command()).await
    }

    pub(crate) async fn up_with(&self, command: Command) -> Up {
        let mut up = self.spawn(command);
        up.wait_until_ready().await;
        up
    }

    /// Runs it to an end that must come by itself.
    pub(crate) fn refused(&self, mut command: Command) -> Output {
        let began = Instant::now();
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(began.elapsed() < PATIENCE);
        output
    }

    /// The process id that PostgreSQL keeps in its own file.
    pub(crate) fn postmaster(&self) -> Pid {
        let text = fs::read_to_string(self.data().join("postgres/cluster/postmaster.pid")).unwrap();
        Pid::from_raw(text.lines().next().unwrap().parse().unwrap())
    }

    /// The processes that have to do with the data folder: PostgreSQL's work in it, ours were told it.
    pub(crate) fn processes(&self) -> Vec<String> {
        let data = self.data();
        let is_ours = |process: &Path| {
            let told = |file| fs::read(process.join(file)).unwrap_or_default();
            let contains = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).contains(data.to_str().unwrap());
            let works_in = fs::read_link(process.join("cwd")).is_ok_and(|dir| dir.starts_with(&data));
            works_in || contains(told("cmdline")) || contains(told("environ"))
        };
        let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let ours = processes.filter(|path| is_ours(path));
        ours.map(|path| fs::read_to_string(path.join("comm")).unwrap_or_default()).collect()
    }
}

impl Drop for Place {
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
    /// What it has said on stdout.
    pub(crate) said: Vec<String>,
    /// Where the gateway is.
    pub(crate) url: String,
    /// Whose key asks, unless it is the operator's.
    pub(crate) key: Option<String>,
    log: PathBuf,
    data: PathBuf,
}

impl Up {
    pub(crate) async fn wait_until_ready(&mut self) {
        let ready = async {
            while let Some(line) = self.out.next_line().await.unwrap() {
                let url = line.strip_prefix("nno is ready: ").map(str::to_owned);
                self.said.push(line);
                if let Some(url) = url {
                    self.url = url;
                    return true;
                }
            }
            false
        };
        let ready = timeout(PATIENCE, ready).await;
        assert_eq!(ready, Ok(true), "{:?}\n{}", self.said, self.log());
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Path of the file that its stderr is written to.
    pub(crate) fn log_path(&self) -> &Path {
        &self.log
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// A limit of the process, as the system tells it: the soft one.
    pub(crate) fn limit(&self, name: &str) -> u64 {
        let limits = fs::read_to_string(format!("/proc/{}/limits", self.pid())).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("it goes on: {}", self.log()))
            .unwrap()
    }

    /// Stops it in order.
    pub(crate) async fn stop(mut self) {
        self.send(Signal::SIGTERM);
        assert_eq!(self.ended().await.code(), Some(0), "{}", self.log());
    }

    /// Kills it.
    pub(crate) async fn kill(mut self) {
        self.send(Signal::SIGKILL);
        assert_eq!(self.ended().await.code(), None);
    }

    /// The key that it keeps.
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

    /// A header of an answer.
    pub(crate) async fn header(&self, path: &str, name: &str) -> String {
        let answer = self.request(Method::GET, path).send().await.unwrap();
        answer.headers()[name].to_str().unwrap().to_owned()
    }

    /// The status and body that is answered; an error if nothing answers.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value), String> {
        Self::answer_to(self.request(method, path), body).await
    }

    /// The same, with another key.
    pub(crate) async fn ask_with(
        &self,
        key: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value), String> {
        Self::answer_to(self.request_with(key, method, path), body).await
    }

    async fn answer_to(request: RequestBuilder, body: Option<Value>) -> Result<(u16, Value), String> {
        let request = body.iter().fold(request, |request, body| request.json(body));
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await.map_err(|error| error.to_string())?))
    }

    /// The body of a 200.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(Method::GET, path, None).await.unwrap();
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Makes a platform; answers its id.
    pub(crate) async fn make_platform(&self, slug: &str) -> String {
        let body = serde_json::json!({ "name": slug, "slug": slug });
        let (status, body) = self.ask(Method::POST, "/api/v1/platforms", Some(body)).await.unwrap();
        assert_eq!(status, 201, "{body}");
        body["id"].as_str().unwrap().to_owned()
    }
}

/// Waits for something that comes to hold.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
