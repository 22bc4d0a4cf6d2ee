//! The request body of a connection.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};

type BoxError = Box<dyn Error + Send + Sync>;

/// A request body of any type, boxed. A pooled connection outlives the service that made it, and hyper's connections
/// are generic over the bodies that they send; with boxed bodies, all requests can share connections.
pub(super) enum OutgoingBody {
    /// The common case of a GET or DELETE, which needs no box.
    Empty,
    Boxed(UnsyncBoxBody<Bytes, BoxError>),
}

impl OutgoingBody {
    #[inline]
    pub(super) fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        if body.is_end_stream() {
            return Self::Empty;
        }
        Self::Boxed(body.map_err(Into::into).boxed_unsync())
    }
}

impl Body for OutgoingBody {
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Boxed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Boxed(body) => body.is_end_stream(),
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Boxed(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{Empty, Full, StreamBody};

    use super::*;

    #[tokio::test]
    async fn a_body_keeps_its_length_and_an_empty_one_is_not_boxed() {
        let full = OutgoingBody::new(Full::new(Bytes::from("abc")));
        assert_eq!(full.size_hint().exact(), Some(3));
        assert_eq!(full.collect().await.unwrap().to_bytes(), "abc");
        assert!(matches!(OutgoingBody::new(Empty::new()), OutgoingBody::Empty));
        let frames = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from("x")))]);
        let streamed = OutgoingBody::new(StreamBody::new(frames));
        assert_eq!(streamed.size_hint().exact(), None);
        assert!(!streamed.is_end_stream());
    }
}
