//! The response body: its bytes, and its end.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::future::Active;

pin_project! {
    /// A response body whose bytes are counted. The request is active until its end, or until it is dropped.
    ///
    /// Frames are passed on as they come; none is kept.
    pub struct ObservedBody<B> {
        #[pin]
        body: B,
        // None: the layer is off, or the body has ended.
        active: Option<Active>,
    }
}

impl<B> ObservedBody<B> {
    pub(super) const fn new(body: B, active: Option<Active>) -> Self {
        Self { body, active }
    }

    /// The body inside.
    pub fn get_ref(&self) -> &B {
        &self.body
    }
}

impl<B: Body> Body for ObservedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(active), Some(data)) = (this.active, frame.data_ref()) {
                    active.sent(data.remaining());
                }
            }
            Some(Err(_)) | None => *this.active = None,
        }
        Poll::Ready(frame)
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

impl<B: fmt::Debug> fmt::Debug for ObservedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { body, active } = self;
        let mut debug = f.debug_struct("ObservedBody");
        debug.field("body", body).field("is_active", &active.is_some()).finish()
    }
}
