//! State shared by the clones of a store and its watching task.

use std::{sync::Arc, time::Duration};

use bartizan_core::{
    BackendId, Session, StoreError,
    store::{Evicted, OwnedKey, StoreErrorKind, StoredSession},
};
use bytes::Bytes;
use fred::{
    clients::{Client, WithOptions},
    interfaces::{ClientLike, KeysInterface, SortedSetsInterface},
    types::{ClusterHash, CustomCommand, Value, config::Options},
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use tokio::{runtime::Handle, time::timeout};

use crate::{
    clock::Clock,
    codec::{self, Live, Stored},
    counts::{self, Counts},
    digest::Digest,
    error::store_error,
    event,
    first_try::FirstTry,
    flights::{Reading, Ticket},
    gauges::{Op, StoreCounts},
    near::{Entry, Near, Use},
    outage::{Cause, Outage},
    room::{self, Places, Room},
    salt::Salt,
    script::Scripts,
    status::Status,
    unreadable::{Reports, Seen, Unreadable, of_our_type},
};

/// How many sessions are read concurrently in the background.
const READS_AT_ONCE: usize = 64;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    /// The runtime for all tasks of the store, which may be used and dropped from any thread.
    pub(crate) runtime: Handle,
    pub(crate) options: Options,
    pub(crate) timeout: Duration,
    pub(crate) prefix: String,
    /// A key that only this store uses.
    pub(crate) own_key: String,
    pub(crate) is_cached: bool,
    pub(crate) is_clustered: bool,
    pub(crate) room: Room,
    pub(crate) near: Near,
    pub(crate) status: Status,
    pub(crate) clock: Clock,
    pub(crate) counts: Counts,
    pub(crate) evicted: Evicted,
    pub(crate) scripts: Scripts,
    pub(crate) reports: Reports,
    pub(crate) first_try: FirstTry,
    pub(crate) outage: Outage,
    pub(crate) numbers: StoreCounts,
    pub(crate) salt: Salt,
}

impl Shared {
    pub(crate) fn up(&self) {
        if self.status.set_up() {
            self.outage.end();
            event::up();
            self.first_try.end();
        }
    }

    pub(crate) fn down(&self, cause: Cause) {
        let now_ms = self.clock.now_ms();
        let has_just_answered = self.status.set_down(now_ms);
        if has_just_answered {
            self.numbers.outages.add_one();
        }
        match self.outage.note(cause, now_ms, has_just_answered) {
            Some(cause) => event::down(cause),
            None => event::still_down(cause.text()),
        }
    }

    /// Everything that was read so far may have changed.
    pub(crate) fn begin_era(&self) {
        self.status.begin_era();
        self.near.spoil_all();
    }

    /// The current time, on the monotonic clock and on the server's.
    pub(crate) fn now(&self) -> (u64, u64) {
        let now_ms = self.clock.now_ms();
        (now_ms, self.clock.server_ms(now_ms))
    }

    /// The client, with the deadline and without retries. An error while the server does not answer, so that nothing
    /// queues up.
    pub(crate) fn asking(&self) -> Result<WithOptions<Client>, StoreError> {
        if !self.status.is_up() {
            return Err(StoreError::new(StoreErrorKind::Unavailable));
        }
        Ok(self.client.with_options(&self.options))
    }

    /// Reads the server's time.
    pub(crate) async fn ask_time(&self) -> Result<(), fred::error::Error> {
        let time = CustomCommand::new_static("TIME", ClusterHash::Random, false);
        let asking = self.client.with_options(&self.options);
        let (seconds, micros): (i64, i64) = asking.custom(time, Vec::<Value>::new()).await?;
        self.clock.set_server_ms(seconds.saturating_mul(1000).saturating_add(micros / 1000));
        Ok(())
    }

