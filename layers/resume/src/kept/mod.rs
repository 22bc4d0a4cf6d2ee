//! A request that can be sent again: its head, with its body by reference.

mod body;
mod fields;
mod head;

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bartizan_core::{Passage, Session, mcp, mcp::Content};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, timeout_at};

use self::{body::KeptBody, fields::Fields, head::Known};
use crate::ReplayBody;

pub(crate) use head::{Head, LAST_EVENT_ID};

/// A request on its way, kept until its response shows that it arrived.
pub(crate) struct Kept<B> {
    method: Method,
    uri: Uri,
    version: Version,
    fields: Fields,
    known: Known,
    body: Mutex<KeptBody<B>>,
    limit_bytes: usize,
}

impl<B: Body<Data = Bytes> + Unpin> Kept<B> {
    /// Keeps `request`, and gives it to be sent; its body up to `limit_bytes`.
    pub(crate) fn keep(
        request: Request<B>,
        limit_bytes: usize,
    ) -> (Arc<Self>, Request<ReplayBody<B>>) {
        let (parts, body) = request.into_parts();
        let kept = Arc::new(Self {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            version: parts.version,
            fields: Fields::of(&parts.headers),
            known: Known::of(&parts.extensions),
            body: Mutex::new(KeptBody::new(body)),
            limit_bytes,
        });
        let body = ReplayBody::kept(Arc::clone(&kept), 0);
        (kept, Request::from_parts(parts, body))
    }

    /// The request once more, if all that was read of its body was kept. Who has it from before gets
    /// nothing more of it.
    pub(crate) fn again(self: &Arc<Self>) -> Option<Request<ReplayBody<B>>> {
        let mut body = self.body();
        let (turn, waiting) = (body.rewind(), body.take_waiting());
        drop(body);
        // Otherwise it would wait for ever, and hold this.
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        let mut request = Request::new(ReplayBody::kept(Arc::clone(self), turn?));
        *request.method_mut() = self.method.clone();
        self.head().address(&mut request);
        Some(request)
    }

    /// Reads what was not read yet, as long as it comes and until there is as much as may be kept. All of it
    /// is given again.
    pub(crate) async fn read_on(self: &Arc<Self>, deadline: Instant) {
        // Whoever has it from before gets nothing more.
        if self.again().is_none() {
            return;
        }
        let whole = poll_fn(|cx| self.body().poll_read_on(self.limit_bytes, cx));
        let _ = timeout_at(deadline, whole).await;
    }

    pub(crate) fn next_frame(
        &self,
        turn: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.body().next_frame(turn, self.limit_bytes, cx)
    }

    pub(crate) fn has_ended(&self, turn: u32) -> bool {
        let body = self.body();
        !body.is_turn(turn) || body.has_ended()
    }

    pub(crate) fn size_hint(&self, turn: u32) -> SizeHint {
        let body = self.body();
        if body.is_turn(turn) { body.size_hint() } else { SizeHint::with_exact(0) }
    }

    /// Whether the whole body may be no more than what is kept: one that does not say how long it is may.
    pub(crate) fn is_small(&self) -> bool {
        let upper = self.body().whole_size();
        upper
            .is_none_or(|bytes| usize::try_from(bytes).is_ok_and(|bytes| bytes <= self.limit_bytes))
    }

    /// The whole body in one piece, if it has ended and was kept.
    pub(crate) fn whole(&self) -> Option<Bytes> {
        let body = self.body();
        (body.has_ended() && !body.is_lost()).then(|| body.read())
    }

    /// What the body says of itself, as far as it was read.
    pub(crate) fn content(&self) -> Option<Content> {
        Content::parse(&self.body().read()).ok()
    }
}

impl<B> Kept<B> {
    /// The head once more, for a request of this layer's own.
    pub(crate) fn head(&self) -> Head {
        Head {
            uri: self.uri.clone(),
            version: self.version,
            headers: self.fields.to_map(),
            known: self.known.clone(),
        }
    }

    pub(crate) fn passage(&self) -> &Passage {
        self.known.passage()
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        self.passage().session()
    }

    /// The id by which the request names its session.
    pub(crate) fn shown_id(&self) -> Option<&HeaderValue> {
        self.fields.get(&mcp::SESSION_ID)
    }

    pub(crate) fn is_get(&self) -> bool {
        self.method == Method::GET
    }

    fn body(&self) -> MutexGuard<'_, KeptBody<B>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::stream;
    use http::HeaderMap;
    use http_body_util::{BodyExt, StreamBody};
    use tokio::time::{Instant, timeout};

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
        let frames =
            || vec![data("ab"), data(""), data("cd"), Ok(Frame::trailers(HeaderMap::new()))];
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

    /// It would wait for ever, and hold the request and its connection.
    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_rest_of_a_body_is_told_when_another_gets_it() {
        let never = stream::pending::<Result<Frame<Bytes>, std::io::Error>>();
        let (kept, sent) = Kept::keep(Request::new(StreamBody::new(never)), 4);
        let waiting = tokio::spawn(async move { sent.into_body().frame().await.is_none() });
        tokio::task::yield_now().await;
        let _again = kept.again().unwrap();
        assert!(timeout(Duration::from_secs(1), waiting).await.unwrap().unwrap());
    }

    /// A body does not always say how long it is.
    #[tokio::test]
    async fn what_is_looked_at_here_is_given_again_as_a_whole_however_long_it_is() {
        for (limit, expected) in [(2, "ab"), (3, "abcd"), (4, "abcd"), (5, "abcdef"), (9, "abcdef")]
        {
            let frames = vec![data("ab"), data("cd"), data("ef")];
            let (kept, _) = Kept::keep(Request::new(body(frames)), limit);
            kept.read_on(Instant::now() + Duration::from_secs(1)).await;
            let read = kept.body().read();
            assert!(read.starts_with(expected.as_bytes()), "{limit}: {read:?}");
            let again = kept.again().unwrap().into_body();
            assert_eq!(again.collect().await.unwrap().to_bytes(), "abcdef", "{limit}");
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
