//! What a service is configured with.

use std::time::Duration;

use bartizan_core::{Backend, ProxyName};

use crate::head::HostRule;

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) host: HostRule,
    pub(crate) to: Option<Backend>,
    pub(crate) proxy_name: Option<ProxyName>,
    pub(crate) response_timeout: Option<Duration>,
    pub(crate) opening_timeout: Option<Duration>,
    pub(crate) relayed: Vec<Box<str>>,
    pub(crate) tunnel_idle: Option<Duration>,
}

impl Config {
    /// The name of this deployment in `Proxy-Status`.
    pub(crate) fn proxy_name(&self) -> &str {
        self.proxy_name.as_ref().map_or("bartizan", ProxyName::as_str)
    }
}
