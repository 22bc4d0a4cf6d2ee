//! The response body: passed on untouched, or an event stream that may be ended.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bartizan_core::GuardBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{
    keep_alive::COMMENT,
    tracked::{Quiet, Tracked},
};

pin_project! {
    /// A response body. An event stream has a place among the others for as long as it lives.
    #[derive(Debug)]
    pub struct StreamBody<B> {
        #[pin]
        body: GuardBody<B>,
        tracked: Option<Pin<Box<Tracked>>>,
    }
}

impl<B> StreamBody<B> {
    pub(crate) const fn untracked(body: GuardBody<B>) -> Self {
        Self { body, tracked: None }
    }

    pub(crate) fn tracked(body: GuardBody<B>, tracked: Tracked) -> Self {
        Self { body, tracked: Some(Box::pin(tracked)) }
    }
}

impl<B: Body<Data = Bytes>> Body for StreamBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let Some(tracked) = this.tracked else { return this.body.poll_frame(cx) };
        let quiet = match tracked.as_mut().verdict() {
            Some(cause) => Quiet::End(cause),
            None => match this.body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    tracked.as_mut().passed(&frame);
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(end) => {
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
                // The backend learns at once that nobody listens any more.
                this.body.set(GuardBody::refused(Bytes::new()));
                Poll::Ready(None)
            }
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match self.tracked {
            None => self.body.size_hint(),
            // It may end before its end, and comments may come in between.
            Some(_) => SizeHint::default(),
        }
    }
}
