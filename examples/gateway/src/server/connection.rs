//! One connection: HTTP/1.1 or HTTP/2, until it ends or the server stops.

use std::{
    convert::Infallible,
    error::Error,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use bartizan::{connection::ConnectionService, core::PeerAddr};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::access_log::AccessLog;

use super::{
    admission::{admit, admit_behind},
    connection_state::ConnectionState,
    front::Front,
    head_timeout::{HeadTimeout, HeadTimeouts},
    limits::Limits,
    protocol::{self, Protocol},
    service::ServerService,
};

/// How connections are served.
#[derive(Clone, Debug)]
pub(super) struct Builders {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    access_log: Option<AccessLog>,
}

impl Builders {
    pub(super) fn new(limits: &Limits, access_log: Option<AccessLog>) -> Self {
        let mut http1 = http1::Builder::new();
        // More than hyper's 100 fields, or than twice these bytes, are answered with 431. The timeouts are
        // kept at the socket.
        http1.header_read_timeout(None).max_buf_size(limits.header_bytes as usize);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(limits.header_bytes)
            // A client that vanished would hold its streams forever.
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20))
            // Websockets over HTTP/2 (RFC 8441).
            .enable_connect_protocol();
        Self { http1, http2, access_log }
    }
}

/// Serves one connection. At `stop`, it takes no more requests and ends after those in flight.
pub(super) async fn serve(
    builders: Arc<Builders>,
    (stream, peer): (TcpStream, SocketAddr),
    service: impl ServerService,
    limits: Limits,
    front: Option<Arc<Front>>,
    stop: CancellationToken,
) {
    if let Err(error) = set_options(&stream) {
        tracing::debug!(%error, "the connection is gone already");
        return;
    }
    let accepted = Instant::now();
    let detecting = timeout(limits.head, protocol::detect(&stream));
    let detected = tokio::select! {
        // Nothing is lost with a connection that has sent nothing.
        () = stop.cancelled() => return,
        // After this timeout there is no time left for the head, either: HTTP/1.1 ends the connection.
        detected = detecting => detected.unwrap_or(Ok(Protocol::Http1)),
    };
    let Ok(protocol) = detected else { return };
    let peer = match stream.local_addr() {
        Ok(local) => PeerAddr::new(peer).accepted_at(local),
        Err(_) => PeerAddr::new(peer),
    };
    let state = Arc::<ConnectionState>::default();
    let timeouts = HeadTimeouts { idle: limits.idle, head: limits.head };
    let io = HeadTimeout::new(stream, protocol, Arc::clone(&state), timeouts, accepted);
    let io = TokioIo::new(io);
    let access_log = builders.access_log.clone();
    let ended = if let Some(front) = front {
        // A type of its own, in a box: what is off costs nothing.
        let service = admit_behind(&front, &peer, service, &limits, access_log, state);
        let service = ConnectionService::new(service, peer);
        Box::pin(converse(&builders, protocol, io, service, &stop)).await
    } else {
        let service = ConnectionService::new(admit(service, &limits, access_log, state), peer);
        match protocol {
            Protocol::Http1 => {
                let connection = builders.http1.serve_connection(io, service).with_upgrades();
                drive(connection, &stop, http1::UpgradeableConnection::graceful_shutdown).await
            }
            // Boxed: it is larger, and one for many requests at a time.
            Protocol::Http2 => {
                let connection = builders.http2.serve_connection(io, service);
                Box::pin(drive(connection, &stop, http2::Connection::graceful_shutdown)).await
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Serves the requests that come by `io` with `service`, in a future of its own.
async fn converse<S, R>(
    builders: &Builders,
    protocol: Protocol,
    io: TokioIo<HeadTimeout<TcpStream>>,
    service: ConnectionService<S>,
    stop: &CancellationToken,
) -> hyper::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<R>, Error = Infallible, Future: Send>,
    S: Clone + Send + 'static,
    S::Future: 'static,
    R: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    match protocol {
        Protocol::Http1 => {
            let connection = builders.http1.serve_connection(io, service).with_upgrades();
            drive(connection, stop, http1::UpgradeableConnection::graceful_shutdown).await
        }
        Protocol::Http2 => {
            let connection = builders.http2.serve_connection(io, service);
            drive(connection, stop, http2::Connection::graceful_shutdown).await
        }
    }
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    // A stream of small events would wait for the acknowledgement of each.
    stream.set_nodelay(true)?;
    // A client that vanished would hold its call or its tunnel forever.
    let probes = TcpKeepalive::new().with_time(Duration::from_secs(60));
    SockRef::from(stream).set_tcp_keepalive(&probes.with_interval(Duration::from_secs(15)))
}

/// Waits for `connection`, and calls `wind_up` on it when it is time to stop.
async fn drive<C: Future>(
    connection: C,
    stop: &CancellationToken,
    wind_up: impl Fn(Pin<&mut C>),
) -> C::Output {
    let mut connection = pin!(connection);
    let mut stopping = pin!(stop.cancelled());
    let (mut is_awaited, mut is_stopping) = (false, false);
    let ended = poll_fn(|cx| {
        // Polled once, it wakes this task when the time comes; asking is cheaper than polling it again.
        if !is_awaited || (!is_stopping && stop.is_cancelled()) {
            is_awaited = true;
            is_stopping = stopping.as_mut().poll(cx).is_ready();
            if is_stopping {
                wind_up(connection.as_mut());
            }
        }
        connection.as_mut().poll(cx)
    });
    ended.await
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_probed_and_does_not_wait_for_acknowledgements() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        set_options(&stream).unwrap();
        assert!(stream.nodelay().unwrap() && SockRef::from(&stream).keepalive().unwrap());
    }
}
