//! Transports, which send requests to backends.

mod address;
mod builder;
mod by_protocol;
mod config;
mod connector;
mod dialer;
mod error;
mod framing;
mod http1;
mod http2;
mod hyper_client;
mod moving_client;
mod outgoing;
mod pools;
mod socket;
#[cfg(feature = "tls")]
mod tls;
mod write_timeout;

use std::pin::Pin;

use bartizan_core::{Backend, Reason, failure::FailureKind, refusal::ReturnedBody};
use http::{Request, Response};

pub use builder::TransportBuilder;
pub use by_protocol::{ByProtocol, ByProtocolBody, ByProtocolFuture};
pub use http1::{Http1Body, Http1Future, Http1Transport};
pub(crate) use http2::HeldStream;
pub use hyper_client::{HyperFuture, HyperTransport};

/// Sends one request to one backend: what [`Upstream`](crate::Upstream) is built on.
///
/// A request is sent once: an implementation may retry only what no backend can have seen.
///
/// ```
/// use std::sync::{
///     Arc,
///     atomic::{AtomicU64, Ordering},
/// };
///
/// use bartizan_core::Backend;
/// use bartizan_upstream::{Upstream, transport::{Transport, TransportBuilder}};
/// use http::Request;
///
/// /// Counts the requests that are sent.
/// #[derive(Clone)]
/// struct Counting<C> {
///     inner: C,
///     sent: Arc<AtomicU64>,
/// }
///
/// impl<B, C: Transport<B>> Transport<B> for Counting<C> {
///     type Body = C::Body;
///     type Future = C::Future;
///
///     fn send(&self, backend: &Backend, request: Request<B>) -> C::Future {
///         self.sent.fetch_add(1, Ordering::Relaxed);
///         self.inner.send(backend, request)
///     }
/// }
///
/// let sent = Arc::new(AtomicU64::new(0));
/// let transport = Counting { inner: TransportBuilder::new().build(), sent: sent.clone() };
/// let upstream = Upstream::builder().build_on(transport);
/// # let _ = upstream;
/// ```
///
/// # Cancellation
///
/// Dropping the future, or the response body, aborts the exchange at once.
pub trait Transport<B> {
    /// The response body.
    type Body;
    /// Resolves at the response head.
    type Future: Future<Output = Result<Response<Self::Body>, TransportError>>;

    /// Sends `request`. Its URI has only path and query, and its version is the one that `backend` uses.
    fn send(&self, backend: &Backend, request: Request<B>) -> Self::Future;

    /// Takes the request body back from an exchange that has failed or timed out, if none of the request was sent. The
    /// refusal then carries it, so that its JSON-RPC id can be read. The future is not polled again. Default: none.
    #[must_use]
    fn take_back(_future: Pin<&mut Self::Future>) -> Option<ReturnedBody> {
        None
    }
}

/// Why a backend gave no response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TransportError {
    /// The backend or the connection to it failed.
    Failed(FailureKind),
    /// The request could not be sent completely, for a reason on the client's side.
    Request(Reason),
    /// The transport cannot reach a backend of this kind.
    Unsupported,
}
