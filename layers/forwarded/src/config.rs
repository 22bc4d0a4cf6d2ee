//! What a layer is configured to do, ready to be applied to requests.

use std::{fmt, net::SocketAddr};

use bartizan_core::Dialect;
use http::Extensions;

use crate::{internal_prefix::InternalPrefix, path_prefix::PathPrefix, trust::Trust, write::Style};

/// The field that names the client, where the peer is trusted. The other one is never trusted, even where it
/// stands alone: a proxy that writes one of the two may pass the other on as a client sent it.
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
    pub(crate) restarts_traces: bool,
    pub(crate) peer_from: Option<fn(&Extensions) -> Option<SocketAddr>>,
    pub(crate) dialect: Option<Dialect>,
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
