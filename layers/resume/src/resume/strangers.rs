//! Lost sessions for which a caller asked whose credentials may not open them again.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bartizan_core::Session;
use tokio::time::Instant;

use crate::replay::by_session::BySession;

/// How long to wait for the owner.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many are remembered. The oldest is forgotten first; its wait then starts again.
const REMEMBERED: usize = 1_024;

/// Lost sessions that wait for their owner, and since when.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<VecDeque<(BySession, Instant)>>);

impl Strangers {
    /// Records that another caller met the loss of `session`. Returns whether the wait for its
    /// owner is over.
    pub(crate) fn meet(&self, session: &Session) -> bool {
        let (key, now) = (BySession(session.clone()), Instant::now());
        let mut met = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, since)) = met.iter().find(|(other, _)| *other == key) {
            return now.duration_since(*since) >= PATIENCE;
        }
        if met.len() >= REMEMBERED {
            met.pop_front();
        }
        met.push_back((key, now));
        false
    }

    /// Records that the owner has opened `session` again.
    pub(crate) fn forget(&self, session: &Session) {
        let key = BySession(session.clone());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(other, _)| *other != key);
    }
}
