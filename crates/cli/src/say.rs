//! What people read: answers on stdout, what went wrong or is only said beside on stderr.

use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

/// How an outcome is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// One line for whoever typed the command. Nobody may be reading any more, and that must not end us: so no `println!`.
pub fn line(text: impl Display) {
    let _ = once(text);
}

/// One line that is said this once.
///
/// # Errors
/// When it did not arrive.
pub fn once(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush())
}

/// What is said beside the answer.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "nno: {text}");
}

/// Why it ended, and the code for it.
pub fn failed(error: &anyhow::Error) -> ExitCode {
    failed_with(error, 1)
}

/// The same with a code of its own.
pub fn failed_with(error: &anyhow::Error, code: u8) -> ExitCode {
    note(format_args!("{error:#}"));
    ExitCode::from(code)
}
