//! Changes of the set of backends, from the outside.

use std::{future::poll_fn, pin::pin};

use bartizan_core::{Backend, BackendId};
use futures_core::Stream;

use super::set::Backends;

/// A change of the set of backends.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// A backend is there, or its origin is another now.
    Add(Backend),
    /// A backend is gone: its pins are lost.
    Remove(BackendId),
    /// A backend takes no new work.
    Drain(BackendId),
}

impl Backends {
    /// Follows `changes` until the stream ends: the way in for DNS, headless services and anything else
    /// that knows which backends there are. Run it in a task.
    ///
    /// # Cancellation
    ///
    /// Dropping it leaves the set unchanged.
    pub async fn follow(self, changes: impl Stream<Item = Change>) {
        let mut changes = pin!(changes);
        while let Some(change) = poll_fn(|cx| changes.as_mut().poll_next(cx)).await {
            self.apply(change);
        }
    }

    fn apply(&self, change: Change) {
        match change {
            Change::Add(backend) => self.add(backend),
            Change::Remove(id) => {
                self.remove(&id);
            }
            Change::Drain(id) => {
                self.drain(&id);
            }
        }
    }
}
