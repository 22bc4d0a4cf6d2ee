//! Where sessions are kept.

use std::time::Duration;

use bartizan::core::Route;
use clap::Args;

use super::values::{self, Store};

/// Where sessions are kept.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Session store")]
pub(crate) struct StoreOptions {
    /// Session store: memory (of this process), or a Redis or Valkey server that replicas share:
    /// redis://user@host:port/database, redis-sentinel://… or redis-cluster://…; rediss for TLS. Pass the
    /// password in the environment variable BARTIZAN_STORE_PASSWORD
    #[arg(
        long = "store",
        env = "BARTIZAN_STORE",
        value_name = "STORE",
        default_value = "memory",
        hide_env_values = true,
        value_parser = values::store
    )]
    pub(crate) kind: Store,

    /// Timeout of each store operation
    #[arg(
        long = "store-timeout",
        env = "BARTIZAN_STORE_TIMEOUT",
        value_name = "DURATION",
        default_value = "250ms",
        value_parser = values::duration
    )]
    pub(crate) timeout: Duration,

    /// How long recently used sessions keep working while the store does not answer, or 0s
    #[arg(
        long = "store-grace",
        env = "BARTIZAN_STORE_GRACE",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = values::duration_or_zero
    )]
    pub(crate) grace: Duration,

    /// Number of sessions of a shared store to cache in this process, or off
    #[arg(
        long,
        env = "BARTIZAN_NEAR_CACHE",
        value_name = "N|off",
        default_value = "100000",
        value_parser = values::near_cache
    )]
    pub(crate) near_cache: usize,

    /// Name of this gateway's sessions in a shared store. Sessions of another route are unknown here
    #[arg(
        long,
        env = "BARTIZAN_ROUTE",
        value_name = "NAME",
        default_value = "default",
        value_parser = values::route
    )]
    pub(crate) route: Route,
}
