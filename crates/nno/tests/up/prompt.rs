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
    person::{Person, Said, rest},
    system::Place,
};

/// A command that asks on its terminal.
struct Asking {
    /// Where people type, and see what the terminal shows.
    keyboard: File,
    /// The other end, to look at how it is set.
    terminal: File,
    child: Child,
    err: ChildStderr,
}

impl Asking {
    /// Starts it, and waits until it has asked.
    fn begin(person: &Person, url: &str) -> Self {
        let OpenptyResult { master, slave } = openpty(None, None).unwrap();
        let terminal = File::from(slave);
        let mut command = person.command(env!("CARGO_BIN_EXE_nno"));
        command.args(["login", "--url", url]).stdin(terminal.try_clone().unwrap());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let question = format!("Key for {url}: ");
        let mut err = child.stderr.take().unwrap();
        let mut asked = vec![0; question.len()];
        err.read_exact(&mut asked).unwrap();
        assert_eq!(String::from_utf8(asked).unwrap(), question);
        Self { keyboard: File::from(master), terminal, child, err }
    }

    fn shows_what_is_typed(&self) -> bool {
        tcgetattr(&self.terminal).unwrap().local_flags.contains(LocalFlags::ECHO)
    }

    /// How it ended and what it said; what the terminal showed goes before what was said on stderr.
    fn end(mut self) -> (Said, String) {
        let code = self.child.wait().unwrap().code().unwrap();
        assert!(self.shows_what_is_typed(), "the terminal is as it was");
        let (out, err) = (rest(self.child.stdout.take().unwrap()), rest(self.err));
        // So that there is something to read, and an end to it.
        writeln!(self.keyboard, "end").unwrap();
        let mut shown = String::new();
        while !shown.contains("end") {
            let mut some = [0; 256];
            let length = self.keyboard.read(&mut some).unwrap();
            shown += std::str::from_utf8(&some[..length]).unwrap();
        }
        (Said { code, out, err }, shown)
    }
}

#[tokio::test]
async fn a_key_that_is_typed_is_not_shown() {
    let place = Place::new();
    let up = place.up().await;
    let (person, key) = (Person::new(), up.operator_key());
    let mut asking = Asking::begin(&person, &up.url);
    assert!(!asking.shows_what_is_typed());
    writeln!(asking.keyboard, "{key}").unwrap();
    let (said, shown) = asking.end();
    assert_eq!((said.code, said.out), (0, format!("Logged in to {} as operator.\n", up.url)));
    assert_eq!((said.err.as_str(), shown.trim()), ("\n", "end"), "nothing of the key");
    assert_eq!(person.nno(&["whoami"]).code, 0);
    up.stop().await;
}

#[test]
fn the_terminal_is_as_it_was_however_it_ends() {
    let (person, nowhere) = (Person::new(), "http://127.0.0.1:9");
    let mut asking = Asking::begin(&person, nowhere);
    writeln!(asking.keyboard).unwrap();
    let (said, _) = asking.end();
    assert!(said.code == 2 && said.err.contains("no key was typed"), "{said:?}");

    let asking = Asking::begin(&person, nowhere);
    let asked = Pid::from_raw(asking.child.id().try_into().unwrap());
    // What is sent before it is listened for would end it as any program.
    thread::sleep(Duration::from_millis(200));
    kill(asked, Signal::SIGINT).unwrap();
    let (said, _) = asking.end();
    assert!(said.code == 2 && said.err.contains("interrupted"), "{said:?}");
    assert!(!person.credentials().exists());
}
