//! Completions for shells, and the man page: made from the options.

use std::{error::Error, io::stdout, process::ExitCode};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;

/// Prints the completions for `shell`.
pub(crate) fn completions(shell: Shell) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut stdout());
    Ok(ExitCode::SUCCESS)
}

/// Prints the man page.
pub(crate) fn page() -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    clap_mangen::Man::new(Cli::command()).render(&mut stdout())?;
    Ok(ExitCode::SUCCESS)
}
