//! Configuration of [`Upstream`].

use std::{sync::Arc, time::Duration};

use bartizan_core::{Backend, ProxyName};

use crate::{Upstream, config::Config, head::HostRule, transport::TransportBuilder};

/// Builds an [`Upstream`].
#[must_use]
#[derive(Clone, Debug)]
pub struct UpstreamBuilder {
    config: Config,
    transport: TransportBuilder,
}

impl Upstream {
    /// Starts to configure a service.
    pub fn builder() -> UpstreamBuilder {
        UpstreamBuilder::new()
    }
}

impl UpstreamBuilder {
    fn new() -> Self {
        let config = Config {
            host: HostRule::Backend,
            to: None,
            proxy_name: None,
            response_timeout: None,
            opening_timeout: Some(Duration::from_secs(30)),
            relayed: vec!["websocket".into()],
            tunnel_idle: Some(Duration::from_secs(3600)),
        };
        Self { config, transport: TransportBuilder::new() }
    }

    /// Forwards requests for which no layer has chosen a backend to `backend`. Default: such a request is
    /// refused with 500.
    pub fn to(mut self, backend: Backend) -> Self {
        self.config.to = Some(backend);
        self
    }

    /// Passes the client's `Host` on instead of the backend's own; over TLS with HTTP/2 it becomes the authority. A
    /// backend that checks `Host` must then know the public name. An HTTP/2 backend without TLS always gets its own
    /// name.
    pub fn preserve_host(mut self) -> Self {
        self.config.host = HostRule::Preserve;
        self
    }

    /// Names this deployment in `Proxy-Status`
    /// ([RFC 9209 §2](https://www.rfc-editor.org/rfc/rfc9209#section-2)). Default: `bartizan`.
    pub fn proxy_name(mut self, name: ProxyName) -> Self {
        self.config.proxy_name = Some(name);
        self
    }

    /// The timeout for the head of any response, from the call of the service; it includes waiting for a connection
    /// and connecting. If it is shorter than those timeouts ([`Self::connections`]), an unreachable backend cannot be
    /// distinguished from a slow one. Default: none, because a call may take long.
    pub fn response_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.config.response_timeout = timeout;
        self
    }

    /// The timeout for the head of a response that may open a session. Default: 30 s.
    pub fn opening_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.config.opening_timeout = timeout;
        self
    }

    /// The protocols that a client may upgrade to. Default: `websocket`.
    pub fn upgrades<'a>(mut self, protocols: impl IntoIterator<Item = &'a str>) -> Self {
        self.config.relayed = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// How long a tunnel may be idle in both directions; then both sides are closed. If the client or the backend has
    /// closed its half, the tunnel is closed after 10 s of silence, regardless of this setting. Default: 1 h.
    pub fn tunnel_idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.config.tunnel_idle = timeout;
        self
    }

    /// How connections are made and kept.
    pub fn connections(mut self, transport: TransportBuilder) -> Self {
        self.transport = transport;
        self
    }

    /// Makes the service. It takes requests with bodies of any type.
    #[must_use]
    pub fn build(self) -> Upstream {
        let transport = self.transport.build();
        Upstream::new(transport, Arc::new(self.config))
    }

    /// Makes the service with your own transport.
    #[must_use]
    pub fn build_on<C>(self, transport: C) -> Upstream<C> {
        Upstream::new(transport, Arc::new(self.config))
    }
}
