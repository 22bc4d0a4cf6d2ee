//! The body of a kept request, as the inner service gets it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::kept::Kept;

/// The client's body, kept by reference as it passes in case the request has to be sent again. It replaces the incoming
/// body, so that the inner service gets one type of body.
pub(crate) struct ReplayBody<B> {
    kept: Arc<Kept<B>>,
    turn: u32,
}

impl<B> ReplayBody<B> {
    pub(crate) const fn new(kept: Arc<Kept<B>>, turn: u32) -> Self {
        Self { kept, turn }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for ReplayBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.kept.next_frame(self.turn, cx)
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.kept.has_ended(self.turn)
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.kept.size_hint(self.turn)
    }
}
