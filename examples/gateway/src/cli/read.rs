//! Reading the command line and the environment.

use std::{env, ffi::OsString};

use clap::{ArgMatches, CommandFactory, FromArgMatches, error::ErrorKind, parser::ValueSource};

use super::{
    Cli, Command,
    checks::{self, Chosen},
};

/// What was read from the command line and the environment.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) cli: Cli,
    /// Whether `--log` was set.
    pub(crate) chooses_log: bool,
    pub(crate) warnings: Vec<String>,
}

impl Cli {
    /// Reads the command line and the environment. On a mistake, reports it and exits.
    pub(crate) fn read() -> Given {
        let variables = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        Self::try_read(Self::command(), env::args_os(), variables)
            .unwrap_or_else(|error| error.exit())
    }

    /// The same, with the arguments `args` and the environment `variables`.
    pub(super) fn try_read(
        mut command: clap::Command,
        args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
        variables: impl IntoIterator<Item = String>,
    ) -> Result<Given, clap::Error> {
        let matches = command.try_get_matches_from_mut(args)?;
        let cli = Self::from_arg_matches(&matches)?;
        let mut chosen = chosen(&command, &matches);
        chosen.environment =
            variables.into_iter().filter(|name| name.starts_with("BARTIZAN_")).collect();
        let own = command.get_arguments().filter_map(|arg| arg.get_long());
        let own = own.filter(|long| !["help", "version"].contains(long));
        let known = own.map(checks::variable).collect();
        let checked = match cli.command {
            Some(Command::Demo { .. }) => checks::without_gateway(&chosen, "demo"),
            Some(Command::Counter { .. }) => checks::without_gateway(&chosen, "counter"),
            // These commands may run in the environment of a configured gateway, such as its
            // container.
            Some(Command::Health { .. } | Command::Completions { .. } | Command::Man) => {
                Ok(Vec::new())
            }
            None => checks::gateway(&cli.options, &chosen),
        };
        let warnings = checked.map_err(|why| command.error(ErrorKind::ArgumentConflict, why))?;
        let is_default = matches.value_source("filter") == Some(ValueSource::DefaultValue);
        let warnings = [checks::environment(&chosen, &known), warnings].concat();
        Ok(Given { cli, chooses_log: !is_default, warnings })
    }
}

/// Which of the gateway's options were set.
fn chosen(command: &clap::Command, matches: &ArgMatches) -> Chosen {
    let mut chosen = Chosen::default();
    for arg in command.get_arguments().filter(|arg| !arg.is_global_set()) {
        let Some(long) = arg.get_long() else { continue };
        // The arguments that clap adds, such as `--help`, have no value.
        let source = matches.try_contains_id(arg.get_id().as_str()).ok();
        match source.and_then(|_| matches.value_source(arg.get_id().as_str())) {
            Some(ValueSource::CommandLine) => chosen.options.insert(format!("--{long}")),
            Some(ValueSource::EnvVariable) => chosen.variables.insert(checks::variable(long)),
            _ => false,
        };
    }
    chosen
}
