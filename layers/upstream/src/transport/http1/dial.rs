//! How a connection is made, or waited for.

use std::sync::Arc;

use bartizan_core::failure::FailureKind;
use hyper::{
    client::conn::http1,
    rt::{Read, Write},
};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

#[cfg(feature = "tls")]
use super::super::tls::Alpn;
use super::{
    super::{TransportError, dialer::Dialer},
    link::Link,
    pool::{Checkout, Permit, Pool, Turn},
};

/// How large the head of a response may be, and how much of a request is written ahead.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// A connection for one request.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) link: Link,
    /// Whether it has served another request. It may have been closed since.
    pub(super) is_kept: bool,
}

/// Waits for the connection of `checkout`. Dropping it gives up the place in the queue and the
/// attempt.
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
    #[cfg(feature = "tls")]
    if let Some(tls) = &dialer.tls {
        let (io, epoch) = tls.reach(dialer, pool.backend(), Alpn::Http1).await?;
        return shake_hands(TokioIo::new(io), epoch, pool, permit).await;
    }
    let (io, epoch) = dialer.reach(pool.backend()).await?;
    shake_hands(TokioIo::new(io), epoch, pool, permit).await
}

async fn shake_hands<T>(
    io: T,
    epoch: u64,
    pool: &Pool,
    permit: Permit,
) -> Result<Link, TransportError>
where
    T: Read + Write + Send + Unpin + 'static,
{
    pool.is_at(epoch);
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(io)
        .await
        .map_err(|_| TransportError::Failed(FailureKind::Terminated))?;
    tokio::spawn(async move {
        // Its request gets the error if it fails.
        let _ = connection.with_upgrades().await;
        drop(permit);
    });
    Ok(Link { sender, epoch })
}
