//! What all clones of a service share.

use std::sync::Arc;

use super::config::Config;
use crate::replay::inside::Spare;

/// What all clones of a service share.
pub(super) struct Splitter<S, N> {
    pub(super) config: Config<N>,
    pub(super) spare: Arc<Spare<S>>,
}

impl<S: Clone, N> Splitter<S, N> {
    pub(super) fn new(service: S, config: Config<N>) -> Self {
        Self { config, spare: Arc::new(Spare::new(service)) }
    }
}
