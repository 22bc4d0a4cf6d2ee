//! How a connection is made, for all requests that wait for one.

use std::{sync::Arc, time::Duration};

use bartizan_core::failure::FailureKind;
use hyper::{
    client::conn::http2::{self, SendRequest},
    rt::{Read, Write},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

#[cfg(feature = "tls")]
use super::super::tls::Alpn;
use super::{
    super::TransportError,
    connection::drive,
    future::Unable,
    outgoing::StreamedBody,
    pool::{Pool, UNKNOWN},
};

/// How much of one response is buffered for a client that does not read it.
const STREAM_WINDOW: u32 = 64 * 1024;
/// Room for the windows of as many streams as [`Pool`] uses, so that an unread stream does not block others.
const CONNECTION_WINDOW: u32 = 256 * STREAM_WINDOW;

/// A connection that has been made.
pub(super) struct Dialled {
    pub(super) id: u64,
    pub(super) sender: SendRequest<StreamedBody>,
    pub(super) epoch: u64,
}

/// Makes connection number `id` of `pool`.
pub(super) async fn dial(pool: &Arc<Pool>, id: u64) -> Result<Dialled, Unable> {
    let dialer = pool.dialer();
    #[cfg(feature = "tls")]
    if let Some(tls) = &dialer.tls {
        let (io, epoch) = tls.reach(dialer, pool.backend(), Alpn::Any).await?;
        if io.get_ref().1.alpn_protocol().is_none_or(|protocol| protocol != b"h2") {
            return Err(Unable::NotHttp2);
        }
        return shake_hands(TokioIo::new(io), epoch, pool, id).await;
    }
    let (io, epoch) = dialer.reach(pool.backend()).await?;
    shake_hands(TokioIo::new(io), epoch, pool, id).await
}

async fn shake_hands<T>(io: T, epoch: u64, pool: &Arc<Pool>, id: u64) -> Result<Dialled, Unable>
where
    T: Read + Write + Send + Unpin + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        // A silent connection would accept all requests and answer none.
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_max_send_streams(UNKNOWN)
        .handshake(io)
        .await
        .map_err(|_| TransportError::Failed(FailureKind::Terminated))?;
    tokio::spawn(drive(connection, Arc::downgrade(pool), id));
    Ok(Dialled { id, sender, epoch })
}
