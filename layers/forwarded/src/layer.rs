//! Configuration of [`SanitizeForwarded`] services.

use std::{fmt, net::SocketAddr, num::NonZeroU8, sync::Arc};

use bartizan_core::Dialect;
use http::{Extensions, HeaderName, HeaderValue};
use tower_layer::Layer;

use crate::{
    Chain, ConfigError, Fields, Naming, SanitizeForwarded, TrustedPeers, node, origin,
    trust::Trust,
    write::{self, Style},
};

/// Builds [`SanitizeForwarded`] services; see the [crate docs](crate).
#[must_use]
#[derive(Clone)]
pub struct SanitizeForwardedLayer {
    config: Config,
}

/// Which field names the client, where the peer is trusted. The other one is never believed, even where
/// it stands alone: a proxy that writes one of the two may pass the other on as a client sent it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Source {
    /// `X-Forwarded-For`, with `X-Forwarded-Proto`, `-Host`, `-Port` and `-Prefix`: a trusted proxy must
    /// write or remove each of them.
    #[default]
    XForwardedFor,
    /// `Forwarded`.
    Forwarded,
}

#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) trust: Trust,
    pub(crate) source: Source,
    pub(crate) style: Style,
    pub(crate) is_over_tls: bool,
    pub(crate) prefix: Option<HeaderValue>,
    pub(crate) internal_prefixes: Vec<Box<str>>,
    pub(crate) restarts_traces: bool,
    pub(crate) peer_from: Option<fn(&Extensions) -> Option<SocketAddr>>,
    pub(crate) dialect: Option<Dialect>,
}

impl SanitizeForwardedLayer {
    /// Trusts nobody, and writes the [`Fields`] that backends ask for.
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
            internal_prefixes: vec!["x-bartizan-".into()],
            restarts_traces: false,
            peer_from: None,
            dialect: None,
        };
        Self { config }
    }

    /// Takes the word of `peers` about the client. Default: of nobody.
    pub fn trust(mut self, peers: TrustedPeers) -> Self {
        self.config.trust = Trust::Peers(peers);
        self
    }

    /// Takes the word of the last `count` proxies, the peer among them, wherever they are: for platforms
    /// that tell their depth and not their addresses. Whoever can reach this server past them is
    /// believed; a chain that is shorter is not.
    pub fn trust_count(mut self, count: NonZeroU8) -> Self {
        self.config.trust = Trust::Count(count);
        self
    }

    /// Says which field names the client. Default: `X-Forwarded-For`. Where both stand and name two
    /// clients, an event says so at `DEBUG`.
    pub fn source(mut self, source: Source) -> Self {
        self.config.source = source;
        self
    }

    /// Says which fields are written for the backend. Default: [`Fields::default`].
    pub fn write(mut self, fields: Fields) -> Self {
        self.config.style.fields = fields;
        self
    }

    /// Says what becomes of the hops that trusted proxies wrote down. Default: they stay, and the peer
    /// is added.
    pub fn chain(mut self, chain: Chain) -> Self {
        self.config.style.chain = chain;
        self
    }

    /// Says how the client and the proxies are named in `Forwarded`. Default: by address.
    pub fn naming(mut self, naming: Naming) -> Self {
        self.config.style.naming = naming;
        self
    }

    /// Names the interface that requests come in by, in the parameter `by` of `Forwarded`: an address,
    /// with a port or without, or an obfuscated name such as `_gw1`. Default: left out.
    ///
    /// # Errors
    ///
    /// If `node` is none of these.
    pub fn by(mut self, node: &str) -> Result<Self, ConfigError> {
        let bracketed = if node.parse::<std::net::Ipv6Addr>().is_ok() {
            format!("[{node}]")
        } else {
            node.to_owned()
        };
        if node::parse(bracketed.as_bytes()).is_none() {
            let expected = "expected an address such as 192.0.2.1 or [2001:db8::1]:443, or a name such as _gw1";
            return Err(ConfigError::new(format!("{node:?} is no node: {expected}")));
        }
        let mut text = String::new();
        write::push_value(&mut text, &bracketed);
        self.config.style.by = Some(text.into());
        Ok(self)
    }

    /// States that clients reach this server over TLS, where nothing says so of the connection
    /// ([`PeerAddr::over_tls`](bartizan_core::PeerAddr::over_tls)). Default: they do not.
    pub fn over_tls(mut self) -> Self {
        self.config.is_over_tls = true;
        self
    }

    /// States the path prefix that was stripped before this layer, such as `/api`: it is told to the
    /// backend, after the one that a trusted proxy stripped. Default: none.
    ///
    /// # Errors
    ///
    /// If `prefix` is no path, or begins with two slashes.
    pub fn stripped_prefix(mut self, prefix: &str) -> Result<Self, ConfigError> {
        let value =
            HeaderValue::from_str(prefix).ok().filter(|_| origin::is_prefix(prefix.as_bytes()));
        let wrong =
            || ConfigError::new(format!("{prefix:?} is no path: expected one such as /api"));
        self.config.prefix = Some(value.ok_or_else(wrong)?);
        Ok(self)
    }

    /// Names fields by how they begin that only proxies may set; from an untrusted peer they are dropped.
    /// Default: `x-bartizan-`.
    ///
    /// # Errors
    ///
    /// If a prefix is empty, can begin no field name, or would cover a field that HTTP, or a guard
    /// against loops, needs: `host`, `via`, `cdn-loop` and others.
    pub fn internal_prefixes<'a>(
        mut self,
        prefixes: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ConfigError> {
        self.config.internal_prefixes =
            prefixes.into_iter().map(internal_prefix).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Drops `traceparent` and `tracestate` of an untrusted peer, so that the next service that takes
    /// part in tracing starts a trace of its own and decides on its sampling. Default: both pass
    /// untouched ([Trace Context](https://www.w3.org/TR/trace-context-2/)).
    pub fn restart_traces(mut self) -> Self {
        self.config.restarts_traces = true;
        self
    }

    /// Finds the peer in the request extensions of a server that does not attach a
    /// [`PeerAddr`](bartizan_core::PeerAddr): axum's `ConnectInfo`, say. Its text is made for each request
    /// then; an attached one has it made once per connection. Default: a request without a `PeerAddr` is
    /// an unknown peer's, which is not trusted.
    pub fn peer_from(mut self, find: fn(&Extensions) -> Option<SocketAddr>) -> Self {
        self.config.peer_from = Some(find);
        self
    }

    /// Answers what it refuses in this form, except gRPC in its own. Default: the form that a layer above
    /// decided, or else the one that the header fields of the request tell.
    pub fn refuse_as(mut self, dialect: Dialect) -> Self {
        self.config.dialect = Some(dialect);
        self
    }

    #[cfg(feature = "__fuzz")]
    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }
}

