//! Configuration of [`SanitizeForwarded`] services.

use std::{net::SocketAddr, num::NonZeroU8, sync::Arc};

use bartizan_core::Dialect;
use http::Extensions;
use tower_layer::Layer;

use crate::{
    Chain, Fields, Naming, SanitizeForwarded, TrustedPeers,
    by::ForwardedBy,
    config::{Config, Ready, Source},
    internal_prefix::InternalPrefix,
    named::{ClientIpHeader, KeptField},
    path_prefix::PathPrefix,
    trust::Trust,
    write::Style,
};

/// Builds [`SanitizeForwarded`] services; see the [crate docs](crate).
///
/// ```
/// use bartizan_forwarded::{Chain, SanitizeForwardedLayer, TrustedPeers};
///
/// // Behind load balancers in this network; the backend sees only the client's address.
/// let layer = SanitizeForwardedLayer::new()
///     .trust(TrustedPeers::networks(["10.0.0.0/8".parse()?]))
///     .chain(Chain::Replace);
/// # let _ = layer;
/// # Ok::<(), bartizan_forwarded::ConfigError>(())
/// ```
#[must_use]
#[derive(Clone, Debug)]
pub struct SanitizeForwardedLayer {
    config: Config,
    is_on: bool,
}

impl SanitizeForwardedLayer {
    /// Trusts no peer, and writes the default [`Fields`].
    pub fn new() -> Self {
        let style = Style {
            fields: Fields::default(),
            chain: Chain::default(),
            naming: Naming::default(),
            by: None,
        };
        let config = Config {
            trust: Trust::Peers(TrustedPeers::default()),
            source: Source::default(),
            style,
            is_over_tls: false,
            prefix: None,
            internal_prefixes: vec![InternalPrefix::bartizan()],
            kept: Vec::new(),
            client_ip: None,
            restarts_traces: false,
            peer_from: None,
            dialect: None,
        };
        Self { config, is_on: true }
    }

    /// Switches the layer on or off. A service that is off passes every request and response on unchanged,
    /// and has the same type as one that is on. Default: on.
    pub fn only_if(mut self, is_on: bool) -> Self {
        self.is_on = is_on;
        self
    }

    /// Trusts the forwarding headers of `peers`. Replaces [`Self::trust_count`]. Default: none.
    pub fn trust(mut self, peers: TrustedPeers) -> Self {
        self.config.trust = Trust::Peers(peers);
        self
    }

    /// Trusts the forwarding headers of the last `count` proxies, including the peer, at any address: for
    /// platforms that document how many proxies they run, but not their addresses. A client that can reach
    /// this server directly is trusted too, so make sure that none can; a shorter chain is not trusted.
    /// Replaces [`Self::trust`].
    pub fn trust_count(mut self, count: NonZeroU8) -> Self {
        self.config.trust = Trust::Count(count);
        self
    }

    /// The field from which the client's address is read. Default: `X-Forwarded-For`. If a request has both and they
    /// name different clients, an event at `DEBUG` reports it.
    pub fn source(mut self, source: Source) -> Self {
        self.config.source = source;
        self
    }

    /// The fields that are written for the backend. Default: [`Fields::default`].
    pub fn write(mut self, fields: Fields) -> Self {
        self.config.style.fields = fields;
        self
    }

    /// What to do with the chain that trusted proxies wrote. Default: it stays, and the peer is appended.
    pub fn chain(mut self, chain: Chain) -> Self {
        self.config.style.chain = chain;
        self
    }

    /// How the client and the proxies are named in `Forwarded`. Default: by address.
    pub fn naming(mut self, naming: Naming) -> Self {
        self.config.style.naming = naming;
        self
    }

    /// The interface that receives requests, for the parameter `by` of `Forwarded`. Default: omitted.
    pub fn by(mut self, node: ForwardedBy) -> Self {
        self.config.style.by = Some(node);
        self
    }

    /// States that clients reach this server over TLS, if the connection does not show it
    /// ([`PeerAddr::over_tls`](bartizan_core::PeerAddr::over_tls)). Default: they do not.
    pub fn over_tls(mut self) -> Self {
        self.config.is_over_tls = true;
        self
    }

    /// The path prefix that was stripped above this layer, such as `/api`. The backend gets it in
    /// `X-Forwarded-Prefix`, after the one that a trusted proxy, or a router further out, stripped. Default:
    /// none.
    pub fn stripped_prefix(mut self, prefix: PathPrefix) -> Self {
        self.config.prefix = Some(prefix);
        self
    }

    /// Prefixes of field names that only proxies may set: such fields are dropped from untrusted peers. These
    /// replace the default, `x-bartizan-`.
    pub fn internal_prefixes(mut self, prefixes: impl IntoIterator<Item = InternalPrefix>) -> Self {
        self.config.internal_prefixes = prefixes.into_iter().collect();
        self
    }

    /// Lets these fields pass from any peer, although this layer drops them by default: for a backend that uses such a
    /// name for its own purposes. Replaces the fields set before. Default: none.
    pub fn keep(mut self, fields: impl IntoIterator<Item = KeptField>) -> Self {
        self.config.kept = fields.into_iter().collect();
        self
    }

    /// Reads the client's address from a field that a trusted peer writes, such as `CF-Connecting-IP`: one line with one
    /// address, with or without a port. It takes precedence over the chain of [`Self::source`]: if the two name different
    /// clients, the chain is replaced. The chain is used if the field is absent or malformed. From an untrusted peer the
    /// field is dropped. Default: none.
    ///
    /// The trusted proxies must always set or remove this field: a value that they pass on unchanged is the client's own
    /// claim.
    pub fn client_ip_header(mut self, field: ClientIpHeader) -> Self {
        self.config.client_ip = Some(field);
        self
    }

    /// Drops `traceparent` and `tracestate` from untrusted peers, so that the next service that takes part in
    /// tracing starts a new trace and decides on sampling. Default: both pass untouched ([Trace
    /// Context](https://www.w3.org/TR/trace-context-2/)).
    pub fn restart_traces(mut self) -> Self {
        self.config.restarts_traces = true;
        self
    }

    /// Reads the peer from the request extensions of a server that does not attach a
    /// [`PeerAddr`](bartizan_core::PeerAddr), such as axum's `ConnectInfo`. The address is then formatted for
    /// each request; that of an attached `PeerAddr` only once per connection. Default: a request without a
    /// `PeerAddr` comes from an unknown peer, which is not trusted.
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

    pub(crate) fn ready(&self) -> Ready {
        self.config.clone().ready()
    }
}

impl<S> Layer<S> for SanitizeForwardedLayer {
    type Service = SanitizeForwarded<S>;

    fn layer(&self, inner: S) -> SanitizeForwarded<S> {
        SanitizeForwarded::new(inner, self.is_on.then(|| Arc::new(self.ready())))
    }
}

impl Default for SanitizeForwardedLayer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_the_name_of_the_layer() {
        let layer = SanitizeForwardedLayer::new();
        assert!(format!("{layer:?}").starts_with("SanitizeForwardedLayer { config: Config { "));
        let service = format!("{:?}", layer.layer(()));
        assert!(
            service.starts_with("SanitizeForwarded { inner: (), config: Some(Config { "),
            "{service}"
        );
    }
}
