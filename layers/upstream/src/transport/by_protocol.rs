//! The transport that suits the backend.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bartizan_core::{Backend, backend::Protocol, failure::FailureKind, refusal::ReturnedBody};
use bytes::Bytes;
#[cfg(feature = "tls")]
use http::header::UPGRADE;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};

use super::{
    Http1Body, Http1Future, Http1Transport, Transport, TransportError,
    config::Config,
    dialer::Dialer,
    framing, http1,
    http2::{self, Http2Body, Http2Future, Unsent},
    outgoing::OutgoingBody,
    pools::Pools,
};

/// This crate's own connections: HTTP/1.1 and HTTP/2, in clear text and over TLS. Clones share them.
///
/// Over TLS, HTTP/2 and HTTP/1.1 are offered, and the backend chooses
/// ([ALPN, RFC 7301](https://www.rfc-editor.org/rfc/rfc7301)); a request that asks for another protocol (`Upgrade`) goes
/// over HTTP/1.1 in any case.
#[derive(Clone)]
pub struct ByProtocol(Arc<Ways>);

struct Ways {
    http1: Http1Transport,
    http2: Arc<Pools<http2::Pool>>,
    #[cfg(feature = "tls")]
    tls: Option<TlsWays>,
}

/// The same over TLS.
#[cfg(feature = "tls")]
struct TlsWays {
    http1: Arc<Pools<http1::Pool>>,
    http2: Arc<Pools<http2::Pool>>,
}

/// Resolves at the response head.
#[must_use = "futures do nothing unless polled"]
pub struct ByProtocolFuture(Sending);

enum Sending {
    Http1(Http1Future),
    // Boxed, so that the common future, for HTTP/1.1, is small.
    Http2(Box<OverHttp2>),
}

struct OverHttp2 {
    sending: Http2Future,
    // For a backend that chooses HTTP/1.1.
    http1: Option<Arc<http1::Pool>>,
}

/// A streaming response body.
///
/// # Cancellation
///
/// Dropping it before its end closes an HTTP/1.1 connection, and resets an HTTP/2 stream.
#[derive(Debug)]
pub struct ByProtocolBody(Coming);

#[derive(Debug)]
enum Coming {
    Http1(Http1Body),
    Http2(Http2Body),
}

impl ByProtocol {
    pub(super) fn new(config: &Config) -> Self {
        Self(Arc::new(Ways {
            http1: Http1Transport::new(config),
            // Two protocols under the same authority count as two backends.
            http2: Arc::new(Pools::new(config, config.dialer())),
            #[cfg(feature = "tls")]
            tls: super::tls::Tls::new(config.tls_config.clone()).map(|tls| {
                let dialer = Dialer { tls: Some(tls), ..config.dialer() };
                TlsWays {
                    http1: Arc::new(Pools::new(config, dialer.clone())),
                    http2: Arc::new(Pools::new(config, dialer)),
                }
            }),
        }))
    }

    /// A transport with its own connections, for the thread of another runtime; see
    /// [`Upstream::for_worker`](crate::Upstream::for_worker).
    #[must_use]
    pub fn for_worker(&self) -> Self {
        Self(Arc::new(Ways {
            http1: self.0.http1.for_worker(),
            http2: self.0.http2.for_worker(),
            #[cfg(feature = "tls")]
            tls: self.0.tls.as_ref().map(TlsWays::for_worker),
        }))
    }

    /// Makes a TCP connection to `backend`, at the address that its requests go to, and closes it.
    ///
    /// # Errors
    ///
    /// Why no connection could be made.
    ///
    /// # Cancellation
    ///
    /// Dropping it cancels the attempt.
    pub fn connect(
        &self,
        backend: &Backend,
    ) -> impl Future<Output = Result<(), FailureKind>> + Send + use<> {
        let dialer = self.dialer(backend).cloned();
        let backend = backend.clone();
        async move {
            // This says nothing about the backend, because the transport cannot reach it.
            let dialer = dialer.ok_or(FailureKind::ConnectionLimit)?;
            dialer.probe(&backend).await
        }
    }

    fn dialer(&self, backend: &Backend) -> Option<&Dialer> {
        match backend.protocol() {
            Protocol::Http1 => Some(self.0.http1.dialer()),
            Protocol::Http2 => Some(self.0.http2.dialer()),
            #[cfg(feature = "tls")]
            Protocol::Tls => self.0.tls.as_ref().map(|tls| tls.http2.dialer()),
            _ => None,
        }
    }
}

