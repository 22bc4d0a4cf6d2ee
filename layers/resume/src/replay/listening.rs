//! The body of an event stream that the client listens to.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The body of an event stream that the client listens to. If the backend's stream breaks off, this one ends
    /// cleanly, and the client opens another.
    pub(crate) struct Listening<R> {
        #[pin]
        body: R,
        has_ended: bool,
    }
}

impl<R> Listening<R> {
    pub(crate) const fn new(body: R) -> Self {
        Self { body, has_ended: false }
    }
}

impl<R: Body<Data = Bytes>> Body for Listening<R> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        let this = self.project();
        if *this.has_ended {
            return Poll::Ready(None);
        }
        match ready!(this.body.poll_frame(cx)) {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(Err(_)) | None => {
                *this.has_ended = true;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // It may end early.
        SizeHint::default()
    }
}
