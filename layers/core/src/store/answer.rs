//! An answer that is available at once, or later.

use std::{
    convert::Infallible,
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

/// An answer that is available at once, or a future of it.
#[derive(Debug)]
#[must_use = "an answer that comes later does nothing unless polled"]
#[allow(clippy::exhaustive_enums, reason = "there is no third time")]
pub enum Answer<T, F> {
    /// The answer itself.
    Now(T),
    /// A future that resolves to it.
    Later(F),
}

impl<T, F: Future<Output = T>> Answer<T, F> {
    /// Waits for the answer, if it is not available yet.
    pub async fn wait(self) -> T {
        match self {
            Self::Now(value) => value,
            Self::Later(future) => future.await,
        }
    }
}

/// The future type of a store that always answers at once. It cannot be constructed.
pub struct Never<T>(Infallible, PhantomData<fn() -> T>);

impl<T> Future for Never<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        match self.0 {}
    }
}

impl<T> fmt::Debug for Never<T> {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}
