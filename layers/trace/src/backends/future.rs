//! The response future of [`TraceBackends`](super::TraceBackends): the span ends with the head of the response.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;
use opentelemetry::trace::Span;
use pin_project_lite::pin_project;

use crate::{attributes, span::OpenSpan};

pin_project! {
    /// Response future of [`TraceBackends`](crate::TraceBackends).
    ///
    /// # Cancellation
    ///
    /// Dropping it drops the inner future, and ends the span as cancelled.
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct TryFuture<F, P: Span> {
        #[pin]
        inner: F,
        span: Option<Box<OpenSpan<P>>>,
    }
}

impl<F, P: Span> TryFuture<F, P> {
    pub(super) const fn new(inner: F, span: Option<Box<OpenSpan<P>>>) -> Self {
        Self { inner, span }
    }
}

impl<F, R, E, P> Future for TryFuture<F, P>
where
    F: Future<Output = Result<Response<R>, E>>,
    P: Span,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // Looked at where it is: to take it out would move all of it.
        let polled = this.inner.poll(cx);
        if let Poll::Ready(outcome) = &polled
            && let Some(span) = this.span.take()
        {
            respond(*span, outcome);
        }
        polled
    }
}

#[inline(never)]
fn respond<R, E, P: Span>(mut span: OpenSpan<P>, outcome: &Result<Response<R>, E>) {
    match outcome {
        Err(_) => span.fail("service"),
        Ok(response) => match attributes::made_here(response) {
            // It is not the backend's response.
            Some(reason) => span.fail(reason),
            None => {
                let status = response.status();
                span.set(attributes::status(status));
                if status.is_client_error() || status.is_server_error() {
                    span.fail(status.as_str().to_owned());
                }
            }
        },
    }
    span.end();
}
