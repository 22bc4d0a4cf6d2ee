//! State shared by all clones of a service.

use std::sync::Arc;

use bartizan_core::{
    Record, Session, SessionStore,
    store::{Replaced, StoreError},
};
use http::Request;

use super::config::Config;
use crate::replay::{
    inside::{Inside, Spare},
    timed::timed,
};

/// A store that can be asked from a task.
pub(crate) trait Store:
    SessionStore<Get: Send, Insert: Send, Replace: Send, Remove: Send>
{
}

/// State shared by all clones of a service.
pub(crate) struct Resumer<S, T> {
    pub(crate) config: Config<T>,
    pub(crate) spare: Arc<Spare<S>>,
}

impl<S: Clone, T> Resumer<S, T> {
    pub(crate) fn new(service: S, config: Config<T>) -> Self {
        Self { config, spare: Arc::new(Spare::new(service)) }
    }

    /// Calls the inner service.
    pub(crate) async fn call<B>(&self, request: Request<B>) -> Result<S::Response, S::Error>
    where
        S: Inside<B>,
    {
        self.spare.call(request).await
    }
}

impl<S, T: Store> Resumer<S, T> {
    /// The session as it is now.
    pub(crate) async fn current(&self, session: &Session) -> Result<Option<Session>, StoreError> {
        timed(self.config.store.get(session.key()), self.config.store_timeout).await
    }

    /// Replaces the record that `seen` has.
    pub(crate) async fn replace(
        &self,
        seen: &Session,
        record: Record,
    ) -> Result<Replaced, StoreError> {
        let replaced = self.config.store.replace(seen.key(), seen.version(), record);
        timed(replaced, self.config.store_timeout).await
    }

    /// Ends the session.
    pub(crate) async fn remove(&self, session: &Session) -> Result<(), StoreError> {
        timed(self.config.store.remove(session.key()), self.config.store_timeout).await
    }
}

impl<T> Store for T where T: SessionStore<Get: Send, Insert: Send, Replace: Send, Remove: Send> {}
