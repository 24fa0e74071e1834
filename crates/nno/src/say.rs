//! What people read: answers on stdout, the one line about what went wrong on stderr.

use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

/// One line for whoever typed the command. Nobody may be reading any more, and that must not end us: so no `println!`.
pub(crate) fn line(text: impl Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Why it ended, and the code for it.
pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(io::stderr().lock(), "nno: {error:#}");
    ExitCode::FAILURE
}
