//! The body of an event stream that may be ended.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{
    keep_alive::COMMENT,
    signal::Cause,
    tracked::{Quiet, Tracked},
};

pin_project! {
    /// An event stream with its place among the others, for as long as it lives.
    #[derive(Debug)]
    pub(crate) struct TrackedBody<B: Body> {
        // `None` once the stream was ended, so that the backend learns at once that the client no
        // longer listens.
        #[pin]
        body: Option<B>,
        tracked: Option<Pin<Box<Tracked>>>,
    }

    impl<B: Body> PinnedDrop for TrackedBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // A server that sees the end from the last frame does not ask for it.
            if let Some(tracked) = this.tracked
                && this.body.as_ref().get_ref().as_ref().is_some_and(Body::is_end_stream)
            {
                tracked.has_ended(Cause::Finished);
            }
        }
    }
}

impl<B: Body> TrackedBody<B> {
    pub(crate) fn new(body: B, tracked: Tracked) -> Self {
        Self { body: Some(body), tracked: Some(Box::pin(tracked)) }
    }
}

impl<B: Body<Data = Bytes>> Body for TrackedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let Some(tracked) = this.tracked else { return body.poll_frame(cx) };
        let quiet = match tracked.as_mut().verdict() {
            Some(cause) => Quiet::End(cause),
            None => match body.poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    tracked.as_mut().passed(&frame);
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(end) => {
                    tracked.has_ended(if end.is_none() { Cause::Finished } else { Cause::Failed });
                    *this.tracked = None;
                    return Poll::Ready(end);
                }
                Poll::Pending => ready!(tracked.as_mut().poll_quiet(cx)),
            },
        };
        match quiet {
            Quiet::Comment => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(COMMENT))))),
            Quiet::End(cause) => {
                tracked.end(cause);
                *this.tracked = None;
                this.body.set(None);
                Poll::Ready(None)
            }
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match (&self.body, &self.tracked) {
            (None, _) => SizeHint::with_exact(0),
            (Some(body), None) => body.size_hint(),
            // Unknown, because the stream may be ended early and comments may be inserted.
            (Some(_), Some(_)) => SizeHint::default(),
        }
    }
}
