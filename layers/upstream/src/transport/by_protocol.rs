//! The transport that suits the backend.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bartizan_core::{Backend, backend::Protocol};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;

use super::{
    Http1Body, Http1Future, Http1Transport, HyperFuture, HyperTransport, Transport,
    TransportBuilder, TransportError,
};

/// [`Http1Transport`] for HTTP/1.1 in clear text, [`HyperTransport`] for HTTP/2 and TLS. Clones share their
/// connections.
pub struct ByProtocol<B>(Arc<Both<B>>);

struct Both<B> {
    http1: Http1Transport<B>,
    others: HyperTransport<B>,
}

/// Resolves at the response head.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct ByProtocolFuture<B>(Sending<B>);

#[derive(Debug)]
enum Sending<B> {
    Http1(Http1Future<B>),
    Other(HyperFuture),
}

impl ByProtocol<()> {
    /// Starts to configure a transport.
    pub const fn builder() -> TransportBuilder {
        TransportBuilder::new()
    }
}

impl<B> ByProtocol<B>
where
    B: Body<Data = Bytes> + Send,
{
    pub(super) fn new(config: &TransportBuilder) -> Self {
        let http1 = Http1Transport::new(config);
        Self(Arc::new(Both { http1, others: HyperTransport::new(config) }))
    }
}

impl<B> Transport<B> for ByProtocol<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Body = Http1Body<B>;
    type Future = ByProtocolFuture<B>;

    #[inline]
    fn send(&self, backend: &Backend, request: Request<B>) -> ByProtocolFuture<B> {
        ByProtocolFuture(match backend.protocol() {
            Protocol::Http1 => Sending::Http1(self.0.http1.send(backend, request)),
            _ => Sending::Other(self.0.others.send(backend, request)),
        })
    }
}

impl<B> Future for ByProtocolFuture<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Output = Result<Response<Http1Body<B>>, TransportError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Sending::Http1(sending) => Pin::new(sending).poll(cx),
            Sending::Other(sending) => {
                Pin::new(sending).poll(cx).map_ok(|response| response.map(Http1Body::not_kept))
            }
        }
    }
}

// By hand: a handle is shared whatever the body is.
impl<B> Clone for ByProtocol<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> fmt::Debug for ByProtocol<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByProtocol")
    }
}
