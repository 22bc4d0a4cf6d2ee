//! What a guard is configured to do, ready to be applied to requests.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use bartizan_core::{Dialect, Passage, fields::browser};
use http::{Extensions, Request};

use crate::{AllowedHost, AllowedOrigin};

#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) rules: Rules,
    pub(crate) is_over_tls: bool,
    pub(crate) scanned_above: bool,
    pub(crate) peer_from: Option<fn(&Extensions) -> Option<SocketAddr>>,
    pub(crate) dialect: Option<Dialect>,
}

/// Hosts and origins that are allowed in addition to those that always are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) hosts: Vec<AllowedHost>,
    pub(crate) origins: Vec<AllowedOrigin>,
    /// Addresses of the listener; an unspecified address stands for all.
    pub(crate) listeners: Vec<IpAddr>,
}

impl Config {
    /// Whether a browser sent `request`.
    #[inline]
    pub(crate) fn concerns<B>(&self, request: &Request<B>) -> bool {
        if self.scanned_above
            && let Some(from_browser) = Passage::of(request).and_then(Passage::from_browser)
        {
            return from_browser;
        }
        browser::sent(request.headers())
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("rules", &self.rules)
            .field("is_over_tls", &self.is_over_tls)
            .field("dialect", &self.dialect)
            .finish_non_exhaustive()
    }
}
