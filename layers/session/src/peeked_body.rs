//! A request body that yields the frames that were already read, and then the rest.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bartizan_core::body::{ReplaceBody, Replacement, size_with_read};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A request body that yields the frames that were already read, unchanged, and then the rest.
///
/// A body that was never read costs an empty pointer. Dropping it drops the body. A layer below may replace it
/// ([`ReplaceBody`]).
#[derive(Debug)]
pub struct PeekedBody<B> {
    // Boxed, because a body moves through every layer with its request, and this is mostly empty.
    first: Option<Box<First<B>>>,
    rest: Option<B>,
}

/// What comes before the rest of the body.
#[derive(Debug)]
enum First<B> {
    /// The frames that were read.
    Read(VecDeque<Frame<Bytes>>),
    /// A replacement body, without a rest.
    Replaced(Replacement<B>),
}

impl<B> PeekedBody<B> {
    /// Wraps a body that was not read.
    pub(crate) const fn untouched(body: B) -> Self {
        Self { first: None, rest: Some(body) }
    }

    /// Puts `read` before the rest of the body, if any is left.
    pub(crate) fn with_read(read: VecDeque<Frame<Bytes>>, rest: Option<B>) -> Self {
        let first = (!read.is_empty()).then(|| Box::new(First::Read(read)));
        Self { first, rest }
    }

    /// A body without content, for requests that a layer makes itself.
    pub(crate) const fn empty() -> Self {
        Self { first: None, rest: None }
    }

    fn replaced(replacement: Replacement<B>) -> Self {
        Self { first: Some(Box::new(First::Replaced(replacement))), rest: None }
    }
}

impl<B: Body<Data = Bytes> + Unpin> ReplaceBody for PeekedBody<B> {
    fn from_bytes(bytes: Bytes) -> Self {
        Self::replaced(Replacement::text(bytes))
    }

    fn from_body<T>(body: T) -> Self
    where
        T: Body<Data = Bytes, Error = B::Error> + Send + 'static,
    {
        Self::replaced(Replacement::body(body))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for PeekedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.first.as_deref_mut() {
            None => {}
            Some(First::Replaced(body)) => return Pin::new(body).poll_frame(cx),
            Some(First::Read(read)) => {
                if let Some(frame) = read.pop_front() {
                    return Poll::Ready(Some(Ok(frame)));
                }
                self.first = None;
            }
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        let has_first_ended = match self.first.as_deref() {
            None => true,
            Some(First::Replaced(body)) => body.is_end_stream(),
            Some(First::Read(read)) => read.is_empty(),
        };
        has_first_ended && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint);
        match self.first.as_deref() {
            None => rest,
            Some(First::Replaced(body)) => body.size_hint(),
            Some(First::Read(read)) => {
                let read = read.iter().filter_map(Frame::data_ref).map(Bytes::len).sum();
                size_with_read(read, Some(rest))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http_body_util::{BodyExt, Full};

    use super::*;

    #[tokio::test]
    async fn what_was_read_comes_first_then_the_rest_and_the_trailers_stay() {
        let read = VecDeque::from([Frame::data(Bytes::from("ab")), Frame::data(Bytes::from("c"))]);
        let body = PeekedBody::with_read(read, Some(Full::new(Bytes::from("def"))));
        assert_eq!(body.size_hint().exact(), Some(6));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abcdef");

        let trailers = VecDeque::from([Frame::trailers(HeaderMap::new())]);
        let body = PeekedBody::<Full<Bytes>>::with_read(trailers, None);
        assert!(!body.is_end_stream());
        assert!(body.collect().await.unwrap().trailers().is_some());
        assert!(PeekedBody::<Full<Bytes>>::empty().is_end_stream());

        let replaced = PeekedBody::<Full<Bytes>>::from_body(Full::new(Bytes::from("other")));
        assert_eq!(replaced.size_hint().exact(), Some(5));
        assert_eq!(replaced.collect().await.unwrap().to_bytes(), "other");
        assert!(PeekedBody::<Full<Bytes>>::from_bytes(Bytes::new()).is_end_stream());
    }
}
