//! All streams, by their session.

use std::{
    collections::BTreeMap,
    fmt,
    hash::BuildHasher,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use bartizan_core::{Key, Session};
use foldhash::quality::RandomState;
use tokio::{sync::Notify, time::Instant};

use super::open::{Live, StreamId};
use crate::{gauges::StreamCounts, signal::Cause};

const SHARDS: usize = 16;

/// All streams of one process. A lock is held for as long as it takes to look something up, and never
/// while anybody is woken.
#[derive(Default)]
pub(crate) struct Table {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    next: AtomicU64,
    /// Streams whose response has come.
    open: AtomicUsize,
    /// Listening streams, from the request on.
    pub(super) listening: AtomicUsize,
    /// No new listening stream may begin.
    is_leaving: AtomicBool,
    /// No stream may continue.
    has_left: AtomicBool,
    /// When that will be, for those that begin while the server leaves.
    leaves_at: OnceLock<Instant>,
    closed: Notify,
    pub(super) counts: StreamCounts,
}

pub(super) type Shard = BTreeMap<StreamId, Arc<Live>>;

impl Table {
    /// A new id for a stream of `session`.
    pub(super) fn id(&self, session: Option<&Session>) -> StreamId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let owner = match session {
            Some(session) => self.owner(session.key()),
            None => self.hasher.hash_one(number),
        };
        StreamId { owner, number }
    }

    pub(super) fn shard(&self, id: StreamId) -> MutexGuard<'_, Shard> {
        let index = id.owner as usize % SHARDS;
        #[allow(clippy::indexing_slicing, reason = "reduced modulo the length")]
        lock(&self.shards[index])
    }

    /// The streams of `session` in `shard`.
    pub(super) fn neighbours<'a>(
        shard: &'a Shard,
        owner: u64,
        key: Key<'a>,
    ) -> impl Iterator<Item = &'a Arc<Live>> {
        let all = shard.range(StreamId { owner, number: 0 }..=StreamId { owner, number: u64::MAX });
        // Two sessions with the same hash are distinguished.
        let is_its = move |live: &&Arc<Live>| live.session().is_some_and(|it| it.key() == key);
        all.map(|(_, live)| live).filter(is_its)
    }

    pub(super) fn find(&self, id: StreamId) -> Option<Arc<Live>> {
        self.shard(id).get(&id).cloned()
    }

    pub(super) fn for_each(&self, mut each: impl FnMut(&Arc<Live>)) {
        for shard in &self.shards {
            let all: Vec<_> = lock(shard).values().cloned().collect();
            all.iter().for_each(&mut each);
        }
    }

    pub(super) fn for_each_of(&self, key: Key<'_>, each: impl FnMut(&Arc<Live>)) {
        let owner = self.owner(key);
        let its: Vec<_> = {
            let shard = self.shard(StreamId { owner, number: 0 });
            Self::neighbours(&shard, owner, key).cloned().collect()
        };
        its.iter().for_each(each);
    }

    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(super) fn opened(&self, live: &Live) {
        self.counts.opened(live.is_listening);
        self.open.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::SeqCst)
    }

    pub(super) fn leaves_at(&self) -> Option<Instant> {
        self.leaves_at.get().copied()
    }

    pub(super) fn has_left(&self) -> bool {
        self.has_left.load(Ordering::SeqCst)
    }

    /// Ends what somebody listens on. Whatever is put in from here on is put in by one who sees that, and
    /// ends at `last` by itself.
    pub(super) fn leave(&self, last: Option<Instant>) {
        if let Some(last) = last {
            let _ = self.leaves_at.set(last);
        }
        self.is_leaving.store(true, Ordering::SeqCst);
        self.for_each(|stream| {
            if stream.is_listening {
                stream.end(Cause::Leaving);
            }
        });
    }

    /// Ends what is left, and says how many that are.
    pub(super) fn end_all(&self) -> usize {
        self.has_left.store(true, Ordering::SeqCst);
        let mut unfinished = 0;
        self.for_each(|stream| {
            unfinished += usize::from(stream.is_open());
            stream.end(Cause::Leaving);
        });
        unfinished
    }

    /// Resolves when no stream is open.
    pub(super) async fn closed(&self) {
        loop {
            let mut closed = pin!(self.closed.notified());
            closed.as_mut().enable();
            if self.open() == 0 {
                return;
            }
            closed.await;
        }
    }

    pub(super) fn remove(&self, live: &Live) {
        let removed = self.shard(live.id).remove(&live.id);
        drop(removed);
        if live.is_listening {
            self.listening.fetch_sub(1, Ordering::SeqCst);
        }
        if live.is_open() {
            self.counts.ended(live.signal.cause());
        }
        if live.is_open() && self.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.closed.notify_waiters();
        }
    }

    fn owner(&self, key: Key<'_>) -> u64 {
        self.hasher.hash_one(key)
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // A panic while the lock was held cannot leave an incomplete entry.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("open", &self.open()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bartizan_core::{
        Record, Route,
        store::{RecordVersion, StoredSession},
    };

    use super::*;

    #[test]
    fn sessions_of_one_hash_are_told_apart() {
        let route = Route::default();
        let session = |id: &[u8]| {
            let record = Record::new(Record::IDLE, Record::LIFETIME);
            Session::new(Key::new(&route, None, id), record, RecordVersion::FIRST, 1)
        };
        let mut shard = Shard::new();
        for (number, owner, session) in
            [(1, 7, Some(session(b"a"))), (2, 7, Some(session(b"b"))), (3, 7, None)]
        {
            let id = StreamId { owner, number };
            shard.insert(id, Arc::new(Live::new(id, session, true)));
        }
        let key = Key::new(&route, None, b"a");
        let found: Vec<_> = Table::neighbours(&shard, 7, key).map(|live| live.id.number).collect();
        assert_eq!(found, [1]);
        assert!(Table::neighbours(&shard, 8, key).next().is_none());
    }
}
