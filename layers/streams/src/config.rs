//! What a service of this crate is configured with.

use std::time::Duration;

use bartizan_core::Dialect;

use crate::streams::{Rules, Streams};

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) streams: Streams,
    pub(crate) rules: Rules,
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) dialect: Option<Dialect>,
}
