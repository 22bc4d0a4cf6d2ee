//! The response body, which keeps its stream counted.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::stream::Stream;

/// A streaming response body. At its end, another request may use the stream.
///
/// If it is dropped before its end, the stream is reset.
pub(in super::super) struct Http2Body {
    incoming: Incoming,
    stream: Option<Arc<Stream>>,
}

impl Http2Body {
    pub(super) fn new(incoming: Incoming, stream: Arc<Stream>) -> Self {
        let stream = (!incoming.is_end_stream()).then_some(stream);
        Self { incoming, stream }
    }
}

impl Body for Http2Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        let is_over = match &polled {
            Poll::Ready(Some(Ok(frame))) => frame.is_trailers() || self.incoming.is_end_stream(),
            Poll::Ready(Some(Err(_)) | None) => true,
            Poll::Pending => false,
        };
        if is_over {
            self.stream = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl fmt::Debug for Http2Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Body").field("incoming", &self.incoming).finish_non_exhaustive()
    }
}
