//! The place that a stream has among all, for as long as it lasts.

use std::sync::{Arc, atomic::Ordering};

use bartizan_core::{BackendId, Reason, Session};
use tokio::time::Instant;

use super::{
    handle::Streams,
    open::Live,
    rules::{Rules, SecondStream},
    table::Table,
};
use crate::signal::Cause;

/// The place of one stream. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Place {
    streams: Streams,
    live: Arc<Live>,
}

impl Place {
    /// Finds room for a stream that somebody wants to listen on, before anybody is asked for it.
    ///
    /// # Errors
    ///
    /// If `rules` leave no room.
    pub(crate) fn listen(
        streams: &Streams,
        session: Option<Session>,
        rules: Rules,
    ) -> Result<Self, Reason> {
        let table = &streams.0;
        let take = |count: usize| (count < rules.max.get()).then_some(count + 1);
        if table.listening.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_err() {
            return Err(Reason::TooManyStreams);
        }
        let live = Arc::new(Live::new(table.id(session.as_ref()), session, true));
        // From here on the room is given back when it is dropped.
        let place = Self { streams: streams.clone(), live };
        let replaced = place.enter(table, rules)?;
        replaced.iter().for_each(|stream| {
            stream.end(Cause::Replaced);
        });
        Ok(place)
    }

    /// Puts it in, and says which streams it takes the place of.
    fn enter(&self, table: &Table, rules: Rules) -> Result<Vec<Arc<Live>>, Reason> {
        let id = self.live.id;
        let mut shard = table.shard(id);
        if table.is_leaving() {
            return Err(Reason::TooManyStreams);
        }
        let mut replaced = Vec::new();
        if let Some(session) = self.live.session() {
            let mut others = Table::neighbours(&shard, id.owner, session.key())
                .filter(|other| other.is_listening && other.signal.cause().is_none());
            match rules.second {
                SecondStream::Replaces => replaced.extend(others.cloned()),
                SecondStream::Refused if others.next().is_some() => {
                    return Err(Reason::AlreadyListening);
                }
                SecondStream::Allowed if others.count() >= rules.max_per_session.get() => {
                    return Err(Reason::TooManyStreams);
                }
                SecondStream::Refused | SecondStream::Allowed => {}
            }
        }
        shard.insert(id, Arc::clone(&self.live));
        Ok(replaced)
    }

    /// The place of a stream that answers a call, of which there may be as many as there are calls.
    pub(crate) fn answer(streams: &Streams, session: Option<Session>) -> Self {
        let table = &streams.0;
        let live = Arc::new(Live::new(table.id(session.as_ref()), session, false));
        table.shard(live.id).insert(live.id, Arc::clone(&live));
        if table.has_left() {
            live.end(Cause::Leaving);
        }
        Self { streams: streams.clone(), live }
    }

    /// The response has come, from `backend` if that is known.
    pub(crate) fn open(&self, now: Instant, backend: Option<BackendId>) {
        if self.live.open(now, backend) {
            self.streams.0.opened(&self.live);
        }
    }

    /// When the server will have left, if it leaves.
    pub(crate) fn leaves_at(&self) -> Option<Instant> {
        self.streams.0.leaves_at()
    }

    pub(crate) fn live(&self) -> &Live {
        &self.live
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.streams.0.remove(&self.live);
    }
}
