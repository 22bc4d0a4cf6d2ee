//! Completions for shells, and the man page: made from the options.

use std::{
    error::Error,
    io::{Write as _, stdout},
    process::ExitCode,
};

use clap::CommandFactory;
use clap_complete::{Generator as _, Shell};

use crate::cli::Cli;

/// Prints the completions for `shell`.
///
/// # Errors
///
/// If they cannot be written.
pub(crate) fn completions(shell: Shell) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    command.set_bin_name(name);
    command.build();
    // `clap_complete::generate` panics if it cannot write.
    shell.try_generate(&command, &mut stdout())?;
    stdout().flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the man page.
///
/// # Errors
///
/// If it cannot be written.
pub(crate) fn page() -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    clap_mangen::Man::new(Cli::command()).render(&mut stdout())?;
    stdout().flush()?;
    Ok(ExitCode::SUCCESS)
}
