//! One connection: HTTP/1.1 or HTTP/2, until it ends or the server stops.

use std::{
    convert::Infallible,
    error::Error,
    future::{pending, poll_fn},
    io,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
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
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::{
    admission::{admit, admit_behind},
    connection_state::ConnectionState,
    expel::Expel,
    front::Front,
    head_timeout::{HeadTimeout, HeadTimeouts},
    limits::Limits,
    protocol::{self, Protocol},
    records::Records,
    seat::{Seat, Seated},
    service::ServerService,
    stream_executor::StreamExecutor,
    tls::Tls,
    write_timeout::WriteTimeout,
};

/// How many response bytes are buffered for an HTTP/2 stream that its client does not read, in addition to the frame
/// being sent.
const SEND_BUFFER_BYTES: usize = 16 * 1024;
/// The flow-control windows for request bodies of one HTTP/2 stream and of a whole connection: uploads that the backend
/// does not read must not block the others.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
const MAX_STREAMS: u32 = 100;
/// How long the client of an idle HTTP/2 connection may take to acknowledge its end.
const LINGER: Duration = Duration::from_secs(1);

/// How connections are served.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    limits: Limits,
    tls: Option<Tls>,
    http1: http1::Builder,
    http2: http2::Builder<StreamExecutor>,
    front: Option<Front>,
    records: Records,
}

impl Settings {
    pub(super) fn new(
        limits: Limits,
        tls: Option<Tls>,
        front: Option<Front>,
        records: Records,
    ) -> Self {
        let mut http1 = http1::Builder::new();
        // A head with more than 100 fields (hyper's limit) or more than twice this size gets 431. The socket enforces
        // the timeouts.
        http1.header_read_timeout(None).max_buf_size(limits.header_bytes as usize);
        let mut http2 = http2::Builder::new(StreamExecutor::new(limits.stall));
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(limits.header_bytes)
            .max_concurrent_streams(MAX_STREAMS)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            // Otherwise a client that vanished would keep its streams open forever.
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20))
            // WebSockets over HTTP/2 (RFC 8441).
            .enable_connect_protocol();
        Self { limits, tls, http1, http2, front, records }
    }

    /// The state of a connection that has just been accepted from `ip`.
    pub(super) fn accepted(&self, ip: IpAddr) -> ConnectionState {
        let state = ConnectionState::new(self.limits.headroom(ip));
        if self.tls.is_some() {
            // Registered at once: before its task runs, another connection could take its place.
            state.begin_handshake();
        }
        state
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// Serves one connection, which has `seat` until its socket closes. At `stop`, it takes no more requests and ends after
/// those in flight.
pub(super) async fn serve(
    settings: Arc<Settings>,
    (stream, peer): (TcpStream, SocketAddr),
    service: impl ServerService,
    state: Arc<ConnectionState>,
    seat: Seat,
    stop: CancellationToken,
) {
    if let Err(error) = set_options(&stream) {
        tracing::debug!(%error, "the connection has already closed");
        return;
    }
    let peer = match stream.local_addr() {
        Ok(local) => PeerAddr::new(peer).accepted_at(local),
        Err(_) => PeerAddr::new(peer),
    };
    if let Some(tls) = &settings.tls {
        // Boxed, so that it costs nothing while it is off.
        let connection = (stream, peer.over_tls());
        return Box::pin(serve_tls(&settings, tls, connection, service, state, seat, &stop)).await;
    }
    let limits = &settings.limits;
    let detecting = timeout(limits.head, protocol::detect(&stream));
    let detected = tokio::select! {
        // The client has sent nothing yet, so closing the connection loses nothing.
        () = stop.cancelled() => return,
        // After this timeout no time is left for the head, either, so HTTP/1.1 ends the connection.
        detected = detecting => detected.unwrap_or(Ok(Protocol::Http1)),
    };
    let Ok(protocol) = detected else { return };
    let blocks = (protocol == Protocol::Http1).then(|| Arc::clone(&state));
    let io = Seated::new(WriteTimeout::new(stream, blocks, limits.stall), seat);
    let client = (io, peer, state.accepted());
    respond(&settings, protocol, client, service, state, &stop).await;
}

/// The same over TLS.
async fn serve_tls(
    settings: &Settings,
    tls: &Tls,
    (stream, peer): (TcpStream, PeerAddr),
    service: impl ServerService,
    state: Arc<ConnectionState>,
    seat: Seat,
    stop: &CancellationToken,
) {
    let limits = &settings.limits;
    let shaking_hands = timeout(limits.head, tls.accept(stream, limits.stall));
    let (mut io, protocol) = tokio::select! {
        // No request has arrived yet, so none is lost.
        () = stop.cancelled() => return,
        shaken = shaking_hands => match shaken {
            Ok(Ok(shaken)) => shaken,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the TLS handshake failed");
                return;
            }
            Err(_) => {
                tracing::debug!("the TLS handshake took too long");
                return;
            }
        },
    };
    state.end_handshake();
    if protocol == Protocol::Http1 {
        io.get_mut().0.tell(Arc::clone(&state));
    }
    // The handshake had its own timeout.
    let client = (Seated::new(io, seat), peer, Instant::now());
    respond(settings, protocol, client, service, state, stop).await;
}