fn internal_prefix(prefix: &str) -> Result<Box<str>, ConfigError> {
    let name = HeaderName::try_from(prefix)
        .map_err(|_| ConfigError::new(format!("{prefix:?} begins no field name")))?;
    let name = name.as_str();
    if let Some(needed) = NEEDED.iter().find(|needed| needed.starts_with(name)) {
        return Err(ConfigError::new(format!("{prefix:?} would cover {needed}, which must pass")));
    }
    Ok(name.replace('_', "-").into())
}

/// What no filter may cover: framing, addressing, and the marks by which loops are found
/// (`protocol.md` L-2, CL-10).
const NEEDED: [&str; 12] = [
    "authorization",
    "cdn-loop",
    "connection",
    "content-length",
    "content-type",
    "host",
    "max-forwards",
    "mcp-session-id",
    "te",
    "transfer-encoding",
    "upgrade",
    "via",
];

impl<S> Layer<S> for SanitizeForwardedLayer {
    type Service = SanitizeForwarded<S>;

    fn layer(&self, inner: S) -> SanitizeForwarded<S> {
        SanitizeForwarded::new(inner, Arc::new(self.config.clone()))
    }
}

impl Default for SanitizeForwardedLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SanitizeForwardedLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SanitizeForwarded")
            .field("trust", &self.trust)
            .field("source", &self.source)
            .field("style", &self.style)
            .field("prefix", &self.prefix)
            .field("internal_prefixes", &self.internal_prefixes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_are_told() {
        let layer = SanitizeForwardedLayer::new;
        for node in ["", "gw1", "_", "192.0.2.256", "2001:db8::1:x"] {
            assert!(layer().by(node).is_err(), "{node}");
        }
        for prefix in ["", "api", "//evil", "/a b", "/a?b"] {
            assert!(layer().stripped_prefix(prefix).is_err(), "{prefix}");
        }
        // CL-10: the marks against loops are not to be filtered.
        for prefix in ["", "cdn-", "cdn-loop", "via", "v", "ho", "x a"] {
            assert!(layer().internal_prefixes([prefix]).is_err(), "{prefix}");
        }
        assert!(layer().internal_prefixes(["x-internal-", "X_Company"]).is_ok());
    }

    #[test]
    fn by_is_quoted_where_it_must_be() {
        let by = |node| SanitizeForwardedLayer::new().by(node).unwrap().config.style.by.unwrap();
        assert_eq!(&*by("203.0.113.43"), "203.0.113.43");
        assert_eq!(&*by("2001:db8::1"), "\"[2001:db8::1]\"");
        assert_eq!(&*by("[2001:db8::1]:443"), "\"[2001:db8::1]:443\"");
        assert_eq!(&*by("_gw1"), "_gw1");
    }
}
