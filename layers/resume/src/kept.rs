//! A request that can be sent again: its head, and a tee of its body by reference.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bartizan_core::{Dialect, Passage, Session, mcp, mcp::Content, refusal::RequestId};
use bytes::{Bytes, BytesMut};
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version,
    header::{CONNECTION, HeaderMap as Fields},
};
use http_body::{Body, Frame, SizeHint};

use crate::Tee;

/// `Last-Event-ID`: where a stream of the backend that named it goes on.
pub(crate) static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A request on its way, kept until its response shows that it arrived.
pub(crate) struct Kept<B> {
    pub(crate) head: Head,
    method: Method,
    body: Mutex<KeptBody<B>>,
    limit_bytes: usize,
}

/// What the requests that this layer makes itself take from the one that they are made for.
#[derive(Clone)]
pub(crate) struct Head {
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) known: Known,
}

/// What others know of the request.
#[derive(Clone)]
pub(crate) struct Known {
    passage: Passage,
    // Empty where there is nothing but the passage: the common case, and the cheaper one to keep.
    all: Extensions,
}

/// The body of a kept request: what was read of it, up to the bound, and the rest, still unread.
struct KeptBody<B> {
    /// Counts how often the request was sent; an earlier one gets nothing more.
    turn: u32,
    again: VecDeque<Piece>,
    first: Option<Piece>,
    more: Vec<Piece>,
    bytes: usize,
    rest: Option<B>,
    /// Whether something was read that is not kept, or the body broke off.
    is_lost: bool,
}

/// A frame that can be sent again; its bytes are shared, not copied.
#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(Box<Fields>),
}

impl<B: Body<Data = Bytes> + Unpin> Kept<B> {
    /// Keeps `request`, and gives it to be sent; its body up to `limit_bytes`.
    pub(crate) fn keep(request: Request<B>, limit_bytes: usize) -> (Arc<Self>, Request<Tee<B>>) {
        let (parts, body) = request.into_parts();
        let known = Known::of(&parts.extensions);
        let kept = Arc::new(Self {
            head: Head {
                uri: parts.uri.clone(),
                version: parts.version,
                headers: parts.headers.clone(),
                known,
            },
            method: parts.method.clone(),
            body: Mutex::new(KeptBody::new(body)),
            limit_bytes,
        });
        let tee = Tee::kept(Arc::clone(&kept), 0);
        (kept, Request::from_parts(parts, tee))
    }

    /// The request once more, if all that was read of its body was kept. Who has it from before gets
    /// nothing more of it.
    pub(crate) fn again(self: &Arc<Self>) -> Option<Request<Tee<B>>> {
        let turn = self.body().rewind()?;
        let mut request = Request::new(Tee::kept(Arc::clone(self), turn));
        *request.method_mut() = self.method.clone();
        self.head.clone().address(&mut request);
        Some(request)
    }

    pub(crate) fn next_frame(
        &self,
        turn: u32,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.body().next_frame(turn, self.limit_bytes, cx)
    }

    pub(crate) fn has_ended(&self, turn: u32) -> bool {
        let body = self.body();
        body.turn != turn
            || (body.again.is_empty() && body.rest.as_ref().is_none_or(Body::is_end_stream))
    }

    pub(crate) fn size_hint(&self, turn: u32) -> SizeHint {
        let body = self.body();
        if body.turn == turn { body.size_hint() } else { SizeHint::with_exact(0) }
    }

    /// The whole body in one piece, if it has ended and was kept.
    pub(crate) fn whole(&self) -> Option<Bytes> {
        let body = self.body();
        let has_ended = body.again.is_empty() && body.rest.as_ref().is_none_or(Body::is_end_stream);
        (has_ended && !body.is_lost).then(|| body.read())
    }

    /// What the body says of itself, as far as it was read.
    pub(crate) fn content(&self) -> Option<Content> {
        Content::parse(&self.body().read()).ok()
    }
}

impl<B> Kept<B> {
    pub(crate) fn is_get(&self) -> bool {
        self.method == Method::GET
    }

    fn body(&self) -> MutexGuard<'_, KeptBody<B>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Head {
    pub(crate) fn passage(&self) -> &Passage {
        &self.known.passage
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        self.passage().session()
    }

    /// The id by which the request names its session.
    pub(crate) fn shown_id(&self) -> Option<&HeaderValue> {
        self.headers.get(&mcp::SESSION_ID)
    }

