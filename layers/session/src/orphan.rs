//! The end of a session that a backend opened and nobody will use.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::Request;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use crate::PeekedBody;

/// How long the client waits for a backend to end an orphan before it gets its refusal.
const DEADLINE: Duration = Duration::from_secs(1);

pin_project! {
    /// Resolves when the backend has answered, whatever it said, or the deadline has passed.
    pub(crate) struct EndOrphan<S, B>
    where
        S: Service<Request<PeekedBody<B>>>,
    {
        #[pin]
        state: State<S, B>,
        deadline: Pin<Box<Sleep>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B>
    where
        S: Service<Request<PeekedBody<B>>>,
    {
        Waiting { parked: Option<Box<(S, Request<PeekedBody<B>>)>> },
        Sent { #[pin] future: S::Future },
    }
}

impl<S: Service<Request<PeekedBody<B>>>, B> EndOrphan<S, B> {
    pub(crate) fn new(service: S, request: Request<PeekedBody<B>>) -> Self {
        let state = State::Waiting { parked: Some(Box::new((service, request))) };
        Self { state, deadline: Box::pin(sleep(DEADLINE)) }
    }
}

impl<S: Service<Request<PeekedBody<B>>>, B> Future for EndOrphan<S, B> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let future = match this.state.as_mut().project() {
                StateProj::Sent { future } => return future.poll(cx).map(|_| ()),
                StateProj::Waiting { parked } => {
                    let Some(waiting) = parked else { return Poll::Ready(()) };
                    if ready!(waiting.0.poll_ready(cx)).is_err() {
                        return Poll::Ready(());
                    }
                    let Some(parked) = parked.take() else { return Poll::Ready(()) };
                    let (mut service, request) = *parked;
                    service.call(request)
                }
            };
            this.state.set(State::Sent { future });
        }
    }
}
