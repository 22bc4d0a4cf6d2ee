//! The future of a layer that forwards a request or answers it itself, without waiting first.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;

use crate::GuardBody;

/// What a layer does to the head of a forwarded response.
pub trait Finish {
    /// Changes `response` on its way out.
    fn finish<R>(&self, response: &mut Response<R>);
}

pin_project! {
    /// Resolves to the response of the inner service, finished by `T`, or to the layer's own answer.
    ///
    /// # Cancellation
    ///
    /// Dropping it drops the inner future; the layer holds nothing else.
    #[must_use = "futures do nothing unless polled"]
    pub struct Guarded<F, R, T> {
        #[pin]
        state: State<F, R, T>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, R, T> {
        // Waiting for the inner service.
        Forwarded { #[pin] future: F, finish: T },
        // The request was answered here. Boxed, because a response is larger than most futures.
        Answered { answer: Option<Box<Response<GuardBody<R>>>> },
    }
}

impl<F, R, T> Guarded<F, R, T> {
    /// Waits for `future`, and passes its response to `finish`.
    pub const fn forwarded(future: F, finish: T) -> Self {
        Self { state: State::Forwarded { future, finish } }
    }

    /// Responds with `answer`.
    pub fn answered(answer: Response<GuardBody<R>>) -> Self {
        Self { state: State::Answered { answer: Some(Box::new(answer)) } }
    }
}

impl<F, R, E, T> Future for Guarded<F, R, T>
where
    F: Future<Output = Result<Response<R>, E>>,
    T: Finish,
{
    type Output = Result<Response<GuardBody<R>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Forwarded { future, finish } => {
                let mut response = ready!(future.poll(cx))?;
                finish.finish(&mut response);
                Poll::Ready(Ok(response.map(GuardBody::forwarded)))
            }
            StateProj::Answered { answer } => match answer.take() {
                Some(answer) => Poll::Ready(Ok(*answer)),
                None => {
                    debug_assert!(false, "`Guarded` was polled after it had finished");
                    Poll::Pending
                }
            },
        }
    }
}

impl<F, R, T> fmt::Debug for Guarded<F, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Forwarded { .. } => "Guarded(Forwarded)",
            State::Answered { .. } => "Guarded(Answered)",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::Pending, pin::pin, task::Waker};

    use super::*;

    struct Nothing;

    impl Finish for Nothing {
        fn finish<R>(&self, _: &mut Response<R>) {}
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic = "polled after it had finished")]
    fn an_answer_is_given_once() {
        type Inner = Pending<Result<Response<()>, Infallible>>;
        let answer = Response::new(GuardBody::forwarded(()));
        let mut future = pin!(Guarded::<Inner, (), Nothing>::answered(answer));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut cx).is_ready());
        assert!(future.as_mut().poll(&mut cx).is_pending());
    }
}
