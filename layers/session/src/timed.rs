//! A store's answer with a deadline.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bartizan_core::{StoreError, store::StoreErrorKind};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

pin_project! {
    /// Resolves as `F` does, or to a timeout.
    pub(crate) struct Timed<F> {
        #[pin]
        answer: F,
        // Boxed: the future of a whole request holds room for this beside its other states.
        deadline: Pin<Box<Sleep>>,
    }
}

impl<F> Timed<F> {
    pub(crate) fn new(answer: F, deadline: Duration) -> Self {
        Self { answer, deadline: Box::pin(sleep(deadline)) }
    }
}

impl<V, F: Future<Output = Result<V, StoreError>>> Future for Timed<F> {
    type Output = Result<V, StoreError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(answer) = this.answer.poll(cx) {
            return Poll::Ready(answer);
        }
        this.deadline.as_mut().poll(cx).map(|()| Err(StoreError::new(StoreErrorKind::Timeout)))
    }
}
