//! The two bodies of an exchange, which count as in flight until they are dropped.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::server::{
    connection_state::{InFlight, Upload},
    stream_executor::StreamProgress,
};

pin_project! {
    /// A request body that counts as incomplete until it is dropped.
    #[derive(Debug)]
    pub(crate) struct UploadBody<B> {
        #[pin]
        body: B,
        // Dropped with the body: a reader drops the body at its end.
        _upload: Option<Upload>,
    }
}

pin_project! {
    /// A response body that counts as in flight until it is dropped.
    #[derive(Debug)]
    pub(in crate::server) struct InFlightBody<B> {
        #[pin]
        body: B,
        in_flight: InFlight,
        // Only over HTTP/2.
        progress: Option<Arc<StreamProgress>>,
    }
}

impl<B> UploadBody<B> {
    pub(super) const fn new(body: B, upload: Option<Upload>) -> Self {
        Self { body, _upload: upload }
    }
}

impl<B> InFlightBody<B> {
    pub(super) const fn new(
        body: B,
        in_flight: InFlight,
        progress: Option<Arc<StreamProgress>>,
    ) -> Self {
        Self { body, in_flight, progress }
    }
}

impl<B: Body> Body for UploadBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
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

impl<B: Body> Body for InFlightBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        // hyper polls the body while its buffer has room, and again when the socket has accepted the buffered bytes.
        if this.in_flight.connection().is_blocked() {
            return Poll::Pending;
        }
        let polled = this.body.poll_frame(cx);
        if let Some(progress) = this.progress {
            progress.record(matches!(polled, Poll::Ready(Some(Ok(_)))));
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::poll;
    use http_body_util::{BodyExt, Full};

    use super::*;
    use crate::server::connection_state::ConnectionState;

    #[tokio::test]
    async fn a_body_waits_while_the_socket_takes_nothing() {
        let connection = Arc::<ConnectionState>::default();
        let in_flight = InFlight::begin(Arc::clone(&connection));
        let body = Full::new(Bytes::from_static(b"body"));
        let mut body = InFlightBody::new(body, in_flight, None);
        connection.set_blocked(true);
        assert!(poll!(body.frame()).is_pending());
        connection.set_blocked(false);
        assert!(poll!(body.frame()).is_ready());
    }
}
