//! What a connection is made with.

use std::{sync::Arc, time::Duration};

use super::super::address::Names;

/// How connections are made, for all pools.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    pub(super) names: Arc<Names>,
    pub(super) connection_wait: Duration,
    pub(super) write_timeout: Option<Duration>,
}
