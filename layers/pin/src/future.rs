//! The response future: where work waits.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bartizan_core::{BackendId, GuardBody, SessionStore};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    ReclaimableBody,
    flow::{self, Attempt, Followed, Held, Moved, Parked, Step, Timed},
    key::ExtractKey,
};

pin_project! {
    /// Response future of [`PinBackend`](crate::PinBackend).
    ///
    /// # Cancellation
    ///
    /// Dropping it gives the exchange up; a pin that was on its way to the store may be left there,
    /// and expires unused.
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
    /// Where the work waits. What is boxed is off the path of pinned work.
    #[project = StateProj]
    pub(crate) enum State<S, B, R, K, T>
    where
        S: Service<Request<ReclaimableBody<B>>>,
        T: SessionStore,
    {
        // For the backend that it is pinned to.
        Followed { #[pin] future: S::Future, followed: Option<Followed<K, T>> },
        // For the store, which looks a key up.
        Lookup { #[pin] found: Timed<T::Get>, parked: Option<Box<Parked<S, B, K, T>>> },
        // For a backend that was chosen.
        Attempt { #[pin] future: S::Future, attempt: Option<Box<Attempt<S, B, K, T>>> },
        // For the service to be ready for a try at another.
        Turn { attempt: Option<Box<Attempt<S, B, K, T>>>, request: Option<Box<Request<ReclaimableBody<B>>>> },
        // For the store, to have a key, to move it or to be rid of it.
        Insert { #[pin] stored: Timed<T::Insert>, held: Option<Box<(Held<R>, BackendId)>> },
        Replace { #[pin] replaced: Timed<T::Replace>, held: Option<Box<Moved<R, K, T>>> },
        Remove { #[pin] removed: Timed<T::Remove>, answer: Option<Box<Response<GuardBody<R>>>> },
        // For nothing: it was answered here.
        Answered { answer: Option<Box<Response<GuardBody<R>>>> },
    }
}

impl<S, B, R, K, T> ResponseFuture<S, B, R, K, T>
where
    S: Service<Request<ReclaimableBody<B>>>,
    T: SessionStore,
{
    pub(crate) fn new(state: State<S, B, R, K, T>) -> Self {
        Self { state }
    }
}

impl<S, B, R, K, T> Future for ResponseFuture<S, B, R, K, T>
where
    S: Service<Request<ReclaimableBody<B>>, Response = Response<R>> + Clone,
    B: Body<Data = Bytes> + Unpin,
    K: ExtractKey,
    T: SessionStore,
{
    type Output = Result<Response<GuardBody<R>>, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            // A state whose box is gone was left for good: only a poll after the end meets it.
            let step = match state.as_mut().project() {
                StateProj::Followed { future, followed } => {
                    let response = ready!(future.poll(cx))?;
                    let Some(followed) = followed.take() else { return Poll::Pending };
                    flow::followed(response, followed)
                }
                StateProj::Lookup { found, parked } => {
                    let found = ready!(found.poll(cx));
                    let Some(parked) = parked.take() else { return Poll::Pending };
                    let Parked { mut service, config, request, key } = *parked;
                    Step::Next(flow::looked_up(&mut service, &config, request, key, found))
                }
                StateProj::Attempt { future, attempt } => {
                    let response = ready!(future.poll(cx))?;
                    let Some(attempt) = attempt.take() else { return Poll::Pending };
                    flow::attempted(response, attempt)
                }
                StateProj::Turn { attempt, request } => {
                    let Some(waiting) = attempt.as_mut() else { return Poll::Pending };
                    ready!(waiting.service().poll_ready(cx))?;
                    let Some(request) = request.take() else { return Poll::Pending };
                    let future = waiting.service().call(*request);
                    Step::Next(State::Attempt { future, attempt: attempt.take() })
                }
                StateProj::Insert { stored, held } => {
                    let stored = ready!(stored.poll(cx));
                    let Some(held) = held.take() else { return Poll::Pending };
                    let (held, backend) = *held;
                    flow::stored(held, &backend, stored)
                }
                StateProj::Replace { replaced, held } => {
                    // Whoever lost the race, or the store, is told by the next request.
                    let _ = ready!(replaced.poll(cx));
                    let Some(held) = held.take() else { return Poll::Pending };
                    flow::moved(*held)
                }
                StateProj::Remove { removed, answer } => {
                    let _ = ready!(removed.poll(cx));
                    let Some(answer) = answer.take() else { return Poll::Pending };
                    Step::Done(*answer)
                }
                StateProj::Answered { answer } => {
                    let Some(answer) = answer.take() else { return Poll::Pending };
                    Step::Done(*answer)
                }
            };
            match step {
                Step::Done(response) => return Poll::Ready(Ok(response)),
                Step::Next(next) => state.set(next),
            }
        }
    }
}

impl<S, B, R, K, T> fmt::Debug for ResponseFuture<S, B, R, K, T>
where
    S: Service<Request<ReclaimableBody<B>>>,
    T: SessionStore,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Followed { .. } => "ResponseFuture(Followed)",
            State::Lookup { .. } => "ResponseFuture(Lookup)",
            State::Attempt { .. } => "ResponseFuture(Attempt)",
            State::Turn { .. } => "ResponseFuture(Turn)",
            State::Insert { .. } => "ResponseFuture(Insert)",
            State::Replace { .. } => "ResponseFuture(Replace)",
            State::Remove { .. } => "ResponseFuture(Remove)",
            State::Answered { .. } => "ResponseFuture(Answered)",
        })
    }
}
