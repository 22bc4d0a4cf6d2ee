//! A lean transport for HTTP/1.1 in clear text: hyper's connections, and a pool of them for each backend.
//!
//! A connection runs in its own task. A request takes it out of the pool and uses it exclusively;
//! the response body returns it at its end. A pooled connection may have been closed in the
//! meantime: hyper then returns the request, of which nothing was written, and it goes to the next
//! connection. After a byte was written, the request is never sent again.

mod body;
mod dial;
mod future;
mod give_up;
mod link;
mod pool;

use std::{error::Error, fmt, pin::Pin, sync::Arc};

use bartizan_core::{Backend, backend::Protocol, refusal::ReturnedBody};
use bytes::Bytes;
use http::Request;
use http_body::Body;

pub use body::Http1Body;
pub use future::Http1Future;

pub(super) use pool::Pool;

use super::{
    Transport, TransportError, config::Config, dialer::Dialer, framing, outgoing::OutgoingBody,
    pools::Pools,
};

/// Connections to backends that speak HTTP/1.1 in clear text. Clones share them.
///
/// An unused connection is closed after
/// [`TransportBuilder::idle_timeout`](super::TransportBuilder::idle_timeout), or when the last clone and the
/// last response body are gone.
#[derive(Clone)]
pub struct Http1Transport(Arc<Pools<Pool>>);

impl Http1Transport {
    pub(super) fn new(config: &Config) -> Self {
        Self(Arc::new(Pools::new(config, config.dialer())))
    }

    /// A transport with its own connections, for the thread of another runtime; see
    /// [`Upstream::for_worker`](crate::Upstream::for_worker).
    #[must_use]
    pub fn for_worker(&self) -> Self {
        Self(self.0.for_worker())
    }

    pub(super) fn dialer(&self) -> &Dialer {
        self.0.dialer()
    }
}

impl<B> Transport<B> for Http1Transport
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    type Body = Http1Body;
    type Future = Http1Future;

    #[inline]
    fn send(&self, backend: &Backend, mut request: Request<B>) -> Http1Future {
        if backend.protocol() != Protocol::Http1 {
            return Http1Future::failed(TransportError::Unsupported);
        }
        framing::state_body(&mut request);
        Http1Future::begin(self.0.of(backend), request.map(OutgoingBody::new))
    }

    fn take_back(mut future: Pin<&mut Http1Future>) -> Option<ReturnedBody> {
        Http1Future::take_back(&mut future)
    }
}

impl fmt::Debug for Http1Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http1Transport")
    }
}
