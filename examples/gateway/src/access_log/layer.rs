//! Records each request from its arrival to the end of its response.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::SystemTime,
};

use bartizan::core::{PeerAddr, Reason, session::Fingerprint};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header::CONTENT_LENGTH};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    AccessLog,
    body::LoggedBody,
    entry::{End, Entry, Note, recorded},
};

/// Builds [`LogAccess`] services.
#[derive(Clone, Debug)]
pub(crate) struct LogAccessLayer(Option<AccessLog>);

impl LogAccessLayer {
    /// Records in `log`, if there is one. Without a log, a request costs a few extra branches.
    pub(crate) const fn new(log: Option<AccessLog>) -> Self {
        Self(log)
    }
}

/// Records each request.
#[derive(Clone, Debug)]
pub(crate) struct LogAccess<S> {
    inner: S,
    log: Option<AccessLog>,
}

impl<S> Layer<S> for LogAccessLayer {
    type Service = LogAccess<S>;

    fn layer(&self, inner: S) -> LogAccess<S> {
        LogAccess { inner, log: self.0.clone() }
    }
}

/// A request in flight; its line is queued when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Pending(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    log: AccessLog,
    begun: Instant,
    /// The length of the response body, if it is known.
    expected: Option<u64>,
    // Boxed, because the queue takes a box.
    entry: Box<Entry>,
}

pin_project! {
    /// Response future of [`LogAccess`].
    #[derive(Debug)]
    pub(crate) struct ResponseFuture<F> {
        #[pin]
        inner: F,
        pending: Pending,
    }
}

impl<S, B, R> Service<Request<B>> for LogAccess<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    type Response = Response<LoggedBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let pending = match &self.log {
            Some(log) => Pending::begin(log, &mut request),
            None => Pending(None),
        };
        ResponseFuture { inner: self.inner.call(request), pending }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
{
    type Output = Result<Response<LoggedBody<R>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let mut pending = std::mem::take(this.pending);
        if pending.0.is_some() {
            pending.respond(&response);
        }
        Poll::Ready(Ok(response.map(|body| LoggedBody::new(body, pending))))
    }
}

impl Pending {
    #[inline(never)]
    fn begin<B>(log: &AccessLog, request: &mut Request<B>) -> Self {
        let note = Note::default();
        let length = request.headers().get(CONTENT_LENGTH);
        let entry = Box::new(Entry {
            peer: PeerAddr::of(request).and_then(PeerAddr::ip),
            method: request.method().clone(),
            path: recorded(request.uri().path()),
            status: None,
            reason: None,
            note: note.clone(),
            head: None,
            total: std::time::Duration::ZERO,
            ended: SystemTime::UNIX_EPOCH,
            request_bytes: length.and_then(|length| length.to_str().ok()?.parse().ok()),
            response_bytes: 0,
            session: session(request.headers(), &log.0.session_header),
            end: End::Cut,
        });
        request.extensions_mut().insert(note);
        let (log, begun) = (log.clone(), Instant::now());
        Self(Some(Box::new(Open { log, begun, expected: None, entry })))
    }

    #[inline(never)]
    fn respond<R: Body>(&mut self, response: &Response<R>) {
        let Some(open) = &mut self.0 else { return };
        let entry = &mut open.entry;
        entry.status = Some(response.status());
        entry.reason = Reason::of(response);
        entry.head = Some(open.begun.elapsed());
        // A session that the response opened.
        let opened = || session(response.headers(), &open.log.0.session_header);
        entry.session = entry.session.or_else(opened);
        open.expected = response.body().size_hint().exact();
        // These responses have no body to read.
        let status = response.status();
        let is_empty = entry.method == Method::HEAD
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || status.is_informational()
            || response.body().is_end_stream()
            || open.expected == Some(0);
        if is_empty {
            entry.end = End::Complete;
        }
    }

    #[inline]
    pub(super) const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Counts `bytes` of the body that are sent; `is_last` says that no more follow.
    pub(super) fn send(&mut self, bytes: usize, is_last: bool) {
        let Some(open) = &mut self.0 else { return };
        let entry = &mut open.entry;
        entry.response_bytes = entry.response_bytes.saturating_add(bytes as u64);
        if is_last || open.expected == Some(entry.response_bytes) {
            entry.end = End::Complete;
        }
    }

    /// The content has ended, or broken off.
    pub(super) fn end(&mut self, end: End) {
        if let Some(open) = &mut self.0 {
            open.entry.end = end;
        }
    }
}

impl Drop for Pending {
    #[inline]
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            queue(*open);
        }
    }
}

#[inline(never)]
fn queue(open: Open) {
    let Open { log, begun, mut entry, .. } = open;
    entry.total = begun.elapsed();
    entry.ended = SystemTime::now();
    log.send(entry);
}

fn session(headers: &HeaderMap, name: &HeaderName) -> Option<Fingerprint> {
    headers.get(name).map(|id| Fingerprint::of(id.as_bytes()))
}
