//! The gateways by their names.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use super::{
    gateway::Gateway,
    table::{Table, close_soon},
};

/// The gateways by their names. Cheap to clone; all clones share one set.
#[derive(Clone, Default)]
pub struct Gateways(Arc<Set>);

#[derive(Default)]
struct Set {
    gateways: RwLock<HashMap<Box<str>, Gateway>>,
    // The sessions of all layers that use this set.
    tables: RwLock<Vec<Arc<Table>>>,
}

impl Gateways {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `gateway` as `name`, or changes it. If its address or its credentials change, its sessions end.
    pub fn set(&self, name: &str, gateway: Gateway) {
        let mut gateways = self.0.gateways.write().unwrap_or_else(PoisonError::into_inner);
        let before = gateways.get(name).map(|before| before.is_reached_as(&gateway));
        gateways.insert(name.into(), gateway);
        drop(gateways);
        if before == Some(false) {
            self.evict(name);
        }
    }

    /// Removes the gateway `name`; its sessions end. Returns whether it was there.
    #[allow(clippy::must_use_candidate, reason = "the set is changed either way")]
    pub fn remove(&self, name: &str) -> bool {
        let mut gateways = self.0.gateways.write().unwrap_or_else(PoisonError::into_inner);
        let was_there = gateways.remove(name).is_some();
        drop(gateways);
        self.evict(name);
        was_there
    }

    pub(super) fn get(&self, name: &str) -> Option<Gateway> {
        self.0.gateways.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Whether `name` still has the address and credentials of `gateway`.
    pub(super) fn is_current(&self, name: &str, gateway: &Gateway) -> bool {
        self.get(name).is_some_and(|now| now.is_reached_as(gateway))
    }

    pub(super) fn attach(&self, table: Arc<Table>) {
        self.0.tables.write().unwrap_or_else(PoisonError::into_inner).push(table);
    }

    fn evict(&self, name: &str) {
        for table in &*self.0.tables.read().unwrap_or_else(PoisonError::into_inner) {
            close_soon(&table.take(|_, gateway| gateway == name));
        }
    }
}

impl fmt::Debug for Gateways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gateways = self.0.gateways.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_map().entries(gateways.iter()).finish()
    }
}
