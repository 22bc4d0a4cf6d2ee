//! How connections are made and kept.

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
            write_timeout: Some(Duration::from_secs(60)),
            resolver: Resolver::System,
            #[cfg(feature = "tls")]
            tls_config: None,
        };
        Self { config }
    }

    /// The timeout for connecting, including name resolution and TLS; attempts to reach an address
    /// end 2 % earlier. Default: 5 s.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout = timeout;
        self
    }

    /// How long an unused connection is kept. Keep it below the backend's own idle timeout, or
    /// requests meet connections that the backend is closing. Default: 90 s.
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.config.idle_timeout = timeout;
        self
    }

    /// How many unused connections to one backend are kept. A number below the usual number of
    /// concurrent requests causes constant reconnecting. Default: no limit.
    pub const fn max_idle_per_backend(mut self, connections: usize) -> Self {
        self.config.max_idle_per_backend = connections;
        self
    }

    /// The maximum number of connections to one backend, in use or not; further requests wait for
    /// one ([`Self::connection_wait`]). Over HTTP/1.1 an open stream occupies one, and a connection that became a
    /// tunnel no longer counts. Over HTTP/2, requests share them, up to the number of streams that the backend allows.
    /// Over TLS, the limit applies to each of the two protocols. Default: no limit.
    pub const fn max_connections_per_backend(mut self, connections: usize) -> Self {
        self.config.max_connections_per_backend = connections;
        self
    }

    /// How long a request waits for a connection when the limit is reached. Then it is refused with
    /// 503; the backend has not seen it. Default: 5 s.
    pub const fn connection_wait(mut self, wait: Duration) -> Self {
        self.config.connection_wait = wait;
        self
    }

    /// How long a backend may read nothing of a request while there is some of it to write; then the response is 504. A
    /// tunnel ends. Over HTTP/2 this also applies to each stream until its response begins; only that stream is reset.
    /// Default: 60 s.
    pub const fn write_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.config.write_timeout = timeout;
        self
    }

    /// The TLS configuration: roots, client certificate, versions. Its ALPN protocols are replaced.
    /// Default: trust the certificates of the system.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls_config(mut self, config: rustls::ClientConfig) -> Self {
        self.config.tls_config = Some(config);
        self
    }

    /// Makes the transport for all kinds of backends.
    #[must_use]
    pub fn build(self) -> ByProtocol {
        ByProtocol::new(&self.config)
    }

    /// Makes only the HTTP/1.1 transport. It cannot reach backends that need TLS or HTTP/2.
    #[must_use]
    pub fn build_http1(self) -> Http1Transport {
        Http1Transport::new(&self.config)
    }

    /// Makes only hyper-util's client. It limits idle connections only.
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
