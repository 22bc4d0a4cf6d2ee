//! One connection: HTTP/1.1 or HTTP/2, until it ends or the server stops.

use std::{
    convert::Infallible, error::Error, future::poll_fn, net::SocketAddr, pin::pin, sync::Arc,
    time::Duration,
};

use bartizan::core::PeerAddr;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::{
    Limits, RequestBody,
    adaptor::Adaptor,
    exchange::Phase,
    head::{HeadDeadline, Patience},
};

/// How connections are served.
pub(super) fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // More than hyper's 100 fields, or than these bytes, are answered with 431.
    builder
        .http1()
        // The deadlines are kept at the socket.
        .header_read_timeout(None)
        .max_buf_size(limits.header_bytes as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits.header_bytes)
        // A peer that has gone without a word would hold its streams for ever.
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        // Websockets over HTTP/2 (RFC 8441).
        .enable_connect_protocol();
    builder
}

/// Serves one connection. At `stop`, it takes no more requests and ends after those in flight.
pub(super) async fn serve<S, R>(
    builder: Arc<auto::Builder<TokioExecutor>>,
    (stream, peer): (TcpStream, SocketAddr),
    service: S,
    limits: Limits,
    stop: CancellationToken,
) where
    S: Service<Request<RequestBody>, Response = Response<R>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // A stream of small events would wait for the acknowledgement of each.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the connection is gone already");
        return;
    }
    let phase = Arc::<Phase>::default();
    let patience = Patience { idle: limits.idle, head: limits.head };
    let io = TokioIo::new(HeadDeadline::new(stream, Arc::clone(&phase), patience));
    let peer = PeerAddr::new(peer);
    let adaptor = Adaptor { service, peer, phase, limits };
    let mut connection = pin!(builder.serve_connection_with_upgrades(io, adaptor));
    let mut stopping = pin!(stop.cancelled());
    let (mut is_awaited, mut is_stopping) = (false, false);
    let ended = poll_fn(|cx| {
        // Polled once, it wakes this task when the time comes; asking is cheaper than polling it again.
        if !is_awaited || (!is_stopping && stop.is_cancelled()) {
            is_awaited = true;
            is_stopping = stopping.as_mut().poll(cx).is_ready();
            if is_stopping {
                connection.as_mut().graceful_shutdown();
            }
        }
        connection.as_mut().poll(cx)
    });
    let ended = ended.await;
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}
