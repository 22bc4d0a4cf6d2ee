//! What a connection is made with.

use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;

use super::super::connector::Connector;

/// How connections are made, for all pools.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    pub(super) connector: Connector<HttpConnector>,
    pub(super) connection_wait: Duration,
}
