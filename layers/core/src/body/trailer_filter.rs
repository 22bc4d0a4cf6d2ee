//! A message body whose trailers are filtered.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::fields::hop_by_hop::TrailerRule;

pin_project! {
    /// A message body, forwarded frame by frame, without the fields that trailers must not contain.
    #[derive(Debug)]
    pub struct TrailerFilterBody<B> {
        #[pin]
        body: B,
        trailers: TrailerRule,
    }
}

impl<B> TrailerFilterBody<B> {
    /// Forwards `body`, and filters its trailers by the rule `trailers`.
    pub const fn new(body: B, trailers: TrailerRule) -> Self {
        Self { body, trailers }
    }
}

impl<B: Body<Data = Bytes>> Body for TrailerFilterBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let mut polled = this.body.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(trailers) = frame.trailers_mut()
        {
            this.trailers.apply(trailers);
        }
        polled
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
