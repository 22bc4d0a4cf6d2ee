//! The response future.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;
use pin_project_lite::pin_project;

pin_project! {
    /// Response future of [`GuardOrigin`](crate::GuardOrigin).
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
        // Waiting for the inner service.
        Forwarded { #[pin] future: F },
        // The request was refused here. Boxed, because a response is larger than most futures.
        Refused { refusal: Option<Box<Response<R>>> },
    }
}

impl<F, R> ResponseFuture<F, R> {
    #[inline(always)]
    pub(crate) const fn forwarded(future: F) -> Self {
        Self { state: State::Forwarded { future } }
    }

    #[cold]
    pub(crate) fn refused(refusal: Response<R>) -> Self {
        Self { state: State::Refused { refusal: Some(Box::new(refusal)) } }
    }
}

impl<F, R, E> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project().state.project() {
            StateProj::Forwarded { future } => future.poll(cx),
            StateProj::Refused { refusal } => match refusal.take() {
                Some(refusal) => Poll::Ready(Ok(*refusal)),
                None => Poll::Pending, // polled again after it was ready
            },
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
