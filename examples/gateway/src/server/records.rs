//! What is recorded of each request.

use bartizan::observe::{Metrics, ObserveRequestsLayer};

use crate::access_log::AccessLog;

/// Where each request is recorded. Default: nowhere.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    pub(crate) access_log: Option<AccessLog>,
    /// Counts requests, if it is on.
    pub(crate) edge: ObserveRequestsLayer,
}

impl Default for Records {
    fn default() -> Self {
        Self { access_log: None, edge: Metrics::new().edge().only_if(false) }
    }
}
