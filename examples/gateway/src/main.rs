//! A session-keeping reverse proxy for MCP servers and other stateful HTTP services.
//!
//! | file | what it holds |
//! |---|---|
//! | `access_log` | one line per request |
//! | `cli` | options, their environment variables and defaults, and which combinations are valid |
//! | `gateway` | the gateway: from options to a server that runs until the signal to stop |
//! | `stack` | the layers, configured |
//! | `front` | the layers around everything else, configured |
//! | `health` | what the health check of a container asks |
//! | `metrics` | what `/metrics` shows |
//! | `manual` | completions for shells, and the man page |
//! | `names` | warnings about backends whose name has several addresses |
//! | `certificates` | the certificate of the listener and its private key, from files |
//! | `keys` | the keys that seal session records, from a file |
//! | `log` | the log on standard error |
//! | `oauth` | keeps the requests of one OAuth client on one backend |
//! | `principal` | the owner of a session |
//! | `readiness` | whether load balancers should send requests here |
//! | `output` | the lines on standard output |
//! | `store` | the session store that the options name |
//! | `traces` | spans, and the collector that they go to |
//! | `server` | connections, bounds, timeouts, a graceful shutdown |
//! | `demo` | three counter servers, a client and a report |

mod access_log;
mod certificates;
mod cli;
mod demo;
mod front;
mod gateway;
mod health;
mod keys;
mod log;
mod manual;
mod metrics;
mod names;
mod oauth;
mod output;
mod principal;
mod readiness;
mod server;
mod stack;
mod store;
mod traces;

use std::{error::Error, io, process::ExitCode, time::Duration};

use tokio::runtime::Builder;

use crate::{
    cli::{Cli, Command, Given},
    gateway::Gateway,
};

/// Returns free pages to the system. After a burst of connections or streams, glibc's allocator
/// would keep them.
#[cfg(all(feature = "jemalloc", target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How long the end may take after everything is done.
const PATIENCE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let Given { cli, chooses_log, warnings } = Cli::read();
    log::init(&cli.options.logs.filter, chooses_log, cli.options.logs.format);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    match block_on(run(cli)).unwrap_or_else(|error| Err(error.into())) {
        Ok(status) => status,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs `work` on a runtime of its own, for everything except client connections, which the workers serve.
///
/// # Errors
///
/// If the runtime cannot be made.
fn block_on<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(work);
    // A lookup of a name may block one of its threads for longer.
    runtime.shutdown_timeout(PATIENCE);
    Ok(outcome)
}

async fn run(cli: Cli) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    match cli.command {
        Some(Command::Demo { once }) => {
            let stop = server::shutdown::on_signal(Duration::ZERO)?;
            demo::run(once, stop).await
        }
        Some(Command::Counter { listen, name }) => {
            let stop = server::shutdown::on_signal(Duration::ZERO)?;
            demo::count(listen, name.as_deref(), stop).await
        }
        Some(Command::Health { admin }) => Ok(health::check(admin).await),
        Some(Command::Completions { shell }) => manual::completions(shell),
        Some(Command::Man) => manual::page(),
        None => {
            let stop = server::shutdown::on_signal(cli.options.listener.drain_delay)?;
            let cut = Gateway::bind(cli.options, &stop).await?.run(stop).await?;
            Ok(if cut == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[test]
    fn a_lookup_that_blocks_does_not_hold_up_the_end() {
        let (_release, released) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let outcome =
                block_on(async { drop(tokio::task::spawn_blocking(move || released.recv())) });
            tell.send(outcome.is_ok())
        });
        assert_eq!(told.recv_timeout(20 * PATIENCE), Ok(true));
    }
}
