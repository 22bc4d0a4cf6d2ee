//! What a layer and its services are configured with.

use std::{fmt, num::NonZeroU8, sync::Arc, time::Duration};

use super::{counts::ResumeCounts, outcome::Attempts, strangers::Strangers};
use crate::replay::{
    budget::{self, Budget},
    entry::Entries,
    record::Recording,
};

#[derive(Clone)]
pub(crate) struct Config<T> {
    pub(crate) store: T,
    pub(crate) entries: Entries,
    pub(crate) record_limit_bytes: usize,
    pub(crate) budget: Arc<Budget>,
    pub(crate) keep_limit_bytes: usize,
    pub(crate) timeout: Duration,
    pub(crate) attempts: NonZeroU8,
    pub(crate) store_timeout: Duration,
    pub(crate) under_way: Arc<Attempts>,
    pub(crate) strangers: Arc<Strangers>,
    pub(crate) counts: ResumeCounts,
}

impl<T> Config<T> {
    pub(crate) fn new(store: T) -> Self {
        let counts = ResumeCounts::default();
        Self {
            budget: Arc::new(Budget::new(budget::DEFAULT_BYTES, counts.unrecorded_cell())),
            store,
            entries: Entries::default(),
            record_limit_bytes: 2 * 1024,
            keep_limit_bytes: 64 * 1024,
            timeout: Duration::from_secs(10),
            attempts: NonZeroU8::MIN.saturating_add(1),
            store_timeout: Duration::from_millis(250),
            under_way: Arc::default(),
            strangers: Arc::default(),
            counts,
        }
    }

    pub(crate) fn recording(&self) -> Recording {
        Recording {
            entries: self.entries.clone(),
            limit_bytes: self.record_limit_bytes,
            budget: Arc::clone(&self.budget),
            timeout: self.timeout,
        }
    }
}

impl<T> fmt::Debug for Config<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("entries", &self.entries)
            .field("record_limit_bytes", &self.record_limit_bytes)
            .field("budget", &self.budget)
            .field("keep_limit_bytes", &self.keep_limit_bytes)
            .field("timeout", &self.timeout)
            .field("attempts", &self.attempts)
            .field("under_way", &self.under_way.len())
            .finish_non_exhaustive()
    }
}
