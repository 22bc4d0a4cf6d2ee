//! The server: accepts connections, serves each in its own task, and shuts down gracefully.
//!
//! | file | what it does |
//! |---|---|
//! | `limits` | the limits |
//! | `connection` | one connection: HTTP/1.1 or HTTP/2, upgrades, its end |
//! | `connection_state` | what is in flight on a connection |
//! | `places` | the limit of connections, and which one is closed for a new one |
//! | `descriptors` | the limit of file descriptors, and how many connections it has room for |
//! | `workers` | the threads that serve connections, and which connection goes to which |
//! | `seat` | the place of a connection and its share of a worker, until its socket closes |
//! | `write_timeout` | the timeout of a client that does not read, at the socket |
//! | `stream_executor` | the same for one stream of HTTP/2 |
//! | `reset_bound`, `expel` | how many requests a client may reset, and the end of its connection |
//! | `head_timeout` | the timeouts of a request head, at the socket |
//! | `protocol` | HTTP/1.1 or HTTP/2 |
//! | `tls` | TLS handshakes |
//! | `admission` | the layers around the stack, in their order |
//! | `layers` | these layers |
//! | `front` | the optional layers around everything else |
//! | `service` | the Tower service that the server calls |
//! | `shutdown` | signals, and the two steps of a shutdown |
//! | `records` | what is recorded of each request |
//! | `admin`, `scrape` | health, readiness and metrics, on a separate port |

pub(crate) mod admin;
mod admission;
mod connection;
mod connection_state;
pub(crate) mod descriptors;
mod expel;
pub(crate) mod front;
mod head_timeout;
mod layers;
mod limits;
mod places;
mod protocol;
mod records;
mod reset_bound;
mod scrape;
mod seat;
mod service;
pub(crate) mod shutdown;
mod stream_executor;
mod tls;
mod workers;
mod write_timeout;

use std::{io, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use connection::Settings;
use front::Front;
pub(crate) use limits::{Limits, Proxies};
use places::Places;
pub(crate) use records::Records;
use seat::Seat;
pub(crate) use service::ServerService;
pub(crate) use tls::{Listener, Tls};
pub(crate) use workers::Workers;

/// Serves the clients of `listener` until `stop`, each by a worker behind `front`, then finishes the calls in flight.
/// Event streams are not ended here. Each request is recorded in `records`. Returns how many
/// connections had to be cut.
pub(crate) async fn serve(
    listener: Listener,
    workers: &Workers<impl ServerService>,
    limits: Limits,
    front: Option<Front>,
    records: Records,
    stop: CancellationToken,
) -> usize {
    let Listener { tcp: listener, tls } = listener;
    let connections = TaskTracker::new();
    let drain = limits.drain;
    let places = Arc::new(Places::new(limits.connections));
    let settings = Arc::new(Settings::new(limits, tls, front, records));
    let idle = dismiss_idle(Arc::clone(&places), settings.limits().idle, stop.clone());
    tokio::spawn(idle);
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let state = Arc::new(settings.accepted(peer.ip()));
                let leave = stop.child_token();
                let place = tokio::select! {
                    place = places.take(Arc::clone(&state), leave.clone()) => place,
                    () = stop.cancelled() => break,
                };
                let worker = workers.least_busy();
                let (stream, load) = match worker.take(stream) {
                    Ok(taken) => taken,
                    Err(error) => {
                        tracing::debug!(%error, "a connection cannot leave the accept loop");
                        continue;
                    }
                };
                let seat = Seat::new(place, load);
                let (settings, service) = (Arc::clone(&settings), worker.service().clone());
                let serving = async move {
                    match stream.arrive() {
                        Ok(stream) => {
                            let client = (stream, peer);
                            connection::serve(settings, client, service, state, seat, leave).await;
                        }
                        Err(error) => {
                            tracing::debug!(%error, "a connection cannot join its worker");
                        }
                    }
                };
                connections.spawn_on(serving, worker.runtime());
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections at the moment");
                // The process may be out of file descriptors: connections wait in the backlog until some are free.
                let pause = sleep(Duration::from_millis(500));
                tokio::select! { () = stop.cancelled() => break, () = pause => {} }
            }
        }
    }
    // Clients that connect from now on are refused at once.
    drop(listener);
    connections.close();
    match timeout(drain, connections.wait()).await {
        Ok(()) => 0,
        Err(_) => connections.len(),
    }
}

/// Until `stop`, ends HTTP/2 connections that have been idle for `limit`.
async fn dismiss_idle(places: Arc<Places>, limit: Duration, stop: CancellationToken) {
    tokio::select! { () = stop.cancelled() => {}, () = places.dismiss_idle(limit) => {} }
}

/// Whether the client went away before it was accepted. The listener keeps working.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod edge_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
