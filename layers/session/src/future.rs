//! The response future.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bartizan_core::{Answer, SessionStore};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    body::SessionBody,
    bounds::{Incoming, Inside},
    peeked_body::PeekedBody,
    response::{After, on_response, settle},
};

pin_project! {
    /// Response future of [`ValidateSession`](crate::ValidateSession).
    ///
    /// # Cancellation
    ///
    /// Dropping it before the response cancels the exchange. A request that asks for a session continues in a task
    /// for up to 30 s, and the session that the backend opens is ended there, because the client never got its id.
    /// There are at most 1,024 such tasks; further requests are cancelled. The store does not keep sessions that were
    /// not handed out.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B, R, T>
    where
        S: Service<Request<PeekedBody<B>>>,
        T: SessionStore,
    {
        #[pin]
        state: State<S, B, R, T>,
    }
}

pin_project! {
    /// The state of the request. An empty state is reached only by a poll after the end.
    #[project = StateProj]
    enum State<S, B, R, T>
    where
        S: Service<Request<PeekedBody<B>>>,
        T: SessionStore,
    {
        // Waiting for the inner service, whose response decides about the session.
        Inner { #[pin] future: S::Future, after: Option<After<S, T>> },
        // Waiting for the store, for the request body, or for a backend to end a session; also for the inner service,
        // after such a wait.
        Boxed { future: Option<BoxFuture<R, S::Error, T>> },
        // The request was answered here. Boxed, because a response is larger than most futures.
        Answered { answer: Option<Box<Response<SessionBody<R, T>>>> },
    }
}

/// The future of a request that waits.
pub(crate) type BoxFuture<R, E, T> =
    Pin<Box<dyn Future<Output = Result<Response<SessionBody<R, T>>, E>> + Send>>;

impl<S, B, R, T> ResponseFuture<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>>,
    T: SessionStore,
{
    /// Waits for the inner service.
    #[inline]
    pub(crate) fn inner(future: S::Future, after: After<S, T>) -> Self {
        Self { state: State::Inner { future, after: Some(after) } }
    }

    /// Waits for anything else.
    #[inline]
    pub(crate) fn boxed(future: BoxFuture<R, S::Error, T>) -> Self {
        Self { state: State::Boxed { future: Some(future) } }
    }

    /// Waits for nothing.
    pub(crate) fn answered(answer: Box<Response<SessionBody<R, T>>>) -> Self {
        Self { state: State::Answered { answer: Some(answer) } }
    }
}

impl<S, B, R, T> Future for ResponseFuture<S, B, R, T>
where
    S: Inside<B, Body = R>,
    B: Incoming,
    R: Body<Data = Bytes> + Send + 'static,
    T: SessionStore,
{
    type Output = Result<Response<SessionBody<R, T>>, S::Error>;

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

impl<S, B, R, T> fmt::Debug for ResponseFuture<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>>,
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
