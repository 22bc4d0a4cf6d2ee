//! The response future: from a request to a backend to the head of its response.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
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
        sent: Sent,
    }
}

/// A request that a backend has not responded to yet. Dropped, it was cancelled.
#[derive(Default)]
pub(super) struct Sent {
    // None: the layer is off, or there was a response.
    slot: Option<Arc<Slot>>,
    // None: the layer is off.
    at: Option<Instant>,
}

impl<F> BackendsFuture<F> {
    #[inline]
    pub(super) const fn new(inner: F, sent: Sent) -> Self {
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
        // Looked at where it is: to take it out would move all of it.
        let polled = this.inner.poll(cx);
        if let Poll::Ready(Ok(response)) = &polled {
            this.sent.respond(response);
        }
        polled
    }
}

impl Sent {
    #[inline]
    pub(super) fn new(slot: Arc<Slot>) -> Self {
        Self { slot: Some(slot), at: Some(Instant::now()) }
    }

    #[inline]
    fn respond<R>(&mut self, response: &Response<R>) {
        if let Some(slot) = self.slot.take() {
            slot.responded(response, self.age());
        }
    }

    #[inline]
    fn age(&self) -> Duration {
        self.at.map(|at| at.elapsed()).unwrap_or_default()
    }
}

impl Drop for Sent {
    #[inline]
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.abandoned(self.age());
        }
    }
}

impl<F> fmt::Debug for BackendsFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendsFuture").field("is_open", &self.sent.slot.is_some()).finish()
    }
}
