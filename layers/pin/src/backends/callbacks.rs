//! The callbacks for backends that leave the set.

use std::sync::{Arc, Mutex, PoisonError};

use bartizan_core::BackendId;

type Callback = Arc<dyn Fn(&BackendId) + Send + Sync>;

/// All callbacks, in the order in which they were added.
#[derive(Default)]
pub(super) struct Callbacks(Mutex<Vec<Callback>>);

impl Callbacks {
    pub(super) fn add(&self, callback: impl Fn(&BackendId) + Send + Sync + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(callback));
    }

    pub(super) fn call(&self, backend: &BackendId) {
        // Called without the lock: a callback may change the set, or add another callback.
        let callbacks = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        callbacks.iter().for_each(|callback| callback(backend));
    }
}