    /// Waits for `asked`, at most until the deadline. Boxed, because the client's futures have some kilobytes, and
    /// would be copied with each future that contains them.
    pub(crate) async fn within<'a, T>(
        &self,
        asked: BoxFuture<'a, Result<T, fred::error::Error>>,
    ) -> Result<T, StoreError> {
        let outcome = match timeout(self.timeout, asked).await {
            Ok(outcome) => outcome.map_err(|error| store_error(&error)),
            Err(_) => Err(StoreError::new(StoreErrorKind::Timeout)),
        };
        outcome.inspect_err(|error| self.numbers.error(error))
    }

    /// Joins the read of `digest` that is in flight, or begins one.
    pub(crate) fn begin_read(self: &Arc<Self>, digest: Digest, owner: OwnedKey) -> Reading {
        self.near
            .begin(digest, |ticket| Arc::clone(self).read(digest, ticket, owner).boxed().shared())
    }

    /// Reads the session under `digest` again if a task waits for its end and no invalidation would come.
    /// [`Near::settle`] notifies waiters of the result.
    pub(crate) fn look_after(self: &Arc<Self>, digest: Digest) -> Option<Reading> {
        let moment = self.status.now();
        if moment.down_since_ms.is_some() {
            return None;
        }
        let entry = self.near.unfollowed(&digest, moment)?;
        let owner = OwnedKey::from(entry.session()?.key());
        Some(self.begin_read(digest, owner))
    }

    /// The same for all sessions that are held here, a few at a time.
    pub(crate) async fn look_after_all(self: &Arc<Self>) {
        let held = stream::iter(self.near.held());
        held.filter_map(async |(digest, _)| self.look_after(digest))
            .for_each_concurrent(READS_AT_ONCE, async |reading| drop(reading.await))
            .await;
    }

    /// Reads the value under `digest`, for all concurrent callers.
    pub(crate) async fn read(
        self: Arc<Self>,
        digest: Digest,
        ticket: Ticket,
        owner: OwnedKey,
    ) -> Result<Option<Session>, StoreError> {
        // However this ends, the next caller begins a new read.
        let _landing = Landing { shared: &self, digest, ticket };
        let era = self.status.now().era;
        let found = match self.asking() {
            Ok(client) => {
                let timed = self.numbers.begin(Op::Get);
                let found = self.stored(&client, digest).await;
                timed.end();
                found.map(|found| (client, found))
            }
            Err(error) => Err(error),
        };
        let count = if found.is_ok() { &self.numbers.reads } else { &self.numbers.failed };
        count.add_one();
        let (client, found) = found?;
        let live = match found {
            Found::Live(live) => Some(live),
            Found::Nothing => None,
            Found::Foreign(seen) => {
                // The removal runs in the background.
                let shared = Arc::clone(&self);
                self.runtime.spawn(async move { shared.discard(&client, digest, seen).await });
                None
            }
        };
        let (now_ms, server_ms) = self.now();
        let brought = live.map(|live| (owner.as_key(), live));
        let session = self.near.settle((digest, ticket), (era, now_ms), brought);
        if let Some(session) = &session {
            session.set_used_ms(server_ms);
            self.tell_use_if_due(digest, Use::Request);
        }
        Ok(session)
    }

    /// The value under `digest`.
    async fn stored(
        &self,
        client: &WithOptions<Client>,
        digest: Digest,
    ) -> Result<Found, StoreError> {
        let name = digest.name(&self.prefix);
        let asked = client.get::<Option<Bytes>, _>(name).map(of_our_type);
        let value = match self.within(asked.boxed()).await? {
            None => return Ok(Found::Foreign(Seen::OtherType)),
            Some(None) => return Ok(Found::Nothing),
            Some(Some(value)) => value,
        };
        match codec::decode(&value) {
            Ok(Stored::Live(live)) => Ok(Found::Live(live)),
            Ok(Stored::Ended) => Ok(Found::Nothing),
            Err(Unreadable::Later) => Err(self.later()),
            Err(Unreadable::Foreign) => Ok(Found::Foreign(Seen::Value(value))),
        }
    }

    /// Reports to the server that the session under `digest` was used, if a quarter of its idle time has passed since
    /// the last report. Does not wait.
    pub(crate) fn tell_use_if_due(self: &Arc<Self>, digest: Digest, by: Use) {
        if let Some(entry) = self.near.peek(&digest) {
            self.tell_use_of(digest, entry, by);
        }
    }

    pub(crate) fn tell_use_of(self: &Arc<Self>, digest: Digest, entry: Arc<Entry>, by: Use) {
        let server_ms = self.now().1;
        if !self.status.is_up() || !entry.is_use_due(server_ms, by) {
            return;
        }
        let shared = Arc::clone(self);
        self.runtime.spawn(async move {
            if shared.tell_use(digest, &entry).await.is_err() {
                entry.use_was_not_told(server_ms);
            }
        });
    }

    async fn tell_use(&self, digest: Digest, entry: &Entry) -> Result<(), StoreError> {
        let client = self.asking()?;
        if let Some(session) = entry.session() {
            // First, so that the session is not evicted in the meantime. If only this fails, the write of `touch`
            // confirms the session.
            let _ = self.confirm(&client, digest, session).await;
        }
        let key = digest.name(&self.prefix);
        let is_live: bool =
            self.within(self.scripts.touch.run(&client, &[&key], &[]).boxed()).await?;
        if !is_live {
            self.near.forget(&digest);
            return Ok(());
        }
        if let Some(session) = entry.session() {
            self.count(&client, digest, session).await?;
        }
        Ok(())
    }

    /// Records at the server that a request has presented the id of `session`.
    async fn confirm(
        &self,
        client: &WithOptions<Client>,
        digest: Digest,
        session: &Session,
    ) -> Result<(), StoreError> {
        let (list, listed) = (self.room.list(), self.places(session).listed(digest));
        let taken = client.zrem::<i64, _, _>(list, Value::Bytes(listed.into()));
        if self.within(taken.boxed()).await? == 1 {
            self.room.is_confirmed();
        }
        Ok(())
    }

    /// The sets that `session` is counted in.
    pub(crate) fn places(&self, session: &Session) -> Places {
        self.room.places(session.key().principal, session.record().client())
    }

    /// Records at the server that `session` counts for its backend.
    pub(crate) async fn count(
        &self,
        client: &WithOptions<Client>,
        digest: Digest,
        session: &Session,
    ) -> Result<(), StoreError> {
        let places = self.places(session);
        self.count_in(client, digest, session, places.names()).await
    }

    /// The same for a session that its script has already counted in its places.
    pub(crate) async fn count_on_backend(
        &self,
        client: &WithOptions<Client>,
        digest: Digest,
        session: &Session,
    ) -> Result<(), StoreError> {
        self.count_in(client, digest, session, &[]).await
    }

    async fn count_in(
        &self,
        client: &WithOptions<Client>,
        digest: Digest,
        session: &Session,
        places: &[String],
    ) -> Result<(), StoreError> {
        let (server_ms, backend) = (self.now().1, session.record().backend());
        let left_ms = room::left_ms(session, server_ms);
        let (list, at) = (&self.scripts.list, (&*self.prefix, self.is_clustered));
        let times = (server_ms.saturating_add(left_ms), left_ms);
        self.within(counts::add(client, list, at, (backend, places), digest, times).boxed()).await
    }

    /// Records at the server that a session in `places` on `backend` has ended.
    pub(crate) async fn uncount(
        &self,
        client: &WithOptions<Client>,
        digest: Digest,
        (backend, places): (Option<&BackendId>, &Places),
    ) -> Result<(), StoreError> {
        let (unlist, at) = (&self.scripts.unlist, (&*self.prefix, self.is_clustered));
        self.within(counts::take(client, unlist, at, (backend, places.names()), digest).boxed())
            .await
    }
}

/// The stored value of a key.
enum Found {
    Live(Live),
    Nothing,
    /// A value that no release wrote.
    Foreign(Seen),
}

/// Unregisters a read, however it ends.
struct Landing<'a> {
    shared: &'a Shared,
    digest: Digest,
    ticket: Ticket,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.shared.near.give_up(&self.digest, self.ticket);
    }
}
