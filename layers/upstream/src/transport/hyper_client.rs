//! hyper-util's client as transport: HTTP/1.1, HTTP/2 by prior knowledge, TLS.
//!
//! The client keeps idle connections. When one of them turns out to be dead before the request was
//! begun, hyper gives the request back and the client takes another connection; nothing of it had been
//! written. Once a byte was written it is never sent again.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bartizan_core::{
    Backend, Reason,
    backend::Protocol,
    failure::{BodyRefused, FailureKind},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use super::{
    Transport, TransportError,
    connector::{ConnectError, Connector},
};

type TcpClient<B> = Client<Connector<HttpConnector>, B>;
#[cfg(feature = "tls")]
type TlsClient<B> = Client<Connector<hyper_rustls::HttpsConnector<HttpConnector>>, B>;

/// hyper-util's client as transport. Clones share its connections.
pub struct HyperTransport<B>(Arc<Clients<B>>);

// A handle of its own for each service: a client costs some hundred instructions to clone.
struct Clients<B> {
    http1: TcpClient<B>,
    http2: TcpClient<B>,
    #[cfg(feature = "tls")]
    tls: Option<TlsClient<B>>,
}

/// Builds a [`HyperTransport`].
#[must_use]
#[derive(Clone, Debug)]
pub struct HyperTransportBuilder {
    connect_timeout: Duration,
    idle_timeout: Duration,
    max_idle_per_backend: usize,
    #[cfg(feature = "tls")]
    tls_config: Option<rustls::ClientConfig>,
}

/// Resolves at the response head.
pub struct HyperFuture(Sending);

enum Sending {
    Client(legacy::ResponseFuture),
    // Without the feature `tls` there is nothing to send with.
    Unsupported,
}

impl<B> HyperTransport<B> {
    /// Starts to configure a transport.
    pub const fn builder() -> HyperTransportBuilder {
        HyperTransportBuilder::new()
    }
}

impl HyperTransportBuilder {
    pub(crate) const fn new() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(90),
            max_idle_per_backend: usize::MAX,
            #[cfg(feature = "tls")]
            tls_config: None,
        }
    }

    /// How long a connection may take to be made, name resolution and TLS included. Default: 5 s.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long an unused connection is kept. Default: 90 s.
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How many unused connections to one backend are kept. A number below the usual count of requests
    /// at a time means connecting anew all the time. Default: no bound.
    pub const fn max_idle_per_backend(mut self, connections: usize) -> Self {
        self.max_idle_per_backend = connections;
        self
    }

    /// How to speak TLS: roots, client certificate, versions. Its ALPN protocols are replaced.
    /// Default: trust the certificates of the system.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls_config(mut self, config: rustls::ClientConfig) -> Self {
        self.tls_config = Some(config);
        self
    }

    /// Makes the transport for request bodies of type `B`.
    #[must_use]
    pub fn build<B>(self) -> HyperTransport<B>
    where
        B: Body<Data = Bytes> + Send,
    {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        // The scheme is the affair of what is put over it.
        tcp.enforce_http(false);
        let mut client = Client::builder(TokioExecutor::new());
        client
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(self.idle_timeout)
            .pool_max_idle_per_host(self.max_idle_per_backend)
            // `Upstream` has written it.
            .set_host(false);
        let mut http2 = client.clone();
        http2.http2_only(true);
        let over_tcp = Connector::new(tcp.clone(), self.connect_timeout);
        HyperTransport(Arc::new(Clients {
            http1: client.build(over_tcp.clone()),
            http2: http2.build(over_tcp),
            #[cfg(feature = "tls")]
            tls: super::tls::connector(tcp, self.tls_config)
                .map(|tls| client.build(Connector::new(tls, self.connect_timeout))),
        }))
    }
}

impl<B> Transport<B> for HyperTransport<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Body = Incoming;
    type Future = HyperFuture;

    fn send(&self, backend: &Backend, request: Request<B>) -> HyperFuture {
        HyperFuture(match backend.protocol() {
            Protocol::Http1 => Sending::Client(self.0.http1.request(request)),
            Protocol::Http2 => Sending::Client(self.0.http2.request(request)),
            #[cfg(feature = "tls")]
            Protocol::Tls => match &self.0.tls {
                Some(tls) => Sending::Client(tls.request(request)),
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

fn classify(error: &legacy::Error) -> TransportError {
    if let Some(reason) = BodyRefused::find(error) {
        return TransportError::Request(reason);
    }
    if error.is_connect() {
        let kind = ConnectError::find(error).unwrap_or(FailureKind::Refused);
        return TransportError::Failed(kind);
    }
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_parse() {
                return TransportError::Failed(FailureKind::Protocol);
            }
            if error.is_user() && !error.is_body_write_aborted() {
                return TransportError::Request(Reason::BodyBroken);
            }
        }
        if let Some(error) = error.downcast_ref::<h2::Error>()
            && error.is_remote()
            && error.reason() == Some(h2::Reason::REFUSED_STREAM)
        {
            return TransportError::Failed(FailureKind::RefusedStream);
        }
        next = error.source();
    }
    TransportError::Failed(FailureKind::Terminated)
}

// By hand: a handle is shared whatever the body is.
impl<B> Clone for HyperTransport<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> fmt::Debug for HyperTransport<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HyperTransport")
    }
}

impl fmt::Debug for HyperFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HyperFuture")
    }
}
