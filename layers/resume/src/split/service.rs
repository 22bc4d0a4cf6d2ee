//! How a request finds the session of its gateway.
//!
//! A request that does not name a gateway calls the ready instance at once. All others may wait, so they take that
//! instance and leave a clone.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bartizan_core::{SessionStore, body::ReplaceBody, take_ready};
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    config::{Config, KEEP_LIMIT_BYTES},
    flow,
    name::NameGateway,
    splitter::Splitter,
};
use crate::replay::kept::Kept;

/// Keeps a separate session at each gateway; see the [module docs](super).
pub struct SplitSession<S, N, T> {
    inner: S,
    shared: Arc<Splitter<S, N, T>>,
}

pin_project! {
    /// Response future of [`SplitSession`].
    ///
    /// # Cancellation
    ///
    /// Dropping it cancels the exchange. A session that is being opened at a gateway is still opened, because other
    /// requests may wait for it.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, R, E> {
        #[pin]
        state: State<F, R, E>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, R, E> {
        // Waits for a response without a gateway.
        Passed { #[pin] future: F },
        // Waits for the response of a gateway.
        Boxed { future: Pin<Box<dyn Future<Output = Result<Response<R>, E>> + Send>> },
    }
}

impl<S: Clone, N, T> SplitSession<S, N, T> {
    pub(super) fn new(inner: S, config: Config<N, T>) -> Self {
        let shared = Arc::new(Splitter::new(inner.clone(), config));
        Self { inner, shared }
    }
}

impl<S, N, T, B, R> Service<Request<B>> for SplitSession<S, N, T>
where
    S: Service<Request<B>, Response = Response<R>, Error: Send, Future: Send>,
    S: Clone + Send + 'static,
    N: NameGateway,
    T: SessionStore,
    B: ReplaceBody + Unpin + Send + 'static,
    R: ReplaceBody<Error: Send> + Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let name = self.shared.config.names.name(request.uri(), request.headers());
        let Some(name) = name.map(Box::<str>::from) else {
            let future = self.inner.call(request);
            return ResponseFuture { state: State::Passed { future } };
        };
        let service = take_ready(&mut self.inner);
        let (kept, request) = Kept::keep(request, KEEP_LIMIT_BYTES);
        let shared = Arc::clone(&self.shared);
        let future = Box::pin(flow::arrived(shared, service, name, kept, request));
        ResponseFuture { state: State::Boxed { future } }
    }
}

impl<F, R, E> Future for ResponseFuture<F, R, E>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Passed { future } => future.poll(cx),
            StateProj::Boxed { future } => future.as_mut().poll(cx),
        }
    }
}

impl<F, R, E> fmt::Debug for ResponseFuture<F, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Passed { .. } => "ResponseFuture(Passed)",
            State::Boxed { .. } => "ResponseFuture(Boxed)",
        })
    }
}

// Written by hand, because shared parts are not cloned.
impl<S: Clone, N, T> Clone for SplitSession<S, N, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug, N, T> fmt::Debug for SplitSession<S, N, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplitSession")
            .field("inner", &self.inner)
            .field("gateways", &self.shared.config.gateways)
            .finish_non_exhaustive()
    }
}
