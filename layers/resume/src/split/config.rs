//! What a layer and its services are configured with.

use std::{sync::Arc, time::Duration};

use super::{gateways::Gateways, table::Table};
use crate::replay::{
    budget::{self, Budget},
    entry::Entries,
    record::Recording,
};

pub(super) struct Config<N, T> {
    pub(super) store: T,
    pub(super) store_timeout: Duration,
    pub(super) names: Arc<N>,
    pub(super) gateways: Gateways,
    pub(super) sessions: Arc<Table>,
    pub(super) entries: Entries,
    pub(super) budget: Arc<Budget>,
    pub(super) close_timeout: Duration,
}

/// The longest that a gateway may take to open a session.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// The default timeout for a gateway to end a session.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The default timeout of a store operation.
const STORE_TIMEOUT: Duration = Duration::from_millis(250);

/// How many sessions may be open at gateways.
const LIMIT: usize = 100_000;

pub(super) const RECORD_LIMIT_BYTES: usize = 16 * 1024;
pub(super) const KEEP_LIMIT_BYTES: usize = 64 * 1024;

impl<N, T> Config<N, T> {
    pub(super) fn new(store: T, names: N, gateways: Gateways) -> Self {
        let sessions = Arc::new(Table::new(LIMIT));
        gateways.attach(Arc::clone(&sessions));
        Self {
            store,
            store_timeout: STORE_TIMEOUT,
            names: Arc::new(names),
            gateways,
            sessions,
            entries: Entries::default(),
            budget: Arc::new(Budget::new(budget::DEFAULT_BYTES, Arc::default())),
            close_timeout: CLOSE_TIMEOUT,
        }
    }

    pub(super) fn recording(&self) -> Recording {
        Recording {
            entries: self.entries.clone(),
            limit_bytes: RECORD_LIMIT_BYTES,
            budget: Arc::clone(&self.budget),
            timeout: OPEN_TIMEOUT,
        }
    }
}

// Written by hand, because the naming strategy is shared, not cloned.
impl<N, T: Clone> Clone for Config<N, T> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            store_timeout: self.store_timeout,
            names: Arc::clone(&self.names),
            gateways: self.gateways.clone(),
            sessions: Arc::clone(&self.sessions),
            entries: self.entries.clone(),
            budget: Arc::clone(&self.budget),
            close_timeout: self.close_timeout,
        }
    }
}