/// Serves the requests of `peer` on `io`. The timeout of the first request head starts at `since`.
async fn respond<IO>(
    settings: &Settings,
    protocol: Protocol,
    (io, peer, since): (IO, PeerAddr, Instant),
    service: impl ServerService,
    state: Arc<ConnectionState>,
    stop: &CancellationToken,
) where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let limits = &settings.limits;
    let timeouts = HeadTimeouts { idle: limits.idle, head: limits.head };
    let io = HeadTimeout::new(io, protocol, Arc::clone(&state), timeouts, since);
    let records = &settings.records;
    let admitted = Arc::clone(&state);
    let ended = match &settings.front {
        // A separate, boxed type, so that it costs nothing while it is off.
        Some(front) => {
            let service = admit_behind(front, &peer, service, limits, records, admitted);
            let service = ConnectionService::new(service, peer);
            Box::pin(converse(settings, protocol, io, service, state, stop)).await
        }
        None => {
            let service = admit(service, limits, records, admitted);
            let service = ConnectionService::new(service, peer);
            converse(settings, protocol, io, service, state, stop).await
        }
    };
    if let Some(Err(error)) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Serves the requests on `io` with `service`, which includes the server's own layers.
async fn converse<IO, S, R>(
    settings: &Settings,
    protocol: Protocol,
    io: HeadTimeout<IO>,
    service: ConnectionService<S>,
    state: Arc<ConnectionState>,
    stop: &CancellationToken,
) -> Option<hyper::Result<()>>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<R>, Error = Infallible, Future: Send>,
    S: Clone + Send + 'static,
    S::Future: 'static,
    R: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    match protocol {
        Protocol::Http1 => {
            let io = TokioIo::new(io);
            let connection = settings.http1.serve_connection(io, service).with_upgrades();
            let wind_up = http1::UpgradeableConnection::graceful_shutdown;
            drive(connection, stop, wind_up, pending()).await
        }
        // Boxed: its future is larger, and one serves many requests at a time.
        Protocol::Http2 => {
            let io = TokioIo::new(Expel::new(io, Arc::clone(&state)));
            let connection = settings.http2.serve_connection(io, service);
            let wind_up = http2::Connection::graceful_shutdown;
            Box::pin(drive(connection, stop, wind_up, has_lingered(state))).await
        }
    }
}

/// Becomes ready when a connection that was asked to end has used up its time. Poll it from then
/// on.
async fn has_lingered(state: Arc<ConnectionState>) {
    if !state.is_dismissed() {
        return pending().await;
    }
    loop {
        sleep(LINGER).await;
        if state.idle_since().is_some() {
            return;
        }
    }
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    // Otherwise each small event of a stream would wait for the acknowledgement of the previous
    // one.
    stream.set_nodelay(true)?;
    // Otherwise a client that vanished would keep its call or tunnel open forever.
    let probes = TcpKeepalive::new().with_time(Duration::from_secs(60));
    SockRef::from(stream).set_tcp_keepalive(&probes.with_interval(Duration::from_secs(15)))
}

/// Waits for `connection`, and calls `wind_up` on it when it is time to stop. After that, it also returns, with `None`,
/// when `has_lingered` is ready.
async fn drive<C: Future>(
    connection: C,
    stop: &CancellationToken,
    wind_up: impl Fn(Pin<&mut C>),
    has_lingered: impl Future<Output = ()>,
) -> Option<C::Output> {
    let mut connection = pin!(connection);
    let mut stopping = pin!(stop.cancelled());
    let mut has_lingered = pin!(has_lingered);
    let (mut is_awaited, mut is_stopping) = (false, false);
    let ended = poll_fn(|cx| {
        // Polled once, so that it wakes this task when the time comes. Checking the flag is cheaper than polling again.
        if !is_awaited || (!is_stopping && stop.is_cancelled()) {
            is_awaited = true;
            is_stopping = stopping.as_mut().poll(cx).is_ready();
            if is_stopping {
                wind_up(connection.as_mut());
            }
        }
        if is_stopping && has_lingered.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        connection.as_mut().poll(cx).map(Some)
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
