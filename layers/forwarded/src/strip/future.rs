//! The response future.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bartizan_core::{GuardBody, TrailerFilterBody, fields::hop_by_hop};
use http::{HeaderValue, Response, StatusCode};
use pin_project_lite::pin_project;

pin_project! {
    /// Response future of [`StripHopByHop`](crate::StripHopByHop).
    ///
    /// # Cancellation
    ///
    /// Dropping it drops the inner future; the layer holds nothing else.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, R> {
        #[pin]
        state: State<F, R>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, R> {
        // Waiting for the inner service, with the upgrade that the client asked for.
        Forwarded { #[pin] future: F, upgrade: Option<HeaderValue> },
        // The request was refused here.
        Refused { answer: Option<Box<Response<GuardBody<TrailerFilterBody<R>>>>> },
    }
}

impl<F, R> ResponseFuture<F, R> {
    pub(super) const fn forwarded(future: F, upgrade: Option<HeaderValue>) -> Self {
        Self { state: State::Forwarded { future, upgrade } }
    }

    pub(super) fn refused(answer: Response<GuardBody<TrailerFilterBody<R>>>) -> Self {
        Self { state: State::Refused { answer: Some(Box::new(answer)) } }
    }
}

impl<F, R, E> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<GuardBody<TrailerFilterBody<R>>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Refused { answer } => {
                debug_assert!(answer.is_some(), "polled after it was ready");
                answer.take().map_or(Poll::Pending, |answer| Poll::Ready(Ok(*answer)))
            }
            StateProj::Forwarded { future, upgrade } => {
                let mut response = ready!(future.poll(cx))?;
                let stripped = hop_by_hop::strip_response(response.headers_mut());
                let is_switch = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                if let Some(protocol) = upgrade.take().filter(|_| is_switch) {
                    hop_by_hop::upgrade(response.headers_mut(), protocol);
                }
                let trailers = stripped.into_trailer_rule();
                let body = |body| GuardBody::forwarded(TrailerFilterBody::new(body, trailers));
                Poll::Ready(Ok(response.map(body)))
            }
        }
    }
}

impl<F, R> fmt::Debug for ResponseFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Forwarded { .. } => "ResponseFuture(Forwarded)",
            State::Refused { .. } => "ResponseFuture(Refused)",
        })
    }
}