    /// The form of a refusal, with the id of the request.
    pub(crate) fn dialect(&self, id: Option<RequestId>) -> Dialect {
        match self.passage().dialect() {
            Some(Dialect::JsonRpc(_)) => Dialect::JsonRpc(id).unless_grpc(&self.headers),
            Some(dialect) => dialect.clone(),
            None => Dialect::detect(&self.headers),
        }
    }

    /// Gives `request` this head, all but the method.
    pub(crate) fn address<B>(self, request: &mut Request<B>) {
        *request.uri_mut() = self.uri;
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers;
        let Known { passage, all } = self.known;
        *request.extensions_mut() = all;
        Passage::with(request, |place| *place = passage);
        // It belonged to the connection of the first try.
        request.headers_mut().remove(CONNECTION);
    }
}

impl Known {
    fn of(extensions: &Extensions) -> Self {
        let passage = extensions.get::<Passage>().cloned();
        let is_alone = passage.is_some() && extensions.len() == 1;
        let all = if is_alone { Extensions::new() } else { extensions.clone() };
        Self { passage: passage.unwrap_or_default(), all }
    }
}

impl<B: Body<Data = Bytes> + Unpin> KeptBody<B> {
    fn next_frame(
        &mut self,
        turn: u32,
        limit_bytes: usize,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        use std::task::{Poll, ready};
        if self.turn != turn {
            return Poll::Ready(None);
        }
        if let Some(piece) = self.again.pop_front() {
            self.push(piece.clone());
            return Poll::Ready(Some(Ok(piece.into_frame())));
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let frame = match ready!(std::pin::Pin::new(rest).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                self.lose();
                return Poll::Ready(Some(Err(error)));
            }
            None => {
                self.rest = None;
                return Poll::Ready(None);
            }
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

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint);
        let known: usize = self.again.iter().map(Piece::len).sum();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(known as u64));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(known as u64));
        }
        hint
    }
}

impl<B> KeptBody<B> {
    fn new(body: B) -> Self {
        Self {
            turn: 0,
            again: VecDeque::new(),
            first: None,
            more: Vec::new(),
            bytes: 0,
            rest: Some(body),
            is_lost: false,
        }
    }

    /// Goes back to the beginning, for a new turn.
    fn rewind(&mut self) -> Option<u32> {
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

    /// What was read so far, in one piece: without a copy if it came in one.
    fn read(&self) -> Bytes {
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
    /// None for a frame without content: those must not pile up.
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

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    type Frames = Vec<Result<Frame<Bytes>, std::io::Error>>;

    fn body(frames: Frames) -> impl Body<Data = Bytes, Error = std::io::Error> + Unpin {
        StreamBody::new(stream::iter(frames))
    }

    fn data(text: &'static str) -> Result<Frame<Bytes>, std::io::Error> {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    #[tokio::test]
    async fn a_body_is_given_again_from_the_beginning_wherever_it_was_left() {
        let frames = || vec![data("ab"), data(""), data("cd"), Ok(Frame::trailers(Fields::new()))];
        for read in 0..5 {
            let (kept, mut sent) = Kept::keep(Request::new(body(frames())), 4);
            for _ in 0..read {
                let _ = sent.body_mut().frame().await;
            }
            let again = kept.again().unwrap();
            assert!(sent.body_mut().frame().await.is_none(), "the first one gets no more");
            let again = again.into_body().collect().await.unwrap();
            assert!(again.trailers().is_some());
            assert_eq!(again.to_bytes(), "abcd", "after {read} frames");
            // And once more.
            let third = kept.again().unwrap().into_body().collect().await.unwrap();
            assert_eq!(third.to_bytes(), "abcd");
        }
    }

    #[tokio::test]
    async fn what_is_too_large_or_broke_off_is_not_given_again() {
        let broken = || Err(std::io::Error::other("broken"));
        for (frames, limit, reads) in
            [(vec![data("ab"), data("cd")], 3, 2), (vec![data("ab"), broken()], 9, 2)]
        {
            let (kept, mut sent) = Kept::keep(Request::new(body(frames)), limit);
            for _ in 0..reads {
                let _ = sent.body_mut().frame().await;
            }
            assert!(kept.again().is_none());
        }
        // Nothing was read: whatever its size, it is all there.
        let (kept, _) = Kept::keep(Request::new(body(vec![data("abcd")])), 1);
        let again = kept.again().unwrap().into_body();
        assert_eq!(again.collect().await.unwrap().to_bytes(), "abcd");
    }
}
