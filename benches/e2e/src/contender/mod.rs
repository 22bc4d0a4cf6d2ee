//! What is measured: the floor, the gateway with each of its stores, and the peers.
//!
//! | file | what it holds |
//! |---|---|
//! | `programs` | where their programs are, built or installed, and of which version |
//! | `proxy` | one of them, running before the backends |
//! | `backends` | the process of the backends |
//! | `redis` | the server of a gateway whose sessions are in Redis |
//! | `config` | the configuration files of the peers, filled in |

mod backends;
mod config;
mod programs;
mod proxy;
mod redis;

use std::fmt;

use clap::ValueEnum;

pub(crate) use backends::Backends;
pub(crate) use programs::Programs;
pub(crate) use proxy::Proxy;

use crate::client::Naming;

/// A proxy that can be measured.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
pub(crate) enum Contender {
    /// hyper's server and hyper-util's client, and nothing else
    Floor,
    /// A second floor, which shows the result without any difference
    Control,
    /// The floor on tokio's multi-thread runtime, with one worker
    FloorMultiThread,
    /// bartizan-gateway, sessions in memory
    Gateway,
    /// Another build of bartizan-gateway, which --before names
    GatewayBefore,
    /// bartizan-gateway, sessions in Redis and kept near
    GatewayNear,
    /// bartizan-gateway, sessions in Redis alone
    GatewayRedis,
    /// nginx, by a hash of the id
    Nginx,
    /// haproxy, by a table that it learns
    Haproxy,
    /// Pingora, by a table that it learns
    Pingora,
    /// axum-reverse-proxy, by a table that it learns
    AxumReverseProxy,
    /// Envoy, by a hash of the id
    Envoy,
    /// nginx, round robin: does not keep sessions, which the check must detect
    RoundRobin,
}

impl Contender {
    /// Those that are named, or all that keep sessions; and the control, but not the floor, which they are
    /// compared with.
    pub(crate) fn chosen(named: &[Self]) -> Vec<Self> {
        let is_chosen = |contender: &Self| match contender {
            Self::Floor => false,
            Self::Control => true,
            Self::RoundRobin => named.contains(contender),
            _ => named.is_empty() || named.contains(contender),
        };
        Self::value_variants().iter().copied().filter(is_chosen).collect()
    }

    pub(crate) fn naming(self) -> Naming {
        match self {
            Self::Nginx | Self::Envoy => Naming::Client,
            _ => Naming::Backend,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Control => "control",
            Self::FloorMultiThread => "floor-multi-thread",
            Self::Gateway => "gateway",
            Self::GatewayBefore => "gateway-before",
            Self::GatewayNear => "gateway-near",
            Self::GatewayRedis => "gateway-redis",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Pingora => "pingora",
            Self::AxumReverseProxy => "axum-reverse-proxy",
            Self::Envoy => "envoy",
            Self::RoundRobin => "round-robin",
        }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
