//! Configuration of [`GuardOrigin`] services.

use std::{net::SocketAddr, sync::Arc};

use bartizan_core::Dialect;
use http::Extensions;
use tower_layer::Layer;

use crate::{
    AllowedHost, AllowedOrigin, GuardOrigin,
    config::{Config, Rules},
};

/// Builds [`GuardOrigin`] services; see the [crate docs](crate).
#[must_use]
#[derive(Clone, Debug)]
pub struct GuardOriginLayer {
    config: Config,
    is_on: bool,
}

impl GuardOriginLayer {
    /// Allows browsers to address this server by a loopback name or by its own address, for its own pages.
    pub fn new() -> Self {
        let config = Config {
            rules: Rules::default(),
            is_over_tls: false,
            scanned_above: false,
            peer_from: None,
            dialect: None,
        };
        Self { config, is_on: true }
    }

    /// Switches the layer on or off. A service that is off passes every request on unchanged, and has the same type as
    /// one that is on. Default: on.
    pub fn only_if(mut self, is_on: bool) -> Self {
        self.is_on = is_on;
        self
    }

    /// Allows browsers to address this server by `host`, too, such as its public name. Can be called several times.
    /// Default: loopback names and the addresses of the listener.
    pub fn allow_host(mut self, host: AllowedHost) -> Self {
        self.config.rules.hosts.push(host);
        self
    }

    /// Allows pages of `origin` to call this server, too. Can be called several times. To read the responses, they
    /// also need CORS fields, which this layer does not write. Default: pages of this server itself and, for clients
    /// on this machine, pages of loopback origins.
    pub fn allow_origin(mut self, origin: AllowedOrigin) -> Self {
        self.config.rules.origins.push(origin);
        self
    }

    /// Allows browsers to address this server by the IP address of `addr`, at any port: for servers that do not
    /// state the local address of each connection
    /// ([`PeerAddr::accepted_at`](bartizan_core::PeerAddr::accepted_at)). An unspecified address, such as `0.0.0.0`,
    /// stands for all addresses (never for names): a `Host` that is an address involves no DNS that could be rebound.
    /// Can be called several times. Default: the local address of the connection, where it is known.
    pub fn listener(mut self, addr: SocketAddr) -> Self {
        self.config.rules.listeners.push(addr.ip().to_canonical());
        self
    }

    /// States that clients reach this server over TLS, if neither the connection
    /// ([`PeerAddr::over_tls`](bartizan_core::PeerAddr::over_tls)) nor a layer above shows it. Default: they do not.
    pub fn over_tls(mut self) -> Self {
        self.config.is_over_tls = true;
        self
    }

    /// Relies on a layer above that has looked at the field names and recorded whether a browser sent the request
    /// ([`Passage::set_from_browser`](bartizan_core::Passage::set_from_browser)): `SanitizeForwarded` does. Where no
    /// layer has, this one looks. Default: this layer always looks.
    pub fn scanned_above(mut self) -> Self {
        self.config.scanned_above = true;
        self
    }

    /// Reads the peer from the request extensions of a server that does not attach a
    /// [`PeerAddr`](bartizan_core::PeerAddr), if no layer above has established the client's address. Default: such a
    /// client is not local.
    pub fn peer_from(mut self, find: fn(&Extensions) -> Option<SocketAddr>) -> Self {
        self.config.peer_from = Some(find);
        self
    }

    /// The format of this layer's refusals, except for gRPC requests, which always get a gRPC response. Default: the
    /// format that a layer above decided, or else the one that the header fields of the request suggest.
    pub fn refuse_as(mut self, dialect: Dialect) -> Self {
        self.config.dialect = Some(dialect);
        self
    }
}

impl<S> Layer<S> for GuardOriginLayer {
    type Service = GuardOrigin<S>;

    fn layer(&self, inner: S) -> GuardOrigin<S> {
        GuardOrigin::new(inner, self.is_on.then(|| Arc::new(self.config.clone())))
    }
}

impl Default for GuardOriginLayer {
    fn default() -> Self {
        Self::new()
    }
}
