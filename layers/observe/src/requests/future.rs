//! The response future: from a request to the head of its response.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bartizan_core::Reason;
use http::{Method, Response};
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::body::ObservedBody;
use crate::{metrics::Shared, names};

pin_project! {
    /// Response future of [`ObserveRequests`](crate::ObserveRequests).
    ///
    /// # Cancellation
    ///
    /// Dropping it drops the inner future, and counts the request as one without a response.
    #[must_use = "futures do nothing unless polled"]
    pub struct RequestsFuture<F> {
        #[pin]
        inner: F,
        open: Open,
    }
}

/// A request that has no response yet. Dropped, it had none.
pub(super) struct Open {
    // None: the layer is off, or there was a response.
    active: Option<Active>,
    // None: the layer is off.
    begun: Option<Instant>,
    method: usize,
}

/// A request counts as active for as long as this lives.
pub(super) struct Active(Arc<Shared>);

impl<F> RequestsFuture<F> {
    #[inline]
    pub(super) const fn new(inner: F, open: Open) -> Self {
        Self { inner, open }
    }
}

impl<F, R, E> Future for RequestsFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ObservedBody<R>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let active = this.open.respond(&response);
        Poll::Ready(Ok(response.map(|body| ObservedBody::new(body, active))))
    }
}

impl Open {
    /// Begins to count, unless the layer is off.
    #[inline]
    pub(super) fn new(shared: Option<&Arc<Shared>>, method: &Method) -> Self {
        match shared {
            None => Self { active: None, begun: None, method: 0 },
            Some(shared) => Self {
                active: Some(Active::new(shared)),
                begun: Some(Instant::now()),
                method: names::method(method),
            },
        }
    }

    #[inline]
    fn respond<R>(&mut self, response: &Response<R>) -> Option<Active> {
        let active = self.active.take()?;
        let (status, reason) = (response.status(), Reason::of(response));
        active.0.requests.responded(self.method, status, reason, self.age());
        Some(active)
    }

    #[inline]
    fn age(&self) -> Duration {
        self.begun.map(|begun| begun.elapsed()).unwrap_or_default()
    }
}

impl Drop for Open {
    #[inline]
    fn drop(&mut self) {
        if let Some(active) = self.active.take() {
            active.0.requests.abandoned(self.method, self.age());
        }
    }
}

impl Active {
    #[inline]
    fn new(shared: &Arc<Shared>) -> Self {
        shared.requests.begin();
        Self(Arc::clone(shared))
    }

    #[inline]
    pub(super) fn sent(&self, bytes: usize) {
        self.0.requests.sent(bytes);
    }
}

impl Drop for Active {
    #[inline]
    fn drop(&mut self) {
        self.0.requests.end();
    }
}

impl<F> fmt::Debug for RequestsFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestsFuture").field("is_open", &self.open.active.is_some()).finish()
    }
}
