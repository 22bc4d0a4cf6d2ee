//! The response future of [`TraceRequests`](super::TraceRequests), and when a span ends.
//!
//! | state | next |
//! |---|---|
//! | `recorded`: some | the head sets its status; then it ends, or goes with the body |
//! | `recorded`: none | nothing is recorded |

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bartizan_core::{fields::media::is_event_stream, mcp};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use opentelemetry::trace::Span;
use pin_project_lite::pin_project;

use super::body::TracedBody;
use crate::{attributes, span::OpenSpan};

pin_project! {
    /// Response future of [`TraceRequests`](crate::TraceRequests).
    ///
    /// # Cancellation
    ///
    /// Dropping it drops the inner future, and ends the span as cancelled.
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct ResponseFuture<F, P: Span> {
        #[pin]
        inner: F,
        recorded: Option<Box<Recorded<P>>>,
    }
}

/// The span of a request, and what must be known to end it.
#[derive(Debug)]
pub(super) struct Recorded<P: Span> {
    span: OpenSpan<P>,
    is_head: bool,
    // An event stream in response to it has no end of its own.
    listens: bool,
    /// How many bytes of the body are left, if that is known.
    left: Option<u64>,
}

impl<F, P: Span> ResponseFuture<F, P> {
    pub(super) const fn new(inner: F, recorded: Option<Box<Recorded<P>>>) -> Self {
        Self { inner, recorded }
    }
}

impl<F, R, E, P> Future for ResponseFuture<F, P>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
    P: Span,
{
    type Output = Result<Response<TracedBody<R, P>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = ready!(this.inner.poll(cx));
        let recorded = match this.recorded.take() {
            Some(recorded) => recorded.respond(&outcome),
            None => None,
        };
        Poll::Ready(outcome.map(|response| response.map(|body| TracedBody::new(body, recorded))))
    }
}

impl<P: Span> Recorded<P> {
    pub(super) fn new<B>(span: OpenSpan<P>, request: &Request<B>) -> Self {
        let listens = *request.method() == Method::GET
            || request
                .headers()
                .get(&mcp::METHOD)
                .is_some_and(|method| method == "subscriptions/listen");
        Self { span, is_head: *request.method() == Method::HEAD, listens, left: None }
    }

    /// Records the head of the response; none if the span ends with it.
    #[inline(never)]
    fn respond<R: Body, E>(
        mut self: Box<Self>,
        outcome: &Result<Response<R>, E>,
    ) -> Option<Box<Self>> {
        let Ok(response) = outcome else {
            self.span.fail("service");
            self.end();
            return None;
        };
        let status = response.status();
        self.span.set(attributes::status(status));
        match (attributes::made_here(response), status.is_server_error()) {
            (Some(reason), true) => self.span.fail(reason),
            // The client's mistake is not the server's error.
            (Some(reason), false) => {
                self.span.set(opentelemetry::KeyValue::new(attributes::ERROR_TYPE, reason));
            }
            (None, true) => self.span.fail(status.as_str().to_owned()),
            (None, false) => {}
        }
        self.left = response.body().size_hint().exact();
        let is_tunnel = status == StatusCode::SWITCHING_PROTOCOLS;
        let is_empty = self.is_head
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || self.left == Some(0)
            || response.body().is_end_stream();
        if is_tunnel || is_empty || (self.listens && is_event_stream(response.headers())) {
            self.end();
            return None;
        }
        Some(self)
    }

    /// Counts `bytes` of the body; whether they were the last.
    pub(super) fn sent(&mut self, bytes: u64) -> bool {
        self.left = self.left.map(|left| left.saturating_sub(bytes));
        self.left == Some(0)
    }

    pub(super) fn fail(&mut self, error: &'static str) {
        self.span.fail(error);
    }

    pub(super) fn end(self) {
        self.span.end();
    }
}
