//! The body of a kept request: read once, and yielded each time the request is sent.

use std::{
    collections::VecDeque,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bartizan_core::body::size_with_read;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// The body of a kept request: the part that was read, up to the limit, and the unread rest.
pub(super) struct KeptBody<B> {
    /// Counts how often the request was sent. Earlier attempts get no more data.
    turn: u32,
    again: VecDeque<Piece>,
    first: Option<Piece>,
    more: Vec<Piece>,
    bytes: usize,
    rest: Option<B>,
    /// The waker of the current attempt.
    waiting: Option<Waker>,
    /// Whether something was read that is not kept, or the body broke off.
    is_lost: bool,
}

/// A frame that can be sent again; its bytes are shared, not copied.
#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(Box<HeaderMap>),
}

impl<B: Body<Data = Bytes> + Unpin> KeptBody<B> {
    pub(super) fn next_frame(
        &mut self,
        turn: u32,
        limit_bytes: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.turn != turn {
            return Poll::Ready(None);
        }
        if let Some(piece) = self.again.pop_front() {
            self.push(piece.clone());
            return Poll::Ready(Some(Ok(piece.into_frame())));
        }
        let frame = match ready!(self.poll_rest(cx)) {
            Some(Ok(frame)) => frame,
            end => return Poll::Ready(end),
        };
        if !self.is_lost {
            self.bytes = self.bytes.saturating_add(frame.data_ref().map_or(0, Bytes::len));
            match Piece::of(&frame) {
                Some(piece) if self.bytes <= limit_bytes => self.push(piece),
                // A frame without content need not be kept.
                None => {}
                Some(_) => self.lose(),
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    /// Reads the rest, to yield it later. Ready at its end, or when the limit is reached.
    pub(super) fn poll_read_on(&mut self, limit_bytes: usize, cx: &mut Context<'_>) -> Poll<()> {
        while self.bytes < limit_bytes {
            let Some(Ok(frame)) = ready!(self.poll_rest(cx)) else { break };
            // The last frame may exceed the limit: it was read, and must not be lost.
            self.bytes = self.bytes.saturating_add(frame.data_ref().map_or(0, Bytes::len));
            self.again.extend(Piece::of(&frame));
        }
        Poll::Ready(())
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let polled = Pin::new(rest).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(_))) => self.lose(),
            Poll::Ready(None) => self.rest = None,
            Poll::Pending => match &mut self.waiting {
                Some(waiting) => waiting.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            },
        }
        polled
    }

    pub(super) fn has_ended(&self) -> bool {
        self.again.is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    /// The maximum size, including the part that was read.
    pub(super) fn whole_size(&self) -> Option<u64> {
        let read: usize = self.first.iter().chain(&self.more).map(Piece::len).sum();
        self.size_hint().upper()?.checked_add(read as u64)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let known = self.again.iter().map(Piece::len).sum();
        size_with_read(known, self.rest.as_ref().map(Body::size_hint))
    }
}

impl<B> KeptBody<B> {
    pub(super) fn new(body: B) -> Self {
        Self {
            turn: 0,
            again: VecDeque::new(),
            first: None,
            more: Vec::new(),
            bytes: 0,
            rest: Some(body),
            waiting: None,
            is_lost: false,
        }
    }

    pub(super) fn is_turn(&self, turn: u32) -> bool {
        self.turn == turn
    }

    /// Whether the body cannot be yielded again as a whole.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// The waker of an earlier attempt, which gets no more data after a rewind.
    pub(super) fn take_waiting(&mut self) -> Option<Waker> {
        self.waiting.take()
    }

    /// Goes back to the beginning, for a new attempt.
    pub(super) fn rewind(&mut self) -> Option<u32> {
        self.turn += 1;
        if self.is_lost {
            return None;
        }
        let read = self.first.take().into_iter().chain(mem::take(&mut self.more));
        for (at, piece) in read.enumerate() {
            self.again.insert(at, piece);
        }
        Some(self.turn)
    }

    fn push(&mut self, piece: Piece) {
        match self.first {
            None => self.first = Some(piece),
            Some(_) => self.more.push(piece),
        }
    }

    fn lose(&mut self) {
        self.is_lost = true;
        self.first = None;
        self.more = Vec::new();
    }

    /// The data that was read so far, in one piece; without a copy if it arrived in one.
    pub(super) fn read(&self) -> Bytes {
        let mut pieces = self.first.iter().chain(&self.more).chain(&self.again);
        let mut pieces = pieces.by_ref().filter_map(Piece::data);
        let Some(first) = pieces.next() else { return Bytes::new() };
        let Some(second) = pieces.next() else { return first.clone() };
        let mut whole = BytesMut::with_capacity(self.bytes);
        whole.extend_from_slice(first);
        whole.extend_from_slice(second);
        pieces.for_each(|piece| whole.extend_from_slice(piece));
        whole.freeze()
    }
}

impl Piece {
    /// `None` for an empty frame, because those must not pile up.
    fn of(frame: &Frame<Bytes>) -> Option<Self> {
        if let Some(data) = frame.data_ref() {
            return (!data.is_empty()).then(|| Self::Data(data.clone()));
        }
        frame.trailers_ref().map(|trailers| Self::Trailers(Box::new(trailers.clone())))
    }

    fn into_frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(*trailers),
        }
    }

    fn data(&self) -> Option<&Bytes> {
        match self {
            Self::Data(data) => Some(data),
            Self::Trailers(_) => None,
        }
    }

    fn len(&self) -> usize {
        self.data().map_or(0, Bytes::len)
    }
}
