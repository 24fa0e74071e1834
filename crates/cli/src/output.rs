//! Output for the user: results on stdout, errors and notes on stderr.

use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

/// Format of a result on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// Prints a line to stdout. Unlike `println!`, it does not panic if the reader is gone.
pub fn print_line(text: impl Display) {
    let _ = try_print_line(text);
}

/// Prints a line to stdout that cannot be printed again, such as a new key.
///
/// # Errors
/// When the line cannot be written.
pub fn try_print_line(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush())
}

/// Prints a note to stderr.
pub fn print_note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "nno: {text}");
}

/// Prints the error and returns exit code 1.
pub fn fail(error: &anyhow::Error) -> ExitCode {
    fail_with(error, 1)
}

/// Prints the error and returns the exit code.
pub fn fail_with(error: &anyhow::Error, code: u8) -> ExitCode {
    print_note(format_args!("{error:#}"));
    ExitCode::from(code)
}
