//! The backends that a request was sent to so far.

use std::sync::{Arc, Mutex, PoisonError};

use super::BackendId;

/// The backends that a request must not be sent to again. All clones share one list. A layer that retries passes it
/// along with each request; the layer that chooses a backend skips those in the list and adds its choice, so the list
/// is right even if no response arrives.
#[derive(Clone, Debug, Default)]
pub struct Tried(Arc<Mutex<Vec<BackendId>>>);

impl Tried {
    /// Adds `backend`, once.
    pub fn add(&self, backend: &BackendId) {
        let mut tried = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !tried.contains(backend) {
            tried.push(backend.clone());
        }
    }

    /// The backends that were tried so far.
    #[must_use]
    pub fn snapshot(&self) -> Vec<BackendId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_clones_keep_one_account() {
        let (tried, backend) = (Tried::default(), "http://a:1".parse().unwrap());
        let clone = tried.clone();
        clone.add(&backend);
        tried.add(&backend);
        assert_eq!((tried.snapshot(), clone.snapshot()), (vec![backend.clone()], vec![backend]));
    }
}
