//! The response body, which returns its connection to the pool.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{give_up, link::Link, pool::Pool};

/// A streaming response body. At its end, the connection is returned to the pool.
///
/// # Cancellation
///
/// Dropping it before its end closes the connection, unless at most 64 KiB are left and arrive within 100 ms.
pub struct Http1Body {
    // Taken out when this is dropped.
    incoming: Option<Incoming>,
    borrowed: Option<Borrowed>,
}

struct Borrowed {
    link: Link,
    pool: Arc<Pool>,
}

impl Http1Body {
    #[inline]
    pub(super) fn new(incoming: Incoming, link: Link, pool: Arc<Pool>) -> Self {
        let mut body = Self { incoming: Some(incoming), borrowed: Some(Borrowed { link, pool }) };
        body.return_at_end();
        body
    }

    /// A body whose connection is handled elsewhere.
    #[inline]
    pub(in super::super) const fn not_kept(incoming: Incoming) -> Self {
        Self { incoming: Some(incoming), borrowed: None }
    }

    #[inline]
    fn return_at_end(&mut self) {
        if self.is_end_stream() {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if let Some(borrowed) = self.borrowed.take() {
            borrowed.pool.check_in_when_ready(borrowed.link);
        }
    }
}

impl Body for Http1Body {
    type Data = Bytes;
    type Error = hyper::Error;

    #[inline]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let polled = Pin::new(incoming).poll_frame(cx);
        match &polled {
            // Nothing follows trailers, so a reader may stop polling here.
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => self.give_back(),
            Poll::Ready(Some(Ok(_))) => self.return_at_end(),
            Poll::Ready(None) => self.give_back(),
            // The body broke off, so the connection is closed.
            Poll::Ready(Some(Err(_))) => self.borrowed = None,
            Poll::Pending => {}
        }
        polled
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

impl Drop for Http1Body {
    #[inline]
    fn drop(&mut self) {
        if let Some(borrowed) = self.borrowed.take()
            && let Some(incoming) = self.incoming.take()
        {
            give_up::within_body(incoming, borrowed.link, borrowed.pool);
        }
    }
}

impl fmt::Debug for Http1Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http1Body").field("incoming", &self.incoming).finish_non_exhaustive()
    }
}
