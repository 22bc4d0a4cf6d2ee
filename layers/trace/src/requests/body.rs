//! The response body that ends the span of its request.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use opentelemetry::trace::Span;
use pin_project_lite::pin_project;

use super::future::Recorded;

pin_project! {
    /// A response body; its end is the end of the request's span.
    ///
    /// # Cancellation
    ///
    /// If it is dropped before its end, the span ends as cancelled.
    #[derive(Debug)]
    pub struct TracedBody<R, P: Span> {
        #[pin]
        inner: R,
        recorded: Option<Box<Recorded<P>>>,
    }
}

impl<R, P: Span> TracedBody<R, P> {
    pub(super) const fn new(inner: R, recorded: Option<Box<Recorded<P>>>) -> Self {
        Self { inner, recorded }
    }
}

impl<R: Body, P: Span> Body for TracedBody<R, P> {
    type Data = R::Data;
    type Error = R::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<R::Data>, R::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        if this.recorded.is_some() {
            follow(this.recorded, &frame, this.inner.is_end_stream());
        }
        Poll::Ready(frame)
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[inline(never)]
fn follow<D: Buf, E, P: Span>(
    place: &mut Option<Box<Recorded<P>>>,
    frame: &Option<Result<Frame<D>, E>>,
    is_last: bool,
) {
    let Some(mut recorded) = place.take() else { return };
    let has_ended = match frame {
        None => true,
        Some(Err(_)) => {
            recorded.fail("body");
            true
        }
        Some(Ok(frame)) => {
            let bytes = frame.data_ref().map_or(0, Buf::remaining);
            recorded.sent(bytes as u64) || is_last
        }
    };
    match has_ended {
        true => recorded.end(),
        false => *place = Some(recorded),
    }
}
