//! The demonstration: three counter servers, the gateway and a client in one process.
//!
//! Each server keeps its sessions in its own memory, so a session counts correctly only if all its
//! calls reach the server that opened it.

mod client;
mod counter;
mod report;

use std::{
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
};

use bartizan::core::Backend;
use http::Uri;
use tokio::task::JoinSet;

use crate::{cli::Options, gateway::Gateway, output::say, server::shutdown::Stop};
use client::Client;
use report::Report;

const SERVERS: usize = 3;
const SESSIONS: usize = 20;
const CALLS: u64 = 5;

/// Runs the check and prints the result; then serves until `stop`, unless `once` is set.
///
/// # Errors
///
/// If a server cannot be started.
pub(crate) async fn run(once: bool, stop: Stop) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let mut servers = Vec::new();
    for number in 1..=SERVERS {
        let name = format!("counter-{number}");
        let address = counter::start((Ipv4Addr::LOCALHOST, 0).into(), Some(&name)).await?;
        servers.push((name, address));
    }
    let backends: Result<Vec<Backend>, _> =
        servers.iter().map(|(_, address)| format!("http://{address}").parse()).collect();
    let gateway = Gateway::bind(Options::standard(backends?)?, &stop).await?;
    let address = gateway.address();
    let serving = tokio::spawn(gateway.run(stop.clone()));

    let report = check(servers, address).await?;
    say(&report);
    let status = if report.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if once {
        stop.now();
    } else {
        say(invitation(address));
    }
    serving.await??;
    Ok(status)
}

/// Runs one counter server at `address` until `stop`.
///
/// # Errors
///
/// If it cannot listen on `address`.
pub(crate) async fn count(
    address: SocketAddr,
    name: Option<&str>,
    stop: Stop,
) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let address = counter::start(address, name).await?;
    say(format_args!("counting at http://{address}/mcp"));
    stop.closing().cancelled().await;
    Ok(ExitCode::SUCCESS)
}

/// Opens all sessions at once, and counts in each with one call after the other.
async fn check(
    servers: Vec<(String, SocketAddr)>,
    address: SocketAddr,
) -> Result<Report, Box<dyn Error + Send + Sync>> {
    say(format_args!(
        "opening {SESSIONS} sessions through the gateway, {CALLS} calls in each, all at once ..."
    ));
    let uri = Uri::try_from(format!("http://{address}/mcp"))?;
    let client = Client::new(uri);
    let mut sessions = JoinSet::new();
    for _ in 0..SESSIONS {
        let client = client.clone();
        sessions.spawn(async move { client.count_to(CALLS).await });
    }
    Ok(Report::new(servers, sessions.join_all().await, CALLS))
}

fn invitation(address: SocketAddr) -> String {
    let headers =
        "-H 'accept: application/json, text/event-stream' -H 'content-type: application/json'";
    let initialize = client::initialize();
    let increment = client::increment(2);
    format!(
        "\nTry it. This opens a session; the response has its id in the header mcp-session-id:\n\n\
         curl -si http://{address}/mcp {headers} -d '{initialize}'\n\n\
         This opens a session and counts in it; repeat the last line to keep counting:\n\n\
         ID=$(curl -s -D - -o /dev/null http://{address}/mcp {headers} -d '{initialize}' \
         | tr -d '\\r' | sed -n 's/^mcp-session-id: //p')\n\
         curl -s http://{address}/mcp {headers} -H \"mcp-session-id: $ID\" -d '{increment}'\n\n\
         Ctrl-C stops."
    )
}
