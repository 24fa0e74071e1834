//! A secret, asked for on the terminal.

use std::io::{self, IsTerminal, Stdin, Write};

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use runtime::config::Secret;
use tokio::{signal::ctrl_c, task::spawn_blocking};

/// Asks, and does not show what is typed.
///
/// # Errors
/// When there is no terminal, or nothing is typed.
pub(super) async fn secret(question: &str) -> Result<Secret> {
    if !io::stdin().is_terminal() {
        bail!("there is no terminal to ask for the key on: give it with --key-stdin or --key-file");
    }
    // Before the question, after which people type. It is shown again however this ends, and we are not ended by Ctrl-C.
    let unseen = Unseen::begin()?;
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
    drop(unseen);
    // The one that was typed was not shown either.
    let _ = writeln!(terminal);
    let line = line?;
    if line.trim().is_empty() {
        bail!("no key was typed");
    }
    Ok(Secret::new(line.trim()))
}

/// As long as this is, the terminal does not show what is typed.
struct Unseen {
    terminal: Stdin,
    before: Termios,
}

impl Unseen {
    fn begin() -> Result<Self> {
        let terminal = io::stdin();
        let before = tcgetattr(&terminal).context("cannot read the terminal's modes")?;
        let mut modes = before.clone();
        modes.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&terminal, SetArg::TCSAFLUSH, &modes)
            .context("cannot have the terminal hide what is typed")?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, SetArg::TCSANOW, &self.before);
    }
}
