//! The command line: every option, its environment variable and its default.

mod checks;
mod listener;
mod logs;
mod proxies;
mod read;
mod recovery;
mod sessions;
mod store;
mod traces;
mod upstream;
mod values;
mod web;

use std::net::SocketAddr;

use bartizan::core::Backend;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, builder::Resettable};
use clap_complete::Shell;

pub(crate) use checks::STORE_PASSWORD;
pub(crate) use listener::ListenerOptions;
pub(crate) use logs::{LogFormat, LogOptions};
pub(crate) use proxies::{Forwarded, ForwardedField, ProxyOptions};
pub(crate) use read::Given;
pub(crate) use recovery::{OnLost, RecoveryOptions};
pub(crate) use sessions::{SessionOptions, Sessionless};
pub(crate) use store::StoreOptions;
pub(crate) use traces::{Collector, TraceOptions};
pub(crate) use upstream::{Policy, UpstreamOptions};
pub(crate) use values::{Limit, LogFilter, Principal, Store};
pub(crate) use web::WebOptions;

/// A reverse proxy that keeps each session on the backend that opened it.
///
/// Options are read from the command line, then from the environment.
#[derive(Clone, Debug, Parser)]
#[command(name = "bartizan-gateway", version, max_term_width = 100, subcommand_negates_reqs = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Start three counter servers, the gateway and a client in one process, and show that each
    /// session stays on its backend
    Demo {
        /// Exit after the check: status 0 if every session counted correctly, otherwise 1
        #[arg(long)]
        once: bool,
    },
    /// Start one of the counter servers of the demonstration, as a backend for experiments
    Counter {
        /// Address and port to listen on; port 0 picks a free one
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9001", value_parser = values::socket_addr)]
        listen: SocketAddr,
        /// Name of the server in its answers; by default the address
        #[arg(long)]
        name: Option<String>,
    },
    /// Ask a running gateway whether it is ready (/readyz): exit status 0 if it is, otherwise 1. For the health
    /// checks of containers
    Health {
        /// The gateway's --admin; an unspecified address, such as 0.0.0.0, stands for this machine
        #[arg(long, env = "BARTIZAN_ADMIN", value_name = "ADDR", value_parser = values::socket_addr)]
        admin: SocketAddr,
    },
    /// Print the completions for a shell
    Completions { shell: Shell },
    /// Print the man page, in roff
    Man,
}

/// The settings of a gateway.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) listener: ListenerOptions,
    #[command(flatten)]
    pub(crate) upstream: UpstreamOptions,
    #[command(flatten)]
    pub(crate) sessions: SessionOptions,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
    #[command(flatten)]
    pub(crate) recovery: RecoveryOptions,
    #[command(flatten)]
    pub(crate) proxies: ProxyOptions,
    #[command(flatten)]
    pub(crate) web: WebOptions,
    #[command(flatten)]
    pub(crate) logs: LogOptions,
    #[command(flatten)]
    pub(crate) traces: TraceOptions,
}

impl Options {
    /// The defaults, ignoring the environment, for a gateway in front of `backends` on a free port.
    ///
    /// # Errors
    ///
    /// If a default in this module is not a valid value.
    pub(crate) fn standard(backends: Vec<Backend>) -> Result<Self, clap::Error> {
        let command = Cli::command().mut_args(|arg| arg.env(Resettable::Reset));
        // With a subcommand, `--backend` is not required.
        let matches = command.try_get_matches_from(["bartizan-gateway", "demo"])?;
        let mut options = Cli::from_arg_matches(&matches)?.options;
        options.listener.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        options.upstream.backends = backends;
        Ok(options)
    }
}

#[cfg(test)]
mod tests;
