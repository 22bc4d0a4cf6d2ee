//! The request body of a stream.

use std::{
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{super::outgoing::OutgoingBody, stream::Stream, upload::Sending};

/// A request body that keeps its stream counted: a backend may answer before it has read all of it. It records whether
/// the backend reads its data.
pub(super) struct StreamedBody {
    body: OutgoingBody,
    sending: Sending,
}

impl StreamedBody {
    pub(super) fn new(body: OutgoingBody, stream: Arc<Stream>) -> Self {
        Self { body, sending: Sending::new(stream) }
    }

    pub(super) fn into_inner(self) -> OutgoingBody {
        self.body
    }
}

impl Body for StreamedBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.sending.asked();
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && frame.is_data()
        {
            self.sending.given();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
