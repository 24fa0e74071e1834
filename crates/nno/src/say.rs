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
    failed_with(error, 1)
}

/// The same with a code of its own.
pub(crate) fn failed_with(error: &anyhow::Error, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr().lock(), "nno: {error:#}");
    ExitCode::from(code)
}
