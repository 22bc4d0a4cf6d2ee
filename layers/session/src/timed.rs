//! A store's answer with this layer's timer.

use std::{pin::Pin, time::Duration};

use bartizan_core::store;
use tokio::time::{Sleep, sleep};

/// Boxed: the future of a whole request holds room for the timer beside its other states.
pub(crate) type Timed<F> = store::Timed<F, Pin<Box<Sleep>>>;

pub(crate) fn timed<F>(answer: F, deadline: Duration) -> Timed<F> {
    Timed::new(answer, Box::pin(sleep(deadline)))
}
