//! A request that can be sent again: its head, with its body by reference.

mod body;
mod fields;
mod head;
mod sending;

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bartizan_core::{Passage, Session, mcp, mcp::Content};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, Version, header::AUTHORIZATION, request::Parts};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, timeout_at};

use self::{body::KeptBody, fields::Fields, head::Known};

pub(crate) use head::{Head, LAST_EVENT_ID};

/// A request in flight, kept until its response shows that it arrived.
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
    /// Keeps `request`, with up to `limit_bytes` of its body, and returns its head.
    fn split(request: Request<B>, limit_bytes: usize) -> (Arc<Self>, Parts) {
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
        (kept, parts)
    }

    /// Begins a new attempt, if everything that was read of the body was kept. Earlier attempts get no more data.
    fn rewind(&self) -> Option<u32> {
        let mut body = self.body();
        let (turn, waiting) = (body.rewind(), body.take_waiting());
        drop(body);
        // Otherwise the earlier attempt would wait forever, and keep this alive.
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        turn
    }

    /// Reads the unread rest, as far as it arrives and fits into the limit. All of it is yielded again.
    pub(crate) async fn read_on(self: &Arc<Self>, deadline: Instant) {
        if self.rewind().is_none() {
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

    /// Whether the whole body may fit into the limit. A body without a declared length may.
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

    /// The content of the body, as far as it was read.
    pub(crate) fn content(&self) -> Option<Content> {
        Content::parse(&self.body().read()).ok()
    }
}

impl<B> Kept<B> {
    /// A copy of the head, for a request that this layer makes.
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

    /// The path of the request.
    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    /// Where the request goes.
    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether the request goes to the path on which its session was opened.
    pub(crate) fn is_at_endpoint(&self) -> bool {
        self.session().is_none_or(|session| mcp::is_at_endpoint(session, self.path()))
    }

    /// The id by which the request names its session.
    pub(crate) fn shown_id(&self) -> Option<&HeaderValue> {
        self.fields.get(&mcp::SESSION_ID)
    }

    /// The credentials of the request.
    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.fields.get(&AUTHORIZATION)
    }

    pub(crate) fn is_get(&self) -> bool {
        self.method == Method::GET
    }

    fn body(&self) -> MutexGuard<'_, KeptBody<B>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
