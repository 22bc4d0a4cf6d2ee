//! How a request finds the session of its gateway.
//!
//! What names no gateway calls the instance that was polled ready, at once. All else waits: with that
//! instance, and a clone left here.

use std::{
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    flow,
    layer::{Config, KEEP_LIMIT_BYTES},
    name::NameGateway,
};
use crate::{ReplayBody, ResumeBody, flow::pass, future::BoxFuture, kept::Kept, shared::Spare};

/// Keeps a session of its own at each gateway; see the [module docs](super).
pub struct SplitSession<S, N> {
    inner: S,
    shared: Arc<Shared<S, N>>,
}

/// What all clones of a service share.
pub(super) struct Shared<S, N> {
    pub(super) config: Config<N>,
    pub(super) spare: Spare<S>,
}

pin_project! {
    /// Response future of [`SplitSession`].
    ///
    /// # Cancellation
    ///
    /// Dropping it gives the exchange up. A session that is being opened at a gateway is opened all the same:
    /// others may wait for it.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, R: Body, E> {
        #[pin]
        state: State<F, R, E>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, R: Body, E> {
        // For a response that concerns no gateway.
        Passed { #[pin] future: F },
        // For that of a gateway.
        Boxed { future: BoxFuture<R, E> },
    }
}

impl<S: Clone, N> SplitSession<S, N> {
    pub(super) fn new(inner: S, config: Config<N>) -> Self {
        let shared = Arc::new(Shared { config, spare: Spare::new(inner.clone()) });
        Self { inner, shared }
    }
}

impl<S, N, B, R> Service<Request<B>> for SplitSession<S, N>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>, Error: Send, Future: Send>,
    S: Clone + Send + 'static,
    N: NameGateway,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    R: Body<Data = Bytes, Error: Send> + Send + 'static,
{
    type Response = Response<ResumeBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let name = self.shared.config.names.name(request.uri(), request.headers());
        let Some(name) = name.map(Box::<str>::from) else {
            let future = self.inner.call(request.map(ReplayBody::passed));
            return ResponseFuture { state: State::Passed { future } };
        };
        let clone = self.inner.clone();
        let service = mem::replace(&mut self.inner, clone);
        let (kept, request) = Kept::keep(request, KEEP_LIMIT_BYTES);
        let shared = Arc::clone(&self.shared);
        let future = Box::pin(flow::arrived(shared, service, name, kept, request));
        ResponseFuture { state: State::Boxed { future } }
    }
}

impl<F, R, E> Future for ResponseFuture<F, R, E>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
{
    type Output = Result<Response<ResumeBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Passed { future } => {
                future.poll(cx).map_ok(|response| pass(response, false))
            }
            StateProj::Boxed { future } => future.as_mut().poll(cx),
        }
    }
}

impl<F, R: Body, E> fmt::Debug for ResponseFuture<F, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Passed { .. } => "ResponseFuture(Passed)",
            State::Boxed { .. } => "ResponseFuture(Boxed)",
        })
    }
}

// By hand: what is shared is not cloned.
impl<S: Clone, N> Clone for SplitSession<S, N> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug, N> fmt::Debug for SplitSession<S, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplitSession")
            .field("inner", &self.inner)
            .field("gateways", &self.shared.config.gateways)
            .finish_non_exhaustive()
    }
}