#[cfg(feature = "tls")]
impl TlsWays {
    fn for_worker(&self) -> Self {
        Self { http1: self.http1.for_worker(), http2: self.http2.for_worker() }
    }
}

impl<B> Transport<B> for ByProtocol
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    type Body = ByProtocolBody;
    type Future = ByProtocolFuture;

    #[inline]
    fn send(&self, backend: &Backend, request: Request<B>) -> ByProtocolFuture {
        match backend.protocol() {
            Protocol::Http1 => {
                ByProtocolFuture(Sending::Http1(self.0.http1.send(backend, request)))
            }
            _ => self.send_otherwise(backend, request.map(OutgoingBody::new)),
        }
    }

    fn take_back(mut future: Pin<&mut ByProtocolFuture>) -> Option<ReturnedBody> {
        match &mut future.0 {
            Sending::Http1(sending) => sending.take_back(),
            Sending::Http2(over) => over.sending.take_back(),
        }
    }
}

impl ByProtocol {
    fn send_otherwise(
        &self,
        backend: &Backend,
        request: Request<OutgoingBody>,
    ) -> ByProtocolFuture {
        ByProtocolFuture(match backend.protocol() {
            Protocol::Http2 => {
                let sending = Http2Future::begin(self.0.http2.of(backend), request);
                Sending::Http2(Box::new(OverHttp2 { sending, http1: None }))
            }
            #[cfg(feature = "tls")]
            Protocol::Tls if self.0.tls.is_some() => self.send_over_tls(backend, request),
            _ => Sending::Http1(Http1Future::failed(TransportError::Unsupported)),
        })
    }

    #[cfg(feature = "tls")]
    fn send_over_tls(&self, backend: &Backend, mut request: Request<OutgoingBody>) -> Sending {
        let Some(tls) = &self.0.tls else {
            return Sending::Http1(Http1Future::failed(TransportError::Unsupported));
        };
        framing::state_body(&mut request);
        let http1 = tls.http1.of(backend);
        if request.headers().contains_key(UPGRADE) {
            return Sending::Http1(Http1Future::begin(http1, request));
        }
        let sending = Http2Future::begin(tls.http2.of(backend), request);
        Sending::Http2(Box::new(OverHttp2 { sending, http1: Some(http1) }))
    }
}

impl Future for ByProtocolFuture {
    type Output = Result<Response<ByProtocolBody>, TransportError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            self.0 = match &mut self.0 {
                Sending::Http1(sending) => {
                    let response = ready!(Pin::new(sending).poll(cx))?;
                    return Poll::Ready(Ok(
                        response.map(|body| ByProtocolBody(Coming::Http1(body)))
                    ));
                }
                Sending::Http2(over) => match ready!(Pin::new(&mut over.sending).poll(cx)) {
                    Ok(response) => {
                        let body = |body| ByProtocolBody(Coming::Http2(body));
                        return Poll::Ready(Ok(response.map(body)));
                    }
                    Err(Unsent::Failed(error)) => return Poll::Ready(Err(error)),
                    Err(Unsent::NotHttp2(mut request)) => {
                        let Some(pool) = over.http1.take() else {
                            return Poll::Ready(Err(TransportError::Unsupported));
                        };
                        framing::state_body(&mut request);
                        Sending::Http1(Http1Future::begin(pool, *request))
                    }
                },
            }
        }
    }
}

impl Body for ByProtocolBody {
    type Data = Bytes;
    type Error = hyper::Error;

    #[inline]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Coming::Http1(body) => Pin::new(body).poll_frame(cx),
            Coming::Http2(body) => Pin::new(body).poll_frame(cx),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Coming::Http1(body) => body.is_end_stream(),
            Coming::Http2(body) => body.is_end_stream(),
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Coming::Http1(body) => body.size_hint(),
            Coming::Http2(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for ByProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByProtocol")
    }
}

impl fmt::Debug for ByProtocolFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Sending::Http1(_) => "ByProtocolFuture(Http1)",
            Sending::Http2(_) => "ByProtocolFuture(Http2)",
        })
    }
}
