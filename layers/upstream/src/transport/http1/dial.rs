//! How a connection is made, or waited for.

use std::sync::Arc;

use bartizan_core::failure::FailureKind;
use http::Uri;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::{
    super::{TransportError, socket::Socket, write_timeout::WriteTimeout},
    dialer::Dialer,
    link::Link,
    pool::{Checkout, Permit, Pool, Turn},
};

/// How large the head of a response may be, and how much of a request is written ahead.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// A connection for one request.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) link: Link,
    /// Whether it has served another before. It may have died since.
    pub(super) is_kept: bool,
}

/// The connection that `checkout` promises. Dropped, it gives up the turn and the attempt.
pub(super) async fn fulfil(
    dialer: Dialer,
    pool: Arc<Pool>,
    checkout: Checkout,
) -> Result<Given, TransportError> {
    let permit = match checkout {
        Checkout::Kept(link) => return Ok(Given { link, is_kept: true }),
        Checkout::Dial(permit) => permit,
        Checkout::Wait(turn) => match timeout(dialer.connection_wait, turn).await {
            Ok(Ok(Turn::Use(link))) => return Ok(Given { link, is_kept: true }),
            Ok(Ok(Turn::Dial(permit))) => permit,
            Ok(Err(_)) | Err(_) => {
                return Err(TransportError::Failed(FailureKind::ConnectionLimit));
            }
        },
    };
    let link = dial(&dialer, &pool, permit).await?;
    Ok(Given { link, is_kept: false })
}

async fn dial(dialer: &Dialer, pool: &Pool, permit: Permit) -> Result<Link, TransportError> {
    let backend = pool.backend();
    let uri = Uri::builder()
        .scheme(backend.scheme().clone())
        .authority(backend.authority().clone())
        .path_and_query("/")
        .build()
        .map_err(|_| TransportError::Unsupported)?;
    let reached = dialer.names.connect(&uri).await;
    let reached = reached.map_err(|error| TransportError::Failed(error.kind()))?;
    pool.is_at(reached.epoch);
    let write_timeout = WriteTimeout::new(dialer.write_timeout);
    let io = TokioIo::new(Socket::new(reached.io.into_inner(), write_timeout));
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(io)
        .await
        .map_err(|_| TransportError::Failed(FailureKind::Terminated))?;
    tokio::spawn(async move {
        // How it ends is told to the request that it carries.
        let _ = connection.with_upgrades().await;
        drop(permit);
    });
    Ok(Link { sender, epoch: reached.epoch })
}
