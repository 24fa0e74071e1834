//! `nno login` on a terminal.

use std::{
    fs::File,
    io::{Read, Write},
    process::{Child, ChildStderr, Stdio},
    thread,
    time::Duration,
};

use nix::{
    pty::{OpenptyResult, openpty},
    sys::{
        signal::{Signal, kill},
        termios::{LocalFlags, tcgetattr},
    },
    unistd::Pid,
};

use crate::{
    system::TestSystem,
    user::{CommandOutput, User, rest},
};

/// A command that prompts on its terminal.
struct Prompting {
    /// The side of the user: keystrokes are written to it, and the display is read from it.
    keyboard: File,
    /// The side of the command.
    terminal: File,
    child: Child,
    err: ChildStderr,
}

impl Prompting {
    /// Starts the command and waits for its question.
    fn start(user: &User, url: &str) -> Self {
        let OpenptyResult { master, slave } = openpty(None, None).unwrap();
        let terminal = File::from(slave);
        let mut command = user.command(env!("CARGO_BIN_EXE_nno"));
        command.args(["login", "--url", url]).stdin(terminal.try_clone().unwrap());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let question = format!("Key for {url}: ");
        let mut err = child.stderr.take().unwrap();
        let mut prompt = vec![0; question.len()];
        err.read_exact(&mut prompt).unwrap();
        assert_eq!(String::from_utf8(prompt).unwrap(), question);
        Self { keyboard: File::from(master), terminal, child, err }
    }

    fn echoes(&self) -> bool {
        tcgetattr(&self.terminal).unwrap().local_flags.contains(LocalFlags::ECHO)
    }

    /// Waits for the exit. Returns the output of the command and the display of the terminal.
    fn wait(mut self) -> (CommandOutput, String) {
        let code = self.child.wait().unwrap().code().unwrap();
        assert!(self.echoes(), "the echo is on again");
        let (out, err) = (rest(self.child.stdout.take().unwrap()), rest(self.err));
        // A marker, so that the reads below end.
        writeln!(self.keyboard, "end").unwrap();
        let mut display = String::new();
        while !display.contains("end") {
            let mut buffer = [0; 256];
            let length = self.keyboard.read(&mut buffer).unwrap();
            display += std::str::from_utf8(&buffer[..length]).unwrap();
        }
        (CommandOutput { code, out, err }, display)
    }
}

#[tokio::test]
async fn typed_key_is_not_displayed() {
    let system = TestSystem::new();
    let up = system.start().await;
    let (user, key) = (User::new(), up.operator_key());
    let mut login = Prompting::start(&user, &up.url);
    assert!(!login.echoes());
    writeln!(login.keyboard, "{key}").unwrap();
    let (output, display) = login.wait();
    assert_eq!((output.code, output.out), (0, format!("Logged in to {} as operator.\n", up.url)));
    assert_eq!((output.err.as_str(), display.trim()), ("\n", "end"), "the key is not displayed");
    assert_eq!(user.nno(&["whoami"]).code, 0);
    up.stop().await;
}

#[test]
fn echo_is_restored_in_every_case() {
    let (user, nowhere) = (User::new(), "http://127.0.0.1:9");
    let mut login = Prompting::start(&user, nowhere);
    writeln!(login.keyboard).unwrap();
    let (output, _) = login.wait();
    assert!(output.code == 2 && output.err.contains("no key was typed"), "{output:?}");

    let login = Prompting::start(&user, nowhere);
    let process = Pid::from_raw(login.child.id().try_into().unwrap());
    // The command has to install its signal handler first.
    thread::sleep(Duration::from_millis(200));
    kill(process, Signal::SIGINT).unwrap();
    let (output, _) = login.wait();
    assert!(output.code == 2 && output.err.contains("interrupted"), "{output:?}");
    assert!(!user.credentials().exists());
}
