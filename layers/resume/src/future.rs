//! The response future: where a request waits.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bartizan_core::SessionStore;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    ReplayBody, ResumeBody, flow,
    kept::Kept,
    loss::{self, Verdict},
    shared::Shared,
};

pin_project! {
    /// Response future of [`ResumeSession`](crate::ResumeSession).
    ///
    /// # Cancellation
    ///
    /// Dropping it gives the exchange up. An attempt to resume its session goes on: others may wait for it,
    /// and what it has opened is either used or ended.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B, R, T>
    where
        S: Service<Request<ReplayBody<B>>>,
        R: Body,
    {
        #[pin]
        state: State<S, B, R, T>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, R, T>
    where
        S: Service<Request<ReplayBody<B>>>,
        R: Body,
    {
        // For a response that concerns nobody here.
        Passed { #[pin] future: S::Future },
        // For one that may open a session.
        Opening { #[pin] future: S::Future, kept: Option<(Arc<Shared<S, T>>, Arc<Kept<B>>)> },
        // For one that may tell of a loss.
        Live { #[pin] future: S::Future, kept: Option<(Arc<Shared<S, T>>, Arc<Kept<B>>)> },
        // For whatever is off the way of a live session.
        Boxed { future: BoxFuture<R, S::Error> },
    }
}

pub(crate) type BoxFuture<R, E> =
    Pin<Box<dyn Future<Output = Result<Response<ResumeBody<R>>, E>> + Send>>;

impl<S, B, R, T> ResponseFuture<S, B, R, T>
where
    S: Service<Request<ReplayBody<B>>>,
    R: Body,
{
    pub(crate) fn passed(future: S::Future) -> Self {
        Self { state: State::Passed { future } }
    }

    pub(crate) fn recorded(
        future: S::Future,
        shared: Arc<Shared<S, T>>,
        kept: Arc<Kept<B>>,
    ) -> Self {
        Self { state: State::Opening { future, kept: Some((shared, kept)) } }
    }

    pub(crate) fn live(future: S::Future, shared: Arc<Shared<S, T>>, kept: Arc<Kept<B>>) -> Self {
        Self { state: State::Live { future, kept: Some((shared, kept)) } }
    }

    pub(crate) fn boxed(future: BoxFuture<R, S::Error>) -> Self {
        Self { state: State::Boxed { future } }
    }
}

impl<S, B, R, T> Future for ResponseFuture<S, B, R, T>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>, Error: Send, Future: Send>,
    S: Clone + Send + 'static,
    T: SessionStore<Get: Send, Insert: Send, Replace: Send, Remove: Send>,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    R: Body<Data = Bytes, Error: Send> + Send + 'static,
{
    type Output = Result<Response<ResumeBody<R>>, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            // What was taken was left for good: only a poll after the end meets its place.
            let next: BoxFuture<R, S::Error> = match state.as_mut().project() {
                StateProj::Passed { future } => {
                    let response = ready!(future.poll(cx))?;
                    return Poll::Ready(Ok(flow::pass(response, false)));
                }
                StateProj::Live { future, kept } => {
                    let response = ready!(future.poll(cx))?;
                    let Some((shared, kept)) = kept.take() else { return Poll::Pending };
                    match loss::by_head(&response) {
                        Verdict::Arrived => {
                            return Poll::Ready(Ok(flow::pass(response, kept.is_get())));
                        }
                        verdict => Box::pin(flow::lost(shared, kept, response, verdict)),
                    }
                }
                StateProj::Opening { future, kept } => {
                    let response = ready!(future.poll(cx))?;
                    let Some((shared, kept)) = kept.take() else { return Poll::Pending };
                    if !flow::opens(&response) {
                        return Poll::Ready(Ok(flow::pass(response, false)));
                    }
                    Box::pin(flow::record(shared.config.recording(), kept, response))
                }
                StateProj::Boxed { future } => return future.as_mut().poll(cx),
            };
            state.set(State::Boxed { future: next });
        }
    }
}

impl<S, B, R, T> fmt::Debug for ResponseFuture<S, B, R, T>
where
    S: Service<Request<ReplayBody<B>>>,
    R: Body,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Passed { .. } => "ResponseFuture(Passed)",
            State::Opening { .. } => "ResponseFuture(Opening)",
            State::Live { .. } => "ResponseFuture(Live)",
            State::Boxed { .. } => "ResponseFuture(Boxed)",
        })
    }
}
