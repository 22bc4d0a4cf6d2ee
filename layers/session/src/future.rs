//! The response future: where a request waits.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bartizan_core::SessionStore;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    PeekedBody, SessionBody,
    flow::{self, After, Held, Parked, Step},
    orphan::EndOrphan,
    peeking::Peeking,
    timed::Timed,
};

pin_project! {
    /// Response future of [`ValidateSession`](crate::ValidateSession).
    ///
    /// # Cancellation
    ///
    /// Dropped before the response, it leaves a session that the backend may have opened to the
    /// backend's own expiry: nobody was told the id. Nothing is left in the store that was not handed
    /// out, but for an insert that was on its way, which expires unused.
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
    /// Where the request waits. What is boxed is off the path of a live session.
    #[project = StateProj]
    pub(crate) enum State<S, B, R, T>
    where
        S: Service<Request<PeekedBody<B>>>,
        T: SessionStore,
    {
        // Inside; the response settles what becomes of the session.
        Inner { #[pin] future: S::Future, after: After<S, T> },
        // At the store, which looks the id up.
        Lookup { #[pin] found: Timed<T::Get>, parked: Option<Box<Parked<S, B, T>>> },
        // For its own body.
        Peek { peeking: Option<Box<Peeking<S, B, T>>> },
        // At the store, with the response held until the session is in it, changed, or gone.
        Insert { #[pin] inserted: Timed<T::Insert>, held: Option<Box<Held<S, R, T>>> },
        Replace { #[pin] replaced: Timed<T::Replace>, held: Option<Box<Held<S, R, T>>> },
        Remove { #[pin] removed: Timed<T::Remove>, held: Option<Box<Held<S, R, T>>> },
        // For a backend to end a session that nobody will use.
        Orphan { #[pin] ending: EndOrphan<S, B>, answer: Option<Box<Response<SessionBody<R, T>>>> },
        // For nothing: it was answered here.
        Answered { answer: Option<Box<Response<SessionBody<R, T>>>> },
    }
}

impl<S, B, R, T> ResponseFuture<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>>,
    T: SessionStore,
{
    pub(crate) fn new(state: State<S, B, R, T>) -> Self {
        Self { state }
    }
}

impl<S, B, R, T> Future for ResponseFuture<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>, Response = Response<R>> + Clone,
    B: Body<Data = Bytes> + Unpin,
    T: SessionStore,
{
    type Output = Result<Response<SessionBody<R, T>>, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            // A state whose box is gone was left for good: only a poll after the end meets it.
            let step = match state.as_mut().project() {
                StateProj::Inner { future, after } => {
                    let response = ready!(future.poll(cx))?;
                    flow::responded(response, std::mem::take(after))
                }
                StateProj::Lookup { found, parked } => {
                    let found = ready!(found.poll(cx));
                    let Some(parked) = parked.take() else { return Poll::Pending };
                    let Parked { mut service, config, request } = *parked;
                    Step::Next(flow::looked_up(&mut service, &config, request, found))
                }
                StateProj::Peek { peeking } => {
                    let Some(waiting) = peeking else { return Poll::Pending };
                    let looked = ready!(waiting.poll_looked(cx));
                    let Some(peeking) = peeking.take() else { return Poll::Pending };
                    Step::Next(flow::peeked(*peeking, looked))
                }
                StateProj::Insert { inserted, held } => {
                    let inserted = ready!(inserted.poll(cx));
                    let Some(held) = held.take() else { return Poll::Pending };
                    flow::inserted(*held, inserted)
                }
                StateProj::Replace { replaced, held } => {
                    let _ = ready!(replaced.poll(cx));
                    let Some(held) = held.take() else { return Poll::Pending };
                    Step::Done(held.answer)
                }
                StateProj::Remove { removed, held } => {
                    // The answer stands even if the store cannot be told: the backend's next 404 will.
                    let _ = ready!(removed.poll(cx));
                    let Some(held) = held.take() else { return Poll::Pending };
                    Step::Done(held.answer)
                }
                StateProj::Orphan { ending, answer } => {
                    ready!(ending.poll(cx));
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

impl<S, B, R, T> fmt::Debug for ResponseFuture<S, B, R, T>
where
    S: Service<Request<PeekedBody<B>>>,
    T: SessionStore,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Inner { .. } => "ResponseFuture(Inner)",
            State::Lookup { .. } => "ResponseFuture(Lookup)",
            State::Peek { .. } => "ResponseFuture(Peek)",
            State::Insert { .. } => "ResponseFuture(Insert)",
            State::Replace { .. } => "ResponseFuture(Replace)",
            State::Remove { .. } => "ResponseFuture(Remove)",
            State::Orphan { .. } => "ResponseFuture(Orphan)",
            State::Answered { .. } => "ResponseFuture(Answered)",
        })
    }
}
