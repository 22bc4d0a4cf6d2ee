//! What requests, events, connections and sessions cost a proxy, end to end.
//!
//! | file | what it holds |
//! |---|---|
//! | `cli` | options and their defaults |
//! | `plan` | what is measured of whom, in which order |
//! | `contender` | the floor, the gateway and the peers: their programs, and how they are started |
//! | `backend`, `wire` | backends by raw bytes |
//! | `client` | sessions, calls and streams, with every answer checked |
//! | `measure` | CPU time in turns, memory, stickiness |
//! | `goals` | what is to be reached |
//! | `report`, `table`, `stats`, `machine` | what comes out, as tables and as JSON |
#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark is a program of its own, and prints what it counted"
)]

mod backend;
mod cli;
mod client;
mod contender;
mod goals;
mod machine;
mod measure;
mod plan;
mod process;
mod report;
mod stats;
mod table;
mod wire;

use std::{error::Error, process::ExitCode};

use clap::Parser;
use tokio::signal;

use crate::{
    cli::{Cli, Command},
    plan::Plan,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let Cli { command, options } = Cli::parse();
    if let Some(Command::Backends { count }) = command {
        backend::serve(count).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut plan = Plan::new(options)?;
    // Dropped, each process ends that was started.
    let is_right = tokio::select! {
        is_right = plan.run(command) => is_right?,
        _ = signal::ctrl_c() => false,
    };
    Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
