//! The request body that the service inside gets.

use std::{
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::kept::Kept;

/// The request body that the service inside gets: the client's, kept by reference as it passes in case the
/// request has to be sent again; or one of this layer's own.
pub struct ReplayBody<B>(State<B>);

enum State<B> {
    Passed(B),
    Kept { kept: Arc<Kept<B>>, turn: u32 },
    // Boxed: it is rare, and the others are moved through every layer below.
    Own(Box<Bytes>),
}

impl<B> ReplayBody<B> {
    pub(crate) const fn passed(body: B) -> Self {
        Self(State::Passed(body))
    }

    pub(crate) const fn kept(kept: Arc<Kept<B>>, turn: u32) -> Self {
        Self(State::Kept { kept, turn })
    }

    pub(crate) fn own(text: Bytes) -> Self {
        Self(State::Own(Box::new(text)))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for ReplayBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match &mut self.0 {
            State::Passed(body) => Pin::new(body).poll_frame(cx),
            State::Kept { kept, turn } => kept.next_frame(*turn, cx),
            State::Own(text) if text.is_empty() => Poll::Ready(None),
            State::Own(text) => Poll::Ready(Some(Ok(Frame::data(mem::take(&mut **text))))),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match &self.0 {
            State::Passed(body) => body.is_end_stream(),
            State::Kept { kept, turn } => kept.has_ended(*turn),
            State::Own(text) => text.is_empty(),
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            State::Passed(body) => body.size_hint(),
            State::Kept { kept, turn } => kept.size_hint(*turn),
            State::Own(text) => SizeHint::with_exact(text.len() as u64),
        }
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Passed(_) => "ReplayBody(Passed)",
            State::Kept { .. } => "ReplayBody(Kept)",
            State::Own(_) => "ReplayBody(Own)",
        })
    }
}
