//! How connections are made and kept, whoever keeps them.

use std::time::Duration;

use super::{ByProtocol, Http1Transport, HyperTransport, address::Resolver, config::Config};

/// Builds a transport.
#[must_use]
#[derive(Clone, Debug)]
pub struct TransportBuilder {
    config: Config,
}

impl ByProtocol {
    /// Starts to configure a transport.
    pub const fn builder() -> TransportBuilder {
        TransportBuilder::new()
    }
}

impl TransportBuilder {
    /// The defaults.
    pub const fn new() -> Self {
        let config = Config {
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(90),
            max_idle_per_backend: usize::MAX,
            max_connections_per_backend: usize::MAX,
            connection_wait: Duration::from_secs(5),
            resolver: Resolver::System,
            #[cfg(feature = "tls")]
            tls_config: None,
        };
        Self { config }
    }

    /// How long a connection may take to be made, name resolution and TLS included; the attempts to reach an address
    /// end 2 % earlier. Default: 5 s.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout = timeout;
        self
    }

    /// How long an unused connection is kept. Below what the backend allows, or requests meet
    /// connections that it is just closing. Default: 90 s.
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.config.idle_timeout = timeout;
        self
    }

    /// How many unused connections to one backend are kept. A number below the usual count of requests
    /// at a time means connecting anew all the time. Default: no bound.
    pub const fn max_idle_per_backend(mut self, connections: usize) -> Self {
        self.config.max_idle_per_backend = connections;
        self
    }

    /// How many connections to one backend there may be at once, in use or not; a request past them
    /// waits for one ([`Self::connection_wait`]). An open stream has one for itself, and a connection
    /// that became a tunnel does not count any more. For HTTP/1.1 in clear text. Default: no bound.
    pub const fn max_connections_per_backend(mut self, connections: usize) -> Self {
        self.config.max_connections_per_backend = connections;
        self
    }

    /// How long a request waits for a connection where there are as many as there may be; then it is
    /// refused with 503, and the backend has seen nothing of it. Default: 5 s.
    pub const fn connection_wait(mut self, wait: Duration) -> Self {
        self.config.connection_wait = wait;
        self
    }

    /// How to speak TLS: roots, client certificate, versions. Its ALPN protocols are replaced.
    /// Default: trust the certificates of the system.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls_config(mut self, config: rustls::ClientConfig) -> Self {
        self.config.tls_config = Some(config);
        self
    }

    /// Makes the transport: [`Http1Transport`] for HTTP/1.1 in clear text,
    /// [`HyperTransport`] for the rest.
    #[must_use]
    pub fn build(self) -> ByProtocol {
        ByProtocol::new(&self.config)
    }

    /// Makes the lean one alone. It has no way to a backend that speaks anything but HTTP/1.1 in clear text.
    #[must_use]
    pub fn build_http1(self) -> Http1Transport {
        Http1Transport::new(&self.config)
    }

    /// Makes hyper-util's client alone. It bounds idle connections only.
    #[must_use]
    pub fn build_hyper(self) -> HyperTransport {
        HyperTransport::new(&self.config)
    }
}

#[cfg(test)]
impl TransportBuilder {
    pub(super) fn into_config(self) -> Config {
        self.config
    }
}

impl Default for TransportBuilder {
    fn default() -> Self {
        Self::new()
    }
}
