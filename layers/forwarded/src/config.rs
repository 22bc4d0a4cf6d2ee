//! What a layer is configured to do, ready to be applied to requests.

use std::{fmt, net::SocketAddr};

use bartizan_core::Dialect;
use http::{Extensions, HeaderName};

use crate::{
    internal_prefix::InternalPrefix,
    named::{ClientIpHeader, KeptField},
    path_prefix::PathPrefix,
    scan::Beginnings,
    trust::Trust,
    write::Style,
};

/// The field that names the client, if the peer is trusted. The other field is never trusted, even if only that one is
/// present: a proxy that writes one of the two may pass the other on as a client sent it.
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
    pub(crate) prefix: Option<PathPrefix>,
    pub(crate) internal_prefixes: Vec<InternalPrefix>,
    pub(crate) kept: Vec<KeptField>,
    pub(crate) client_ip: Option<ClientIpHeader>,
    pub(crate) restarts_traces: bool,
    pub(crate) peer_from: Option<fn(&Extensions) -> Option<SocketAddr>>,
    pub(crate) dialect: Option<Dialect>,
}

/// A configuration that does not change any more, with what follows from it.
pub(crate) struct Ready {
    pub(crate) config: Config,
    /// Of the names that the pass over the fields looks for.
    pub(crate) beginnings: Beginnings,
}

impl Config {
    pub(crate) fn ready(self) -> Ready {
        let internal = self.internal_prefixes.iter().map(InternalPrefix::as_str);
        let client_ip = self.client_ip.iter().map(|field| field.name().as_str());
        Ready { beginnings: Beginnings::with(internal.chain(client_ip)), config: self }
    }

    /// Whether the field is passed on from any peer.
    #[cold]
    pub(crate) fn keeps(&self, name: &HeaderName) -> bool {
        self.kept.iter().any(|kept| kept.name() == name)
    }

    /// Whether only proxies may set the field, according to the configured prefixes.
    #[inline]
    pub(crate) fn is_internal(&self, name: &HeaderName) -> bool {
        self.internal_prefixes.iter().any(|prefix| prefix.covers(name.as_str()))
            || self.client_ip.as_ref().is_some_and(|field| field.name() == name)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("trust", &self.trust)
            .field("source", &self.source)
            .field("style", &self.style)
            .field("prefix", &self.prefix)
            .field("internal_prefixes", &self.internal_prefixes)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}
