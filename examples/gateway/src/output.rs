//! The lines on standard output.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// Prints a line for people and scripts. If standard output is closed, the gateway keeps running.
pub(crate) fn say(line: impl Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
