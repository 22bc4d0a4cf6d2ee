//! A bounded look into a request body that gives the body back.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};

use crate::Replay;

/// Reads a request body up to a bound, and gives it back frame by frame as it came.
///
/// # Cancellation
///
/// Dropping it drops the body with what was read.
#[derive(Debug)]
pub struct Peek<B> {
    read: VecDeque<Frame<Bytes>>,
    rest: Option<B>,
    read_bytes: usize,
    limit_bytes: usize,
}

/// Why a look into a body found no end.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PeekError<E> {
    /// The body is larger than the bound.
    TooLarge,
    /// The body broke off.
    Broken(E),
}

impl<B: Body<Data = Bytes> + Unpin> Peek<B> {
    /// Starts to look into `body`, up to `limit_bytes`.
    pub fn new(body: B, limit_bytes: usize) -> Self {
        Self { read: VecDeque::new(), rest: Some(body), read_bytes: 0, limit_bytes }
    }

    /// Reads until the body has ended.
    ///
    /// # Errors
    ///
    /// If the body is larger than the bound, by its declared length or by what came, or broke off.
    pub fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PeekError<B::Error>>> {
        while let Some(rest) = &mut self.rest {
            let announced = usize::try_from(rest.size_hint().lower()).unwrap_or(usize::MAX);
            if self.read_bytes.saturating_add(announced) > self.limit_bytes {
                return Poll::Ready(Err(PeekError::TooLarge));
            }
            match ready!(Pin::new(rest).poll_frame(cx)) {
                None => self.rest = None,
                Some(Err(error)) => return Poll::Ready(Err(PeekError::Broken(error))),
                Some(Ok(frame)) => {
                    let len = frame.data_ref().map_or(0, Bytes::len);
                    self.read_bytes = self.read_bytes.saturating_add(len);
                    // Frames without content must not pile up.
                    if len > 0 || frame.is_trailers() {
                        self.read.push_back(frame);
                    }
                    if self.read_bytes > self.limit_bytes {
                        return Poll::Ready(Err(PeekError::TooLarge));
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// What was read, in one piece: without a copy if it came in one.
    pub fn content(&self) -> Bytes {
        let mut pieces = self.read.iter().filter_map(Frame::data_ref);
        let Some(first) = pieces.next() else { return Bytes::new() };
        let mut pieces = pieces.peekable();
        if pieces.peek().is_none() {
            return first.clone();
        }
        let mut whole = BytesMut::with_capacity(self.read_bytes);
        whole.extend_from_slice(first);
        pieces.for_each(|piece| whole.extend_from_slice(piece));
        whole.freeze()
    }

    /// Gives the body back.
    pub fn into_replay(self) -> Replay<B> {
        Replay::with_read(self.read, self.rest)
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::poll_fn};

    use futures_util::stream;
    use http::HeaderMap;
    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;

    fn split(pieces: Vec<Frame<Bytes>>) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        StreamBody::new(stream::iter(pieces.into_iter().map(Ok)))
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_read_whole_and_given_back_as_it_came() {
        let pieces = [b"ab".as_slice(), b"", b"cde"].map(|piece| Frame::data(Bytes::from(piece)));
        let body = split(pieces.into_iter().chain([Frame::trailers(HeaderMap::new())]).collect());
        let mut peek = Peek::new(body, 5);
        poll_fn(|cx| peek.poll_end(cx)).await.unwrap();
        assert_eq!(peek.content(), "abcde");
        let back = peek.into_replay().collect().await.unwrap();
        assert!(back.trailers().is_some());
        assert_eq!(back.to_bytes(), "abcde");
    }

    #[tokio::test]
    async fn past_the_bound_it_stops_and_nothing_is_lost() {
        let pieces = [b"ab".as_slice(), b"cd", b"ef"].map(|piece| Frame::data(Bytes::from(piece)));
        let mut peek = Peek::new(split(pieces.into()), 3);
        assert_eq!(poll_fn(|cx| peek.poll_end(cx)).await, Err(PeekError::TooLarge));
        assert_eq!(peek.into_replay().collect().await.unwrap().to_bytes(), "abcdef");
        // A declared length is believed before a byte is read.
        let mut peek = Peek::new(Full::new(Bytes::from("abcd")), 3);
        assert_eq!(poll_fn(|cx| peek.poll_end(cx)).await, Err(PeekError::TooLarge));
        assert_eq!(peek.content(), "");
    }
}
