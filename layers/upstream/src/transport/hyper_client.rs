//! hyper-util's client as a transport: HTTP/1.1, HTTP/2 by prior knowledge, TLS.
//!
//! The client keeps idle connections. If one of them turns out to be closed before the request was begun, hyper returns
//! the request, of which nothing was written, and the client takes another connection. After a byte was written, the
//! request is never sent again.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bartizan_core::{Backend, backend::Protocol, failure::FailureKind};
use bytes::Bytes;
#[cfg(feature = "tls")]
use http::header::HOST;
use http::{Request, Response, Uri};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, Client},
    rt::{TokioExecutor, TokioTimer},
};

use super::{
    Transport, TransportError,
    address::{ByName, Names},
    config::Config,
    connector::{ConnectError, Connector},
    error, framing,
    moving_client::MovingClient,
    outgoing::OutgoingBody,
};

/// How much of a request or response is buffered per HTTP/1.1 connection or HTTP/2 stream.
const BUFFER_BYTES: usize = 64 * 1024;

type TcpClient = MovingClient<Connector<ByName>>;
#[cfg(feature = "tls")]
type TlsClient = MovingClient<Connector<hyper_rustls::HttpsConnector<ByName>>>;

/// hyper-util's client as a transport. Clones share its connections.
#[derive(Clone)]
pub struct HyperTransport(Arc<Clients>);

// A separate handle for each service, because cloning a client costs some hundred instructions.
struct Clients {
    http1: TcpClient,
    http2: TcpClient,
    #[cfg(feature = "tls")]
    tls: Option<TlsClient>,
}

/// Resolves at the response head.
pub struct HyperFuture(Sending);

enum Sending {
    Client(legacy::ResponseFuture),
    // Without the feature `tls`, there is no client for this backend.
    Unsupported,
}

impl HyperTransport {
    pub(super) fn new(config: &Config) -> Self {
        let names = || Names::new(config.resolver.clone(), config.connect_timeout);
        let by_name = |names: &Arc<Names>| ByName {
            names: Arc::clone(names),
            write_timeout: config.write_timeout,
        };
        let mut client = Client::builder(TokioExecutor::new());
        client
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.idle_timeout)
            .pool_max_idle_per_host(config.max_idle_per_backend)
            // A silent connection would accept all requests and answer none.
            .http2_keep_alive_interval(Duration::from_secs(30))
            .http2_keep_alive_timeout(Duration::from_secs(20))
            // Only this much of a response that the client does not read is buffered here; the rest stays at the
            // backend. The connection has room for many such responses, so that they do not block others.
            .http1_max_buf_size(BUFFER_BYTES)
            .http2_initial_stream_window_size(64 * 1024)
            .http2_initial_connection_window_size(16 * 1024 * 1024)
            .http2_max_send_buf_size(BUFFER_BYTES)
            // `Upstream` has written it.
            .set_host(false);
        let mut http2 = client.clone();
        http2.http2_only(true);
        // Two protocols under the same authority count as two backends.
        let over_tcp = |builder| {
            let names = names();
            let connector = Connector::new(by_name(&names), config.connect_timeout);
            MovingClient::new(builder, connector, names)
        };
        Self(Arc::new(Clients {
            http1: over_tcp(client.clone()),
            http2: over_tcp(http2),
            #[cfg(feature = "tls")]
            tls: {
                let names = names();
                let tls = super::tls::connector(by_name(&names), config.tls_config.clone());
                // Only the client knows whether a connection speaks HTTP/2, which has no `Host`.
                client.set_host(true);
                tls.map(|tls| Connector::new(tls, config.connect_timeout))
                    .map(|connector| MovingClient::new(client, connector, names))
            },
        }))
    }
}

impl<B> Transport<B> for HyperTransport
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    type Body = Incoming;
    type Future = HyperFuture;

    fn send(&self, backend: &Backend, mut request: Request<B>) -> HyperFuture {
        if name_origin(request.uri_mut(), backend).is_err() {
            return HyperFuture(Sending::Unsupported);
        }
        if backend.protocol() != Protocol::Http2 {
            framing::state_body(&mut request);
        }
        let request = request.map(OutgoingBody::new);
        HyperFuture(match backend.protocol() {
            Protocol::Http1 => Sending::Client(self.0.http1.request(backend, request)),
            Protocol::Http2 => Sending::Client(self.0.http2.request(backend, request)),
            #[cfg(feature = "tls")]
            Protocol::Tls => match &self.0.tls {
                Some(tls) => Sending::Client(tls.request(backend, without_host(request, backend))),
                None => Sending::Unsupported,
            },
            _ => Sending::Unsupported,
        })
    }
}

impl Future for HyperFuture {
    type Output = Result<Response<Incoming>, TransportError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Sending::Client(sending) => {
                Pin::new(sending).poll(cx).map_err(|error| classify(&error))
            }
            Sending::Unsupported => Poll::Ready(Err(TransportError::Unsupported)),
        }
    }
}

/// The client finds its connection by the origin in the URI.
fn name_origin(uri: &mut Uri, backend: &Backend) -> Result<(), http::uri::InvalidUriParts> {
    let mut parts = std::mem::take(uri).into_parts();
    parts.scheme = Some(backend.scheme().clone());
    parts.authority = Some(backend.authority().clone());
    *uri = Uri::from_parts(parts)?;
    Ok(())
}

/// Lets the client write `Host`, unless it differs from the backend's.
#[cfg(feature = "tls")]
fn without_host<B>(mut request: Request<B>, backend: &Backend) -> Request<B> {
    if request.headers().get(HOST) == Some(backend.host()) {
        request.headers_mut().remove(HOST);
    }
    request
}

fn classify(error: &legacy::Error) -> TransportError {
    if !error.is_connect() {
        return error::of_exchange(error);
    }
    let kind = ConnectError::find(error).unwrap_or(FailureKind::Refused);
    TransportError::Failed(kind)
}

impl fmt::Debug for HyperTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HyperTransport")
    }
}

impl fmt::Debug for HyperFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HyperFuture")
    }
}
