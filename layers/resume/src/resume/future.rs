//! The response future.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bartizan_core::{SessionStore, body::ReplaceBody};
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{flow, resumer::Resumer};
use crate::replay::{
    answer,
    kept::Kept,
    loss::{self, Verdict},
    record, returned,
};

pin_project! {
    /// Response future of [`ResumeSession`](crate::ResumeSession).
    ///
    /// # Cancellation
    ///
    /// Dropping it cancels the exchange. An attempt to resume its session continues: other requests may wait for it,
    /// and the session that it opened is either used or ended.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B, T>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B, T>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, T>
    where
        S: Service<Request<B>>,
    {
        // Waits for a response that is passed on in any case.
        Passed { #[pin] future: S::Future },
        // Waits for a response that may open a session.
        Opening { #[pin] future: S::Future, kept: Option<(Arc<Resumer<S, T>>, Arc<Kept<B>>)> },
        // Waits for a response that may show a loss.
        Live { #[pin] future: S::Future, kept: Option<(Arc<Resumer<S, T>>, Arc<Kept<B>>)> },
        // Everything else that waits, outside the path of a live session.
        Boxed { future: BoxFuture<S::Response, S::Error> },
    }
}

type BoxFuture<R, E> = Pin<Box<dyn Future<Output = Result<R, E>> + Send>>;

impl<S, B, T> ResponseFuture<S, B, T>
where
    S: Service<Request<B>>,
{
    pub(crate) fn passed(future: S::Future) -> Self {
        Self { state: State::Passed { future } }
    }

    pub(crate) fn recorded(
        future: S::Future,
        shared: Arc<Resumer<S, T>>,
        kept: Arc<Kept<B>>,
    ) -> Self {
        Self { state: State::Opening { future, kept: Some((shared, kept)) } }
    }

    pub(crate) fn live(future: S::Future, shared: Arc<Resumer<S, T>>, kept: Arc<Kept<B>>) -> Self {
        Self { state: State::Live { future, kept: Some((shared, kept)) } }
    }

    pub(crate) fn boxed(
        future: impl Future<Output = Result<S::Response, S::Error>> + Send + 'static,
    ) -> Self {
        Self { state: State::Boxed { future: Box::pin(future) } }
    }
}

impl<S, B, R, T> Future for ResponseFuture<S, B, T>
where
    S: Service<Request<B>, Response = Response<R>, Error: Send, Future: Send>,
    S: Clone + Send + 'static,
    T: SessionStore<Get: Send, Insert: Send, Replace: Send, Remove: Send>,
    B: ReplaceBody + Unpin + Send + 'static,
    R: ReplaceBody<Error: Send> + Send + 'static,
{
    type Output = Result<Response<R>, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next: BoxFuture<Response<R>, S::Error> = match state.as_mut().project() {
                StateProj::Passed { future } => return future.poll(cx),
                StateProj::Live { future, kept } => {
                    let response = ready!(future.poll(cx))?;
                    debug_assert!(kept.is_some(), "{POLLED_AGAIN}");
                    let Some((shared, kept)) = kept.take() else { return Poll::Pending };
                    match loss::by_head(&response, || kept.is_at_endpoint()) {
                        Verdict::Arrived => {
                            flow::accepted(&shared, &kept, &response);
                            let response = answer::pass(response, kept.is_get());
                            return Poll::Ready(Ok(returned::with_body(response, &kept)));
                        }
                        verdict => Box::pin(flow::lost(shared, kept, response, verdict)),
                    }
                }
                StateProj::Opening { future, kept } => {
                    let response = ready!(future.poll(cx))?;
                    debug_assert!(kept.is_some(), "{POLLED_AGAIN}");
                    let Some((shared, kept)) = kept.take() else { return Poll::Pending };
                    if !record::opens(&response) {
                        return Poll::Ready(Ok(response));
                    }
                    Box::pin(record::record(shared.config.recording(), kept, response))
                }
                StateProj::Boxed { future } => return future.as_mut().poll(cx),
            };
            state.set(State::Boxed { future: next });
        }
    }
}

const POLLED_AGAIN: &str = "a response future was polled after it was ready";

impl<S, B, T> fmt::Debug for ResponseFuture<S, B, T>
where
    S: Service<Request<B>>,
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
