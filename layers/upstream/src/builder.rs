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
        };
        Self { config, transport: TransportBuilder::new() }
    }

    /// Forwards to `backend` what no layer has chosen a backend for. Default: such a request is refused
    /// with 500.
    pub fn to(mut self, backend: Backend) -> Self {
        self.config.to = Some(backend);
        self
    }

    /// Passes the client's `Host` on instead of the backend's own, for backends that speak HTTP/1.1. A
    /// backend that guards itself by its name must then know the public one. One that speaks HTTP/2 over TLS
    /// is told its own name as authority beside it, and may refuse the two; in clear text it is told its own
    /// alone.
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

    /// How long the head of any response may take, from when the service is called: to wait for a connection
    /// and to make it is part of it. Below those bounds ([`Self::connections`]) a backend that cannot be reached
    /// is never told from one that is slow. Default: no bound, since a long call is legal.
    pub fn response_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.config.response_timeout = timeout;
        self
    }

    /// How long the head of a response that may open a session may take. Default: 30 s.
    pub fn opening_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.config.opening_timeout = timeout;
        self
    }

    /// Which protocols a client may change to. Default: `websocket`.
    pub fn upgrades<'a>(mut self, protocols: impl IntoIterator<Item = &'a str>) -> Self {
        self.config.relayed = protocols.into_iter().map(Into::into).collect();
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

    /// Makes the service on a transport of your own.
    #[must_use]
    pub fn build_on<C>(self, transport: C) -> Upstream<C> {
        Upstream::new(transport, Arc::new(self.config))
    }
}
