//! The transport that suits the backend.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bartizan_core::{Backend, backend::Protocol, failure::FailureKind, refusal::ReturnedBody};
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::Body;

use super::{
    Http1Body, Http1Future, Http1Transport, HyperFuture, HyperTransport, Transport, TransportError,
    config::Config,
};

/// [`Http1Transport`] for HTTP/1.1 in clear text, [`HyperTransport`] for HTTP/2 and TLS. Clones share their
/// connections.
#[derive(Clone)]
pub struct ByProtocol(Arc<Both>);

struct Both {
    http1: Http1Transport,
    others: HyperTransport,
}

/// Resolves at the response head.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct ByProtocolFuture(Sending);

#[derive(Debug)]
enum Sending {
    Http1(Http1Future),
    Other(HyperFuture),
}

impl ByProtocol {
    pub(super) fn new(config: &Config) -> Self {
        let http1 = Http1Transport::new(config);
        Self(Arc::new(Both { http1, others: HyperTransport::new(config) }))
    }

    /// Makes a TCP connection to `backend`, at the address that its requests go to, and closes it.
    ///
    /// # Errors
    ///
    /// Why none could be made.
    ///
    /// # Cancellation
    ///
    /// Dropped, the attempt ends.
    pub fn connect(
        &self,
        backend: &Backend,
    ) -> impl Future<Output = Result<(), FailureKind>> + Send + use<> {
        let names = match backend.protocol() {
            Protocol::Http1 => Some(self.0.http1.names()),
            _ => self.0.others.names(backend),
        };
        let uri = origin(backend);
        async move {
            let Some((names, uri)) = names.zip(uri) else {
                return Err(FailureKind::ConnectionLimit);
            };
            names.connect(&uri).await.map(drop).map_err(|error| error.kind())
        }
    }
}

fn origin(backend: &Backend) -> Option<Uri> {
    let uri = Uri::builder().scheme(backend.scheme().clone());
    uri.authority(backend.authority().clone()).path_and_query("/").build().ok()
}

impl<B> Transport<B> for ByProtocol
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    type Body = Http1Body;
    type Future = ByProtocolFuture;

    #[inline]
    fn send(&self, backend: &Backend, request: Request<B>) -> ByProtocolFuture {
        ByProtocolFuture(match backend.protocol() {
            Protocol::Http1 => Sending::Http1(self.0.http1.send(backend, request)),
            _ => Sending::Other(self.0.others.send(backend, request)),
        })
    }

    fn take_back(mut future: Pin<&mut ByProtocolFuture>) -> Option<ReturnedBody> {
        match &mut future.0 {
            Sending::Http1(sending) => sending.take_back(),
            Sending::Other(_) => None,
        }
    }
}

impl Future for ByProtocolFuture {
    type Output = Result<Response<Http1Body>, TransportError>;

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

impl fmt::Debug for ByProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByProtocol")
    }
}
