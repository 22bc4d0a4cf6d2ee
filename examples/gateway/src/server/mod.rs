//! The server: accepts connections, serves each in a task of its own, and shuts down gracefully.
//!
//! | file | what it does |
//! |---|---|
//! | `limits` | the bounds |
//! | `connection` | one connection: HTTP/1.1 or HTTP/2, upgrades, its end |
//! | `connection_state` | what is in flight on a connection |
//! | `head_timeout` | the timeouts of a request head, at the socket |
//! | `protocol` | HTTP/1.1 or HTTP/2 |
//! | `admission` | the layers around the stack, in their order |
//! | `layers` | these layers |
//! | `front` | the optional layers around everything else |
//! | `service` | the Tower service that the server calls |
//! | `shutdown` | signals, and the two steps of a shutdown |
//! | `admin` | health and readiness, on a port of their own |

pub(crate) mod admin;
mod admission;
mod connection;
mod connection_state;
pub(crate) mod front;
mod head_timeout;
mod layers;
mod limits;
mod protocol;
mod service;
pub(crate) mod shutdown;

use std::{io, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::access_log::AccessLog;

use front::Front;
pub(crate) use limits::Limits;
pub(crate) use service::ServerService;

/// Serves `service` behind `front` to the clients of `listener` until `stop`, then finishes the calls in flight. Event
/// streams are not ended here. Each request is recorded in `access_log`, if there is one. Returns how many connections
/// had to be cut.
pub(crate) async fn serve(
    listener: TcpListener,
    service: impl ServerService,
    limits: Limits,
    front: Option<Front>,
    access_log: Option<AccessLog>,
    stop: CancellationToken,
) -> usize {
    let connections = TaskTracker::new();
    let front = front.map(Arc::new);
    let builders = Arc::new(connection::Builders::new(&limits, access_log));
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection::serve(
                    Arc::clone(&builders),
                    (stream, peer),
                    service.clone(),
                    limits,
                    front.clone(),
                    stop.child_token(),
                );
                connections.spawn(connection);
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections at the moment");
                // Out of file descriptors, perhaps: the backlog keeps connections until some are free.
                let pause = sleep(Duration::from_millis(500));
                tokio::select! { () = stop.cancelled() => break, () = pause => {} }
            }
        }
    }
    // Clients that connect from now on are refused at once.
    drop(listener);
    connections.close();
    match timeout(limits.drain, connections.wait()).await {
        Ok(()) => 0,
        Err(_) => connections.len(),
    }
}

/// Whether the client went away before it was accepted. The listener works on.
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
mod tests;
