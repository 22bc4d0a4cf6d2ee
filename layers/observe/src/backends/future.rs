//! The response future: from a request to a backend to the head of its response.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::slot::Slot;

pin_project! {
    /// Response future of [`ObserveBackends`](crate::ObserveBackends).
    ///
    /// # Cancellation
    ///
    /// Dropping it drops the inner future, and counts the request as cancelled.
    #[must_use = "futures do nothing unless polled"]
    pub struct BackendsFuture<F> {
        #[pin]
        inner: F,
        // None: the layer is off, or there was a response.
        sent: Option<Sent>,
    }
}

/// A request that a backend has not responded to yet. Dropped, it was cancelled.
pub(super) struct Sent {
    // None: it was counted.
    slot: Option<Arc<Slot>>,
    at: Instant,
}

impl<F> BackendsFuture<F> {
    pub(super) const fn new(inner: F, sent: Option<Sent>) -> Self {
        Self { inner, sent }
    }
}

impl<F, R, E> Future for BackendsFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        if let Some(sent) = this.sent.take() {
            sent.respond(&response);
        }
        Poll::Ready(Ok(response))
    }
}

impl Sent {
    #[inline]
    pub(super) fn new(slot: Arc<Slot>) -> Self {
        Self { slot: Some(slot), at: Instant::now() }
    }

    #[inline]
    fn respond<R>(mut self, response: &Response<R>) {
        if let Some(slot) = self.slot.take() {
            slot.responded(response, self.at.elapsed());
        }
    }
}

impl Drop for Sent {
    #[inline]
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.abandoned(self.at.elapsed());
        }
    }
}

impl<F> fmt::Debug for BackendsFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendsFuture").field("is_open", &self.sent.is_some()).finish()
    }
}
