//! What a layer and its services are configured with.

use std::{sync::Arc, time::Duration};

use super::{gateways::Gateways, table::Table};
use crate::replay::{entry::Entries, record::Recording};

pub(super) struct Config<N> {
    pub(super) names: Arc<N>,
    pub(super) gateways: Gateways,
    pub(super) sessions: Arc<Table>,
    pub(super) entries: Entries,
    pub(super) close_timeout: Duration,
}

/// The longest that a gateway may take to open a session.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a gateway may take to end one, unless it is set.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How many sessions may be open at gateways.
const LIMIT: usize = 100_000;

pub(super) const RECORD_LIMIT_BYTES: usize = 16 * 1024;
pub(super) const KEEP_LIMIT_BYTES: usize = 64 * 1024;

impl<N> Config<N> {
    pub(super) fn new(names: N, gateways: Gateways) -> Self {
        let sessions = Arc::new(Table::new(LIMIT));
        gateways.attach(Arc::clone(&sessions));
        Self {
            names: Arc::new(names),
            gateways,
            sessions,
            entries: Entries::default(),
            close_timeout: CLOSE_TIMEOUT,
        }
    }

    pub(super) fn recording(&self) -> Recording {
        Recording {
            entries: self.entries.clone(),
            limit_bytes: RECORD_LIMIT_BYTES,
            timeout: OPEN_TIMEOUT,
        }
    }
}

// By hand: what names gateways is shared, not cloned.
impl<N> Clone for Config<N> {
    fn clone(&self) -> Self {
        Self {
            names: Arc::clone(&self.names),
            gateways: self.gateways.clone(),
            sessions: Arc::clone(&self.sessions),
            entries: self.entries.clone(),
            close_timeout: self.close_timeout,
        }
    }
}
