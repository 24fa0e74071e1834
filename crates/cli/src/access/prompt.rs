//! A prompt for a secret on the terminal.

use std::io::{self, IsTerminal, Stdin, Write};

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use runtime::config::Secret;
use tokio::{signal::ctrl_c, task::spawn_blocking};

/// Prompts for a secret without echoing it.
///
/// # Errors
/// When stdin is not a terminal, or the input is empty.
pub(super) async fn secret(question: &str) -> Result<Secret> {
    if !io::stdin().is_terminal() {
        bail!("stdin is not a terminal: pass the key with --key-stdin or --key-file");
    }
    // Before the question, after which people type. Ctrl-C is handled below, so echo is restored in every case.
    let echo_off = EchoOff::begin()?;
    let mut terminal = io::stderr();
    let _ = write!(terminal, "{question}").and_then(|()| terminal.flush());
    let read = spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    });
    let line = tokio::select! {
        line = read => line.map_err(Into::into).and_then(|line| line.context("cannot read from the terminal")),
        _ = ctrl_c() => Err(anyhow!("interrupted")),
    };
    drop(echo_off);
    // The newline that was typed was not echoed.
    let _ = writeln!(terminal);
    let line = line?;
    if line.trim().is_empty() {
        bail!("no key was typed");
    }
    Ok(Secret::new(line.trim()))
}

/// Turns off echo on the terminal until dropped.
struct EchoOff {
    terminal: Stdin,
    before: Termios,
}

impl EchoOff {
    fn begin() -> Result<Self> {
        let terminal = io::stdin();
        let before = tcgetattr(&terminal).context("cannot read the terminal's modes")?;
        let mut modes = before.clone();
        modes.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&terminal, SetArg::TCSAFLUSH, &modes).context("cannot turn off echo on the terminal")?;
        Ok(Self { terminal, before })
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, SetArg::TCSANOW, &self.before);
    }
}
