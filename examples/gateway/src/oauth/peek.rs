//! Reads a small body, and restores it.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bartizan::core::{
    GuardBody,
    body::{ReplaceBody, size_with_read},
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

/// How much of a body is read. Forms and documents of OAuth are smaller.
const LIMIT_BYTES: u64 = 16 * 1024;

/// Yields the frames that were already read, including an error, and then the rest.
struct Unread<B: Body> {
    read: VecDeque<Result<Frame<Bytes>, B::Error>>,
    rest: Option<Pin<Box<B>>>,
}

/// The content of `body`, and an equivalent body. A body that does not declare a length of at most 16 KiB is not read:
/// it may be a stream, and reading it would delay its beginning until its end.
pub(super) async fn peek<B>(body: B) -> (Option<Bytes>, GuardBody<B>)
where
    B: Body<Data = Bytes, Error: Send> + Send + 'static,
{
    if body.size_hint().upper().is_none_or(|bytes| bytes > LIMIT_BYTES) {
        return (None, GuardBody::forwarded(body));
    }
    let mut rest = Box::pin(body);
    let (mut read, mut content) = (VecDeque::new(), Vec::new());
    let whole = loop {
        match rest.frame().await {
            None => break true,
            Some(Ok(frame)) => {
                content.extend(frame.data_ref().into_iter().flatten());
                read.push_back(Ok(frame));
            }
            Some(Err(error)) => {
                read.push_back(Err(error));
                break false;
            }
        }
    };
    let unread = Unread { read, rest: (!whole).then_some(rest) };
    (whole.then(|| content.into()), GuardBody::from_body(unread))
}

// No field is pinned: the rest of the body is boxed.
impl<B: Body> Unpin for Unread<B> {}

impl<B: Body<Data = Bytes>> Body for Unread<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(frame) = self.read.pop_front() {
            return Poll::Ready(Some(frame));
        }
        match &mut self.rest {
            Some(rest) => rest.as_mut().poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let frames = self.read.iter().filter_map(|frame| frame.as_ref().ok());
        let read = frames.filter_map(Frame::data_ref).map(Bytes::len).sum();
        size_with_read(read, self.rest.as_ref().map(|rest| rest.size_hint()))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http::HeaderMap;
    use http_body_util::{Full, StreamBody};

    use super::*;

    type Piece = Result<Frame<Bytes>, &'static str>;

    /// A body in several frames with a declared length.
    struct Sized<B>(B, u64);

    impl<B: Body + Unpin> Body for Sized<B> {
        type Data = B::Data;
        type Error = B::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
            Pin::new(&mut self.0).poll_frame(cx)
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.1)
        }
    }

    fn pieces(
        pieces: Vec<Piece>,
        bytes: u64,
    ) -> impl Body<Data = Bytes, Error = &'static str> + Send + 'static {
        Sized(StreamBody::new(stream::iter(pieces)), bytes)
    }

    fn data(text: &[u8]) -> Piece {
        Ok(Frame::data(Bytes::copy_from_slice(text)))
    }

    #[tokio::test]
    async fn a_small_body_is_read_and_given_back_whole() {
        let trailers = HeaderMap::from_iter([(http::header::ETAG, "x".parse().unwrap())]);
        let body =
            pieces(vec![data(b"ab"), data(b""), data(b"c"), Ok(Frame::trailers(trailers))], 3);
        let (content, body) = peek(body).await;
        assert_eq!(content.unwrap(), "abc");
        assert_eq!(body.size_hint().exact(), Some(3));
        let again = body.collect().await.unwrap();
        assert!(again.trailers().is_some());
        assert_eq!(again.to_bytes(), "abc");
        let (content, body) = peek(Full::new(Bytes::new())).await;
        assert!(content.unwrap().is_empty() && body.is_end_stream());
    }

    #[tokio::test]
    async fn a_body_that_is_large_or_may_be_is_not_touched() {
        let large = vec![b'a'; LIMIT_BYTES as usize + 1];
        let (content, body) = peek(Full::new(Bytes::from(large.clone()))).await;
        assert!(content.is_none());
        assert_eq!(body.collect().await.unwrap().to_bytes(), large);
        let fits = Full::new(Bytes::from(vec![b'a'; LIMIT_BYTES as usize]));
        assert!(peek(fits).await.0.is_some());
        // The body never ends, and `peek` must not wait for its end.
        let first = stream::iter([data(b"first")]);
        let stream = StreamBody::new(futures_util::StreamExt::chain(first, stream::pending()));
        let (content, mut body) = peek(stream).await;
        assert!(content.is_none());
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    }

    #[tokio::test]
    async fn a_broken_body_breaks_where_it_did() {
        let (content, mut body) = peek(pieces(vec![data(b"ab"), Err("gone")], 3)).await;
        assert!(content.is_none());
        assert!(body.frame().await.unwrap().is_ok());
        assert_eq!(body.frame().await.unwrap().unwrap_err(), "gone");
    }
}
