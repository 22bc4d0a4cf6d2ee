//! State shared by all clones of a service.

use std::sync::Arc;

use bartizan_core::{
    Record, Session, SessionStore, StoreError,
    store::{RecordVersion, Replaced},
};

use super::config::Config;
use crate::replay::{inside::Spare, timed::timed};

/// State shared by all clones of a service.
pub(super) struct Splitter<S, N, T> {
    pub(super) config: Config<N, T>,
    pub(super) spare: Arc<Spare<S>>,
}

impl<S: Clone, N, T> Splitter<S, N, T> {
    pub(super) fn new(service: S, config: Config<N, T>) -> Self {
        Self { config, spare: Arc::new(Spare::new(service)) }
    }
}

impl<S, N, T: SessionStore> Splitter<S, N, T> {
    /// The client session as it is now.
    pub(super) async fn current(&self, session: &Session) -> Result<Option<Session>, StoreError> {
        timed(self.config.store.get(session.key()), self.config.store_timeout).await
    }

    /// Replaces the record that `seen` has.
    pub(super) async fn replace(
        &self,
        seen: &Session,
        record: Record,
    ) -> Result<Replaced, StoreError> {
        let replaced = self.config.store.replace(seen.key(), seen.version(), record);
        timed(replaced, self.config.store_timeout).await
    }

    /// Ends the client session.
    pub(super) async fn remove(&self, session: &Session) -> Result<(), StoreError> {
        timed(self.config.store.remove(session.key()), self.config.store_timeout).await
    }

    /// Whether the client session is live. This does not count as use, unlike [`SessionStore::get`], which would
    /// prevent the session from idling out.
    pub(super) async fn is_live(&self, session: &Session) -> Result<bool, StoreError> {
        // A version that no record has.
        let (never, record) = (RecordVersion::from(0), session.record().clone());
        let asked = self.config.store.replace(session.key(), never, record);
        let answer = timed(asked, self.config.store_timeout).await?;
        Ok(!matches!(answer, Replaced::Gone))
    }
}
