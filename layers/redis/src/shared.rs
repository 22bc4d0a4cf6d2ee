//! What the clones of a store and its watching task share.

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
    near::{Entry, Near, Use},
    outage::{Cause, Outage},
    room::{self, Places, Room},
    script::Scripts,
    status::Status,
    unreadable::{Reports, Seen, Unreadable, of_our_type},
};

/// How many sessions are asked for at once where nobody waits for the answer.
const READS_AT_ONCE: usize = 64;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    /// Where all tasks of the store run: it may be asked, and dropped, from anywhere.
    pub(crate) runtime: Handle,
    pub(crate) options: Options,
    pub(crate) timeout: Duration,
    pub(crate) prefix: String,
    /// A key of this store alone.
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
        match self.outage.note(cause, now_ms, has_just_answered) {
            Some(cause) => event::down(cause),
            None => event::still_down(cause.text()),
        }
    }

    /// What was read so far may have changed.
    pub(crate) fn begin_era(&self) {
        self.status.begin_era();
        self.near.spoil_all();
    }

    /// Now, by the clock that never jumps and by the server's.
    pub(crate) fn now(&self) -> (u64, u64) {
        let now_ms = self.clock.now_ms();
        (now_ms, self.clock.server_ms(now_ms))
    }

    /// The client, with the deadline and no second try; an error while the server does not answer, so that
    /// nothing queues up.
    pub(crate) fn asking(&self) -> Result<WithOptions<Client>, StoreError> {
        if !self.status.is_up() {
            return Err(StoreError::new(StoreErrorKind::Unavailable));
        }
        Ok(self.client.with_options(&self.options))
    }

    /// Learns what time it is by the server.
    pub(crate) async fn ask_time(&self) -> Result<(), fred::error::Error> {
        let time = CustomCommand::new_static("TIME", ClusterHash::Random, false);
        let asking = self.client.with_options(&self.options);
        let (seconds, micros): (i64, i64) = asking.custom(time, Vec::<Value>::new()).await?;
        self.clock.set_server_ms(seconds.saturating_mul(1000).saturating_add(micros / 1000));
        Ok(())
    }

    /// Waits for `asked`, for as long as the deadline allows. Boxed: the client's futures are some kilobytes
    /// large, and would be copied with each that they are part of.
    pub(crate) async fn within<'a, T>(
        &self,
        asked: BoxFuture<'a, Result<T, fred::error::Error>>,
    ) -> Result<T, StoreError> {
        match timeout(self.timeout, asked).await {
            Ok(outcome) => outcome.map_err(|error| store_error(&error)),
            Err(_) => Err(StoreError::new(StoreErrorKind::Timeout)),
        }
    }

    /// Joins the read of `digest` that is on its way, or begins one.
    pub(crate) fn begin_read(self: &Arc<Self>, digest: Digest, owner: OwnedKey) -> Reading {
        self.near
            .begin(digest, |ticket| Arc::clone(self).read(digest, ticket, owner).boxed().shared())
    }

    /// Asks again for the session under `digest` if somebody waits for its end and no news of it would
    /// come. What the read finds is told by [`Near::settle`].
    pub(crate) fn look_after(self: &Arc<Self>, digest: Digest) -> Option<Reading> {
        let moment = self.status.now();
        if moment.down_since_ms.is_some() {
            return None;
        }
        let entry = self.near.unfollowed(&digest, moment)?;
        let owner = OwnedKey::from(entry.session()?.key());
        Some(self.begin_read(digest, owner))
    }

    /// The same for all sessions that are held here, some at a time.
    pub(crate) async fn look_after_all(self: &Arc<Self>) {
        let held = stream::iter(self.near.held());
        held.filter_map(async |(digest, _)| self.look_after(digest))
            .for_each_concurrent(READS_AT_ONCE, async |reading| drop(reading.await))
            .await;
    }

    /// Reads what is stored under `digest`, for all who ask for it at this moment.
    pub(crate) async fn read(
        self: Arc<Self>,
        digest: Digest,
        ticket: Ticket,
        owner: OwnedKey,
    ) -> Result<Option<Session>, StoreError> {
        // However this ends, the next one who asks reads anew.
        let _landing = Landing { shared: &self, digest, ticket };
        let era = self.status.now().era;
        let client = self.asking()?;
        let live = match self.stored(&client, digest).await? {
            Found::Live(live) => Some(live),
            Found::Nothing => None,
            Found::Foreign(seen) => {
                // Nobody waits for it to be gone.
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

    /// What is stored under `digest`.
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

    /// Tells the server that the session under `digest` was used, if a quarter of its idle time has passed
    /// since it was last told. Does not wait.
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
            // First, so that it is not evicted meanwhile. If this fails alone, what `touch` writes confirms it.
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

    /// Writes down that a request has shown the id of `session`.
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

    /// Writes down that `session` counts on its backend.
    pub(crate) async fn count(
        &self,
        client: &WithOptions<Client>,
        digest: Digest,
        session: &Session,
    ) -> Result<(), StoreError> {
        let places = self.places(session);
        self.count_in(client, digest, session, places.names()).await
    }

    /// The same of one whose script has counted it in its places.
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

    /// Writes down that a session of `places` has ended, which was on `backend`.
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

/// What is stored under a key.
enum Found {
    Live(Live),
    Nothing,
    /// What no release wrote.
    Foreign(Seen),
}

/// Ends the announcement of a read, however the read ends.
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
