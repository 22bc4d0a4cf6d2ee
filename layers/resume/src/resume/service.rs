//! How a request is passed on.
//!
//! The instance that was polled ready is called at once, without a clone. Everything outside the path of a live session
//! runs on its own clones, boxed, and partly in tasks that outlive the request: hence the bounds.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bartizan_core::{Passage, Session, SessionStore, Work, body::ReplaceBody, take_ready};
use http::{Method, Request, Response, header::UPGRADE};
use tower_service::Service;

use super::{config::Config, flow, future::ResponseFuture, resumer::Resumer};
use crate::replay::{
    ask::ask_readable,
    entry,
    kept::{Kept, LAST_EVENT_ID},
};

/// Resumes sessions on other backends when their own are lost; see the [crate docs](crate).
pub struct ResumeSession<S, T> {
    inner: S,
    /// `None` if the layer is off.
    shared: Option<Arc<Resumer<S, T>>>,
}

/// How a request is handled.
enum Way {
    Pass,
    Record,
    Keep,
    End,
}

impl<S: Clone, T> ResumeSession<S, T> {
    pub(crate) fn new(inner: S, config: Option<Config<T>>) -> Self {
        let shared = config.map(|config| Arc::new(Resumer::new(inner.clone(), config)));
        Self { inner, shared }
    }
}

impl<S, T> ResumeSession<S, T> {
    /// Returns a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner service. What this layer asks on its own goes to the one that it was
    /// made with.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Consumes `self`, returning the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, T, B, R> Service<Request<B>> for ResumeSession<S, T>
where
    S: Service<Request<B>, Response = Response<R>, Error: Send, Future: Send>,
    S: Clone + Send + 'static,
    T: SessionStore<Get: Send, Insert: Send, Replace: Send, Remove: Send>,
    B: ReplaceBody + Unpin + Send + 'static,
    R: ReplaceBody<Error: Send> + Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B, T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Some(shared) = &self.shared else {
            return ResponseFuture::passed(self.inner.call(request));
        };
        let config = &shared.config;
        match Way::of(&request) {
            Way::Pass => ResponseFuture::passed(self.inner.call(request)),
            Way::Record => {
                ask_readable(request.headers_mut());
                let (kept, request) = Kept::keep(request, config.keep_limit_bytes);
                ResponseFuture::recorded(self.inner.call(request), Arc::clone(shared), kept)
            }
            Way::Keep => {
                forget_events(&mut request);
                let (kept, request) = Kept::keep(request, config.keep_limit_bytes);
                ResponseFuture::live(self.inner.call(request), Arc::clone(shared), kept)
            }
            Way::End => {
                // It may have to wait, so it takes the ready instance and leaves a clone.
                let service = take_ready(&mut self.inner);
                let (kept, request) = Kept::keep(request, config.keep_limit_bytes);
                ResponseFuture::boxed(flow::end(Arc::clone(shared), service, kept, request))
            }
        }
    }
}

impl Way {
    fn of<B>(request: &Request<B>) -> Self {
        let Some(passage) = Passage::of(request) else { return Self::Pass };
        match passage.session() {
            None if passage.work() == Work::Opening => Self::Record,
            None => Self::Pass,
            Some(session) if !entry::is_recorded(session.record()) => Self::Pass,
            // The session was evicted: its backend should end it, and it must not be resumed.
            Some(session) if is_end(request) && session.is_ended() => Self::Pass,
            // A tunnel is bound to its connection.
            Some(_) if becomes_tunnel(request) => Self::Pass,
            Some(_) if is_end(request) => Self::End,
            Some(_) => Self::Keep,
        }
    }
}

fn is_end<B>(request: &Request<B>) -> bool {
    *request.method() == Method::DELETE
}

fn becomes_tunnel<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(UPGRADE) || *request.method() == Method::CONNECT
}

/// Removes `Last-Event-ID` of a session that has moved: it may name an event of the lost backend, and another backend
/// would continue a different stream.
fn forget_events<B>(request: &mut Request<B>) {
    if *request.method() == Method::GET
        && Session::of(request).is_some_and(|session| entry::has_moved(session.record()))
    {
        request.headers_mut().remove(&LAST_EVENT_ID);
    }
}

// Written by hand, because shared parts are not cloned.
impl<S: Clone, T> Clone for ResumeSession<S, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: self.shared.clone() }
    }
}

impl<S: fmt::Debug, T> fmt::Debug for ResumeSession<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResumeSession")
            .field("inner", &self.inner)
            .field("config", &self.shared.as_ref().map(|shared| &shared.config))
            .finish()
    }
}
