//! The numbers of a store.
//!
//! | metric | is |
//! |---|---|
//! | `bartizan_sessions`, `bartizan_sessions_max` | the sessions in the store, expired ones until they are swept; and how many there may be |
//! | `bartizan_sessions_ended_total{cause}` | `idle`, `lifetime`: expired, counted when they are removed; `evicted`: made room for others |
//! | `bartizan_session_duration_seconds{cause}` | how long they were in use |
//!
//! Sessions that a caller removes are counted by the caller, who knows why.

use bartizan_core::{
    Session,
    gauges::{
        Gauges, Reading,
        sessions::{LIVE, MAX, SessionEnds},
    },
    store::StoredSession,
};

use crate::MemoryStore;

/// The ends of sessions that the store knows the causes of.
#[derive(Debug)]
pub(crate) struct Ends {
    idle: SessionEnds,
    lifetime: SessionEnds,
    evicted: SessionEnds,
}

impl Ends {
    /// A session that has expired at `now_ms` is removed.
    pub(crate) fn expired(&self, session: &Session, now_ms: u64) {
        let age_ms = u128::from(now_ms.saturating_sub(session.born_ms()));
        let is_old = age_ms >= session.record().lifetime().as_millis();
        if is_old { &self.lifetime } else { &self.idle }.add(session);
    }

    /// A session has made room for another.
    pub(crate) fn evicted(&self, session: &Session) {
        self.evicted.add(session);
    }
}

impl Default for Ends {
    fn default() -> Self {
        Self {
            idle: SessionEnds::new("idle"),
            lifetime: SessionEnds::new("lifetime"),
            evicted: SessionEnds::new("evicted"),
        }
    }
}

impl Gauges for MemoryStore {
    fn read(&self, out: &mut dyn FnMut(Reading<'_>)) {
        let counts = self.counts();
        out(Reading::new(&LIVE, &[], counts.total() as u64));
        out(Reading::new(&MAX, &[], counts.max_total() as u64));
        let Ends { idle, lifetime, evicted } = counts.ends();
        SessionEnds::read(&[idle, lifetime, evicted], out);
    }
}
