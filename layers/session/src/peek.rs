//! Reads a request body up to a limit, and restores it.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};

use crate::peeked_body::PeekedBody;

/// Reads a request body up to a limit, and returns it frame by frame as it arrived; if there are many frames, they are
/// merged.
///
/// # Cancellation
///
/// Dropping it drops the body with what was read.
#[derive(Debug)]
pub(crate) struct Peek<B> {
    read: VecDeque<Frame<Bytes>>,
    // The data after the first frames, merged: each frame takes some hundred bytes even if it is small, and may keep a
    // whole read buffer alive.
    packed: BytesMut,
    rest: Option<B>,
    read_bytes: usize,
    limit_bytes: usize,
}

/// How many frames are kept as they arrived.
const KEPT_APART: usize = 16;

/// Why a body could not be read to its end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum PeekError<E> {
    /// The body is larger than the limit.
    TooLarge,
    /// The body broke off.
    Broken(E),
}

impl<B: Body<Data = Bytes> + Unpin> Peek<B> {
    /// Starts to read `body`, up to `limit_bytes`.
    pub(crate) fn new(body: B, limit_bytes: usize) -> Self {
        let (read, packed) = (VecDeque::new(), BytesMut::new());
        Self { read, packed, rest: Some(body), read_bytes: 0, limit_bytes }
    }

    /// Reads until the body has ended.
    ///
    /// # Errors
    ///
    /// If the body breaks off, or is larger than the limit by its declared length or by the data
    /// that arrived.
    pub(crate) fn poll_end(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), PeekError<B::Error>>> {
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
                    self.keep(frame);
                    if self.read_bytes > self.limit_bytes {
                        return Poll::Ready(Err(PeekError::TooLarge));
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn keep(&mut self, frame: Frame<Bytes>) {
        match frame.data_ref() {
            // Frames without content must not pile up.
            Some(data) if data.is_empty() => {}
            Some(data) if self.read.len() >= KEPT_APART => self.packed.extend_from_slice(data),
            Some(_) => self.read.push_back(frame),
            None if frame.is_trailers() => {
                self.unpack();
                self.read.push_back(frame);
            }
            None => {}
        }
    }

    /// Puts the merged data after the first frames.
    fn unpack(&mut self) {
        if !self.packed.is_empty() {
            self.read.push_back(Frame::data(self.packed.split().freeze()));
        }
    }

    /// The data that was read, in one piece; without a copy if it arrived in one.
    pub(crate) fn content(&self) -> Bytes {
        let packed = (!self.packed.is_empty()).then_some(&*self.packed);
        let mut pieces = self.read.iter().filter_map(Frame::data_ref);
        let Some(first) = pieces.next() else { return Bytes::new() };
        let mut pieces = pieces.peekable();
        if pieces.peek().is_none() && packed.is_none() {
            return first.clone();
        }
        let mut whole = BytesMut::with_capacity(self.read_bytes);
        whole.extend_from_slice(first);
        pieces.map(|piece| &**piece).chain(packed).for_each(|piece| whole.extend_from_slice(piece));
        whole.freeze()
    }

    /// Returns the body.
    pub(crate) fn into_body(mut self) -> PeekedBody<B> {
        self.unpack();
        PeekedBody::with_read(self.read, self.rest)
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
        let back = peek.into_body().collect().await.unwrap();
        assert!(back.trailers().is_some());
        assert_eq!(back.to_bytes(), "abcde");
    }

    #[tokio::test]
    async fn a_body_in_crumbs_takes_no_more_room_than_its_bytes() {
        let crumbs = (0..1000).map(|n: u32| Frame::data(Bytes::from(vec![n.to_le_bytes()[0]])));
        let body = split(crumbs.chain([Frame::trailers(HeaderMap::new())]).collect());
        let whole: Vec<u8> = (0..1000).map(|n: u32| n.to_le_bytes()[0]).collect();
        let mut peek = Peek::new(body, 1000);
        poll_fn(|cx| peek.poll_end(cx)).await.unwrap();
        assert_eq!(peek.content(), whole);
        let mut back = peek.into_body();
        assert_eq!(back.size_hint().exact(), Some(1000));
        let (mut read, mut frames) = (Vec::new(), 0);
        while let Some(Ok(frame)) = back.frame().await {
            frames += 1;
            match frame.into_data() {
                Ok(data) => read.extend_from_slice(&data),
                Err(frame) => assert!(frame.is_trailers() && read == whole, "they come last"),
            }
        }
        assert!(frames < 32, "{frames} frames");
        // The rest of the body follows the part that was read.
        let crumbs = (0..100).map(|_| Frame::data(Bytes::from("a")));
        let rest = [Frame::data(Bytes::from("bc"))];
        let mut peek = Peek::new(split(crumbs.chain(rest).collect()), 99);
        assert_eq!(poll_fn(|cx| peek.poll_end(cx)).await, Err(PeekError::TooLarge));
        let back = peek.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(back, "a".repeat(100) + "bc");
    }

    #[tokio::test]
    async fn past_the_bound_it_stops_and_nothing_is_lost() {
        let pieces = [b"ab".as_slice(), b"cd", b"ef"].map(|piece| Frame::data(Bytes::from(piece)));
        let mut peek = Peek::new(split(pieces.into()), 3);
        assert_eq!(poll_fn(|cx| peek.poll_end(cx)).await, Err(PeekError::TooLarge));
        assert_eq!(peek.into_body().collect().await.unwrap().to_bytes(), "abcdef");
        // A declared length counts before a byte is read.
        let mut peek = Peek::new(Full::new(Bytes::from("abcd")), 3);
        assert_eq!(poll_fn(|cx| peek.poll_end(cx)).await, Err(PeekError::TooLarge));
        assert_eq!(peek.content(), "");
    }
}
