//! Stored values that this release cannot read: what happens to them, and how often they are reported.
//!
//! | what is stored | the session | the value |
//! |---|---|---|
//! | a record in a layout of a later release | an error: it is live, and other replicas can read it | stays |
//! | anything else that is not a session record | absent | removed, if it is unchanged |
//!
//! One event per minute reports them, with the number of those that were not reported since the
//! last one.

use std::sync::atomic::{AtomicU64, Ordering};

use bartizan_core::{StoreError, store::StoreErrorKind};
use bytes::Bytes;
use fred::{
    clients::{Client, WithOptions},
    error::Error,
};
use futures_util::FutureExt;

use crate::{digest::Digest, event, script, shared::Shared};

/// Why a stored value cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unreadable {
    /// A later release wrote it, in its own layout.
    Later,
    /// No release wrote it.
    Foreign,
}

/// A value that no release wrote, as read.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    Value(Bytes),
    /// The key has another type, such as a list.
    OtherType,
}

/// The minimum interval between two reports of unreadable values.
const EVERY_MS: u64 = 60_000;
const NEVER: u64 = u64::MAX;

/// When the last event was reported, and how many were skipped since.
#[derive(Debug)]
pub(crate) struct Reports {
    last_ms: AtomicU64,
    left_out: AtomicU64,
}

impl Reports {
    pub(crate) const fn new() -> Self {
        Self { last_ms: AtomicU64::new(NEVER), left_out: AtomicU64::new(0) }
    }

    /// Whether to report a value at `now_ms`; if so, how many were skipped since the last report.
    fn report(&self, now_ms: u64) -> Option<u64> {
        let last_ms = self.last_ms.load(Ordering::Relaxed);
        let is_due = last_ms == NEVER || now_ms.saturating_sub(last_ms) >= EVERY_MS;
        let (set, how) = (now_ms, Ordering::Relaxed);
        // Only one of several concurrent callers reports.
        if is_due && self.last_ms.compare_exchange(last_ms, set, how, how).is_ok() {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

impl Shared {
    /// Reports a value that cannot be read, unless another was reported within the minute.
    fn report(&self, unreadable: Unreadable) {
        if let Some(left_out) = self.reports.report(self.clock.now_ms()) {
            let cause = match unreadable {
                Unreadable::Later => "written by a later release",
                Unreadable::Foreign => "not a session record",
            };
            event::unreadable(cause, left_out);
        }
    }

    /// A later release wrote the stored value: the session is neither live nor gone.
    pub(crate) fn later(&self) -> StoreError {
        self.report(Unreadable::Later);
        StoreError::new(StoreErrorKind::Corrupt)
    }

    /// Removes a value that no release wrote, if it is still the one that was `seen`.
    pub(crate) async fn discard(
        &self,
        client: &WithOptions<Client>,
        digest: Digest,
        seen: Seen,
    ) -> Result<(), StoreError> {
        self.report(Unreadable::Foreign);
        self.take_away(client, digest, seen).await
    }

    /// Removes a value, if it is still the one that was `seen`, without a tombstone.
    pub(crate) async fn take_away(
        &self,
        client: &WithOptions<Client>,
        digest: Digest,
        seen: Seen,
    ) -> Result<(), StoreError> {
        let args = match seen {
            Seen::Value(value) => vec![script::bytes(value.into())],
            Seen::OtherType => Vec::new(),
        };
        let key = digest.name(&self.prefix);
        let _: i64 = self.within(self.scripts.discard.run(client, &[&key], &args).boxed()).await?;
        self.near.invalidate(&digest);
        Ok(())
    }
}

/// The result of a command on a key; `None` if the key has another type.
pub(crate) fn of_our_type<T>(outcome: Result<T, Error>) -> Result<Option<T>, Error> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.details().starts_with("WRONGTYPE") => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_minute_is_reported_and_the_others_are_counted() {
        let reports = Reports::new();
        assert_eq!(reports.report(0), Some(0), "the first, whenever it is");
        for now_ms in 0..1_000 {
            assert_eq!(reports.report(now_ms), None);
        }
        assert_eq!(reports.report(EVERY_MS - 1), None);
        assert_eq!(reports.report(EVERY_MS), Some(1_001));
        assert_eq!(reports.report(2 * EVERY_MS - 1), None);
        assert_eq!(reports.report(9 * EVERY_MS), Some(1));
    }
}
