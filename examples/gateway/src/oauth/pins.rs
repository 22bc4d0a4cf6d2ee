//! Which key belongs to which backend.

use std::{sync::Arc, time::Duration};

use bartizan::core::{Backend, BackendId, Key, Record, Route, SessionStore, StoreError};

use super::key::OauthKey;

/// How long a key may stay unused. Clients keep what they have registered.
const IDLE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a key is kept at most.
const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Which key belongs to which backend. Cloning costs a clone of the store.
#[derive(Clone)]
pub(crate) struct Pins<T> {
    store: T,
    backends: Arc<[Backend]>,
    route: Route,
}

impl<T: SessionStore> Pins<T> {
    /// Keeps in `store` which of `backends` a key belongs to. Gateways with another `route` can share the store.
    pub(crate) fn new(store: T, backends: &[Backend], route: Route) -> Self {
        Self { store, backends: backends.into(), route }
    }

    /// The backend of the first of `keys` that has one.
    ///
    /// # Errors
    ///
    /// If the store cannot answer.
    pub(super) async fn find(&self, keys: &[OauthKey]) -> Result<Option<Backend>, StoreError> {
        for key in keys {
            let Some(pin) = self.store.get(self.key(key)).wait().await? else { continue };
            let is_its = |backend: &&Backend| pin.record().backend() == Some(backend.id());
            if let Some(backend) = self.backends.iter().find(is_its) {
                return Ok(Some(backend.clone()));
            }
        }
        Ok(None)
    }

    /// Assigns those of `keys` to `backend` that have no backend, as long as there is room. A failure of the store is
    /// not reported, because the backend has already answered.
    pub(super) async fn learn(&self, keys: &[OauthKey], backend: &BackendId) {
        for key in keys {
            let record = Record::new(IDLE, LIFETIME).with_backend(backend.clone());
            let _ = self.store.insert_if_absent(self.key(key), record).wait().await;
        }
    }

    /// Removes the assignment of `keys`.
    pub(super) async fn forget(&self, keys: &[OauthKey]) {
        for key in keys {
            let _ = self.store.remove(self.key(key)).wait().await;
        }
    }

    fn key<'a>(&'a self, key: &'a OauthKey) -> Key<'a> {
        Key::new(&self.route, None, key.as_bytes())
    }
}
