//! A store's answer with a deadline.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{StoreError, StoreErrorKind};

pin_project! {
    /// Resolves as the answer `F` does, or to a timeout when the deadline `D` resolves first.
    ///
    /// The deadline is whatever timer the layer has; this crate has none.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Timed<F, D> {
        #[pin]
        answer: F,
        #[pin]
        deadline: D,
    }
}

impl<F, D> Timed<F, D> {
    /// Gives `answer` until `deadline`.
    pub const fn new(answer: F, deadline: D) -> Self {
        Self { answer, deadline }
    }
}

impl<V, F, D> Future for Timed<F, D>
where
    F: Future<Output = Result<V, StoreError>>,
    D: Future<Output = ()>,
{
    type Output = Result<V, StoreError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(answer) = this.answer.poll(cx) {
            return Poll::Ready(answer);
        }
        this.deadline.poll(cx).map(|()| Err(StoreError::new(StoreErrorKind::Timeout)))
    }
}
