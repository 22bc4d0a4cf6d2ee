//! How connections are made and kept.

use std::time::Duration;

use super::{
    address::{Names, Resolver},
    dialer::Dialer,
};

/// The configuration of all transports.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) connect_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) max_idle_per_backend: usize,
    pub(super) max_connections_per_backend: usize,
    pub(super) connection_wait: Duration,
    pub(super) write_timeout: Option<Duration>,
    pub(super) resolver: Resolver,
    #[cfg(feature = "tls")]
    pub(super) tls_config: Option<rustls::ClientConfig>,
}

impl Config {
    /// How to make clear-text connections, with a separate table of names.
    pub(super) fn dialer(&self) -> Dialer {
        Dialer {
            names: Names::new(self.resolver.clone(), self.connect_timeout),
            connect_timeout: self.connect_timeout,
            connection_wait: self.connection_wait,
            write_timeout: self.write_timeout,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}
