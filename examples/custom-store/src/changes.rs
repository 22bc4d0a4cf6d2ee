//! What an operation changes beside the database.

use bartizan::{
    BackendId, Session,
    core::{
        Key,
        store::{LiveSessions, OwnedKey},
    },
};

use crate::counts::Counts;

/// Collected during a transaction, and made after its commit: one that fails must leave the counts and the live sessions
/// as they are.
#[derive(Default)]
pub(crate) struct Changes {
    added: Vec<Option<BackendId>>,
    gone: Vec<Option<BackendId>>,
    ended: Vec<OwnedKey>,
    /// Whose uses it writes down.
    pub(crate) touched: Vec<Session>,
}

impl Changes {
    /// A session on `backend` is stored.
    pub(crate) fn add(&mut self, backend: Option<BackendId>) {
        self.added.push(backend);
    }

    /// One is not stored any more.
    pub(crate) fn take(&mut self, backend: Option<BackendId>) {
        self.gone.push(backend);
    }

    /// The session of `key` has ended, for all that use it.
    pub(crate) fn end(&mut self, key: Key<'_>) {
        self.ended.push(key.into());
    }

    /// How many sessions there are after it, of `now`.
    pub(crate) fn total(&self, now: usize) -> usize {
        now.saturating_add(self.added.len()).saturating_sub(self.gone.len())
    }

    /// To be called after the commit.
    pub(crate) fn make(self, counts: &Counts, live: &LiveSessions) {
        self.gone.into_iter().for_each(|backend| counts.take(backend));
        self.added.into_iter().for_each(|backend| counts.add(backend));
        self.ended.iter().for_each(|key| live.end(key.as_key()));
    }
}
