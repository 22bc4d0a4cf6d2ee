//! The server: accepts connections, serves each in a task of its own, and leaves in good order.
//!
//! | file | what it does |
//! |---|---|
//! | `limits` | the bounds |
//! | `connection` | one connection: HTTP/1.1 or HTTP/2, upgrades, the end of it |
//! | `head` | the deadline for a request head, at the socket |
//! | `version` | HTTP/1.1 or HTTP/2 |
//! | `service` | what is asked of the Tower service |
//! | `adaptor` | calls the Tower service for each request |
//! | `exchange` | what the two directions of one exchange know of each other |
//! | `inflow` | a request body: its deadline and its bound |
//! | `outflow` | a response body: counts as in flight |
//! | `shutdown` | signals |
//! | `admin` | health and readiness, on a port of their own |

mod adaptor;
pub(crate) mod admin;
mod connection;
mod exchange;
mod head;
mod host;
mod inflow;
mod limits;
mod outflow;
mod service;
pub(crate) mod shutdown;
mod version;

use std::{io, sync::Arc, time::Duration};

use hyper::body::Incoming;
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use inflow::Inflow;
pub(crate) use limits::Limits;
pub(crate) use service::ServerService;

/// The request body that the service gets.
pub(crate) type RequestBody = Inflow<Incoming>;

/// Serves `service` to all who connect to `listener`, until `stop`: then calls in flight are finished.
/// Event streams are not ended here. Says how many connections had to be cut.
pub(crate) async fn serve(
    listener: TcpListener,
    service: impl ServerService,
    limits: Limits,
    stop: CancellationToken,
) -> usize {
    let connections = TaskTracker::new();
    let builders = Arc::new(connection::Builders::new(&limits));
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
                    stop.child_token(),
                );
                connections.spawn(connection);
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections just now");
                // Out of descriptors, say: the backlog keeps what arrives until some are free.
                let pause = sleep(Duration::from_millis(500));
                tokio::select! { () = stop.cancelled() => break, () = pause => {} }
            }
        }
    }
    // Whoever connects from now on is told so at once.
    drop(listener);
    connections.close();
    match timeout(limits.drain, connections.wait()).await {
        Ok(()) => 0,
        Err(_) => connections.len(),
    }
}

/// Whether the client went away before it was accepted, which is no fault of the listener's.
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
