//! The response future.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bartizan_core::{Answer, GuardBody, SessionStore};
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    bounds::{Incoming, Inside},
    key::ExtractKey,
    reclaimable::ReclaimableBody,
    response::{After, on_response, settle},
};

pin_project! {
    /// Response future of [`PinBackend`](crate::PinBackend).
    ///
    /// # Cancellation
    ///
    /// Dropping it cancels the exchange. A pin that was being written may remain in the store until it expires.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B, R, K, T>
    where
        S: Service<Request<ReclaimableBody<B>>>,
        T: SessionStore,
    {
        #[pin]
        state: State<S, B, R, K, T>,
    }
}

pin_project! {
    /// The state of the work. An empty state is reached only by a poll after the end.
    #[project = StateProj]
    enum State<S, B, R, K, T>
    where
        S: Service<Request<ReclaimableBody<B>>>,
        T: SessionStore,
    {
        // Waiting for the first backend.
        Inner { #[pin] future: S::Future, after: Option<After<S, B, K, T>> },
        // Waiting for the store or for another backend; also for the inner service, after such a
        // wait.
        Boxed { future: Option<BoxFuture<R, S::Error>> },
        // The request was answered here. Boxed, because a response is larger than most futures.
        Answered { answer: Option<Box<Response<GuardBody<R>>>> },
    }
}

/// The future of a request that waits.
pub(crate) type BoxFuture<R, E> =
    Pin<Box<dyn Future<Output = Result<Response<GuardBody<R>>, E>> + Send>>;

impl<S, B, R, K, T> ResponseFuture<S, B, R, K, T>
where
    S: Service<Request<ReclaimableBody<B>>>,
    T: SessionStore,
{
    /// Waits for the inner service.
    #[inline]
    pub(crate) fn inner(future: S::Future, after: After<S, B, K, T>) -> Self {
        Self { state: State::Inner { future, after: Some(after) } }
    }

    /// Waits for anything else.
    #[inline]
    pub(crate) fn boxed(future: BoxFuture<R, S::Error>) -> Self {
        Self { state: State::Boxed { future: Some(future) } }
    }

    /// Waits for nothing.
    pub(crate) fn answered(answer: Response<GuardBody<R>>) -> Self {
        Self { state: State::Answered { answer: Some(Box::new(answer)) } }
    }
}

impl<S, B, R, K, T> Future for ResponseFuture<S, B, R, K, T>
where
    S: Inside<B, Body = R>,
    B: Incoming,
    R: Send + 'static,
    K: ExtractKey,
    T: SessionStore,
{
    type Output = Result<Response<GuardBody<R>>, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let unsettled = match state.as_mut().project() {
                StateProj::Inner { future, after } if after.is_some() => {
                    let response = ready!(future.poll(cx));
                    let Some(after) = after.take() else { return polled_again() };
                    match on_response(response?, after) {
                        Answer::Now(response) => return Poll::Ready(Ok(response)),
                        Answer::Later(unsettled) => unsettled,
                    }
                }
                StateProj::Boxed { future: boxed @ Some(_) } => {
                    let Some(future) = boxed else { return polled_again() };
                    let response = ready!(future.as_mut().poll(cx));
                    *boxed = None;
                    return Poll::Ready(response);
                }
                StateProj::Answered { answer } => match answer.take() {
                    Some(answer) => return Poll::Ready(Ok(*answer)),
                    None => return polled_again(),
                },
                _ => return polled_again(),
            };
            state.set(State::Boxed { future: Some(Box::pin(settle(unsettled))) });
        }
    }
}

#[cold]
fn polled_again<V>() -> Poll<V> {
    debug_assert!(false, "`ResponseFuture` was polled after it had finished");
    Poll::Pending
}

impl<S, B, R, K, T> fmt::Debug for ResponseFuture<S, B, R, K, T>
where
    S: Service<Request<ReclaimableBody<B>>>,
    T: SessionStore,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Inner { .. } => "ResponseFuture(Inner)",
            State::Boxed { .. } => "ResponseFuture(Boxed)",
            State::Answered { .. } => "ResponseFuture(Answered)",
        })
    }
}
