//! A response body that was read in part.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bartizan_core::body::size_with_read;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A response body that was read in part: yields the part that was read, and then the rest.
pub(crate) struct Looked<R: Body> {
    pub(crate) frames: VecDeque<Frame<Bytes>>,
    pub(crate) rest: Option<Pin<Box<R>>>,
    pub(crate) error: Option<R::Error>,
}

impl<R: Body<Data = Bytes>> Body for Looked<R> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        let this = self.get_mut();
        if let Some(frame) = this.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(error) = this.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match &mut this.rest {
            Some(rest) => rest.as_mut().poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
            && self.error.is_none()
            && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        if self.error.is_some() {
            return SizeHint::default();
        }
        let read = self.frames.iter().filter_map(Frame::data_ref).map(Bytes::len).sum();
        size_with_read(read, self.rest.as_ref().map(|rest| rest.size_hint()))
    }
}

// Only the rest is pinned. (An error need not be `Unpin`.)
impl<R: Body> Unpin for Looked<R> {}
