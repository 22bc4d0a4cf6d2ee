//! What a pool of connections knows of its backend's address.

use bartizan_core::Backend;

use super::Names;

/// The epoch of the address that all connections of a pool lead to.
#[derive(Debug, Default)]
pub(in super::super) struct PoolEpoch {
    epoch: u64,
    /// The latest epoch of any name that the pool has seen.
    latest: u64,
}

impl PoolEpoch {
    /// Notes a connection to an address of `epoch`. Returns whether that is a later one: what the pool has leads
    /// elsewhere.
    pub(in super::super) fn moves_to(&mut self, epoch: u64) -> bool {
        let moves = self.epoch < epoch;
        self.epoch = self.epoch.max(epoch);
        moves
    }

    /// Whether a connection of `epoch` leads to an earlier address.
    pub(in super::super) fn is_past(&self, epoch: u64) -> bool {
        epoch < self.epoch
    }

    /// Goes where another worker has found `backend`. Returns whether it has moved.
    #[inline]
    pub(in super::super) fn follows(&mut self, names: &Names, backend: &Backend) -> bool {
        let latest = names.latest();
        if self.latest == latest {
            return false;
        }
        self.latest = latest;
        self.follows_now(names, backend)
    }

    #[cold]
    fn follows_now(&mut self, names: &Names, backend: &Backend) -> bool {
        let moved = names.moved_by_now(backend.authority().as_str());
        moved.is_some_and(|epoch| self.moves_to(epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_later_epoch_is_a_move() {
        let mut pool = PoolEpoch::default();
        assert!(!pool.moves_to(0) && pool.moves_to(2) && !pool.moves_to(2) && !pool.moves_to(1));
        assert!(pool.is_past(1) && !pool.is_past(2) && !pool.is_past(3));
    }
}
