//! The store: the operations for the layers, and the commands for the server.

use std::{fmt, sync::Arc, time::Duration};

use bartizan_core::{
    Answer, BackendId, Key, Principal, Record, Route, Session, SessionStore, StoreError,
    store::{
        Applicant, CountSessions, Inserted, OwnedKey, Place, RecordVersion, Replaced,
        StoreErrorKind, StoredSession,
    },
};
use bytes::Bytes;
use fred::{
    clients::{Client, WithOptions},
    interfaces::KeysInterface,
    types::{Expiration, Value},
};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{
    builder::CONNECT,
    codec::{self, Stored},
    counts,
    digest::Digest,
    flights::Reading,
    gauges::{Op, StoreCounts},
    insert::insert,
    link::Watch,
    near::Use,
    reply::Reply,
    script,
    shared::Shared,
    unreadable::{Seen, of_our_type},
};

/// A session store for many replicas; see the [crate docs](crate). Clones share one connection.
///
/// ```no_run
/// use bartizan_redis::RedisStore;
///
/// # fn main() -> Result<(), bartizan_redis::ConfigError> {
/// // Within a tokio runtime: the store connects in the background.
/// let store = RedisStore::builder("redis://10.0.0.3:6379/1").max_sessions(50_000).build()?;
/// # let _ = store;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    _watch: Watch,
    _chores: Chores,
}

/// The task that keeps held sessions in use and reads the counts. Dropping this ends it.
struct Chores(tokio::task::AbortHandle);

/// How long an ended session stays ended.
const TOMBSTONE: Duration = Duration::from_secs(60);
/// How often held sessions are checked and counts are read.
const CHORES: Duration = Duration::from_secs(1);

impl RedisStore {
    pub(crate) fn start(shared: Shared) -> Self {
        let shared = Arc::new(shared);
        let watch = Watch::start(&shared);
        let chores = shared.runtime.spawn(do_chores(Arc::downgrade(&shared)));
        Self(Arc::new(Inner { shared, _watch: watch, _chores: Chores(chores.abort_handle()) }))
    }

    /// Whether the server answers at the moment. A store can be built before it does.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.shared.status.is_up()
    }

    /// Why the server does not answer at the moment, in a few words that contain neither the URL nor a password.
    /// `None` while it answers.
    #[must_use]
    pub fn failure(&self) -> Option<&'static str> {
        if self.is_ready() {
            return None;
        }
        Some(self.0.shared.outage.cause().unwrap_or("not connected yet"))
    }

    /// Waits until the server has answered, or the first try to reach it has failed: for a program that should not
    /// serve before its store is ready. Returns whether the server answers. Takes at most a second, for the connection,
    /// and the [timeout](crate::RedisStoreBuilder::timeout) of an operation, and nothing once the first try is over.
    ///
    /// # Cancellation
    ///
    /// Dropping the future has no effect: the store continues to try.
    pub async fn ready(&self) -> bool {
        let shared = &self.0.shared;
        let bound = CONNECT.saturating_add(shared.timeout);
        let _ = timeout(bound, shared.first_try.wait()).await;
        self.is_ready()
    }

    /// How many sessions there are over all replicas, approximately.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.shared.counts.total()
    }

    pub(crate) fn store_counts(&self) -> &StoreCounts {
        &self.0.shared.numbers
    }

    pub(crate) fn max_sessions(&self) -> usize {
        self.0.shared.room.most()
    }

    /// Whether there are no sessions, approximately.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl SessionStore for RedisStore {
    type Get = Reading;
    type Insert = BoxFuture<'static, Result<Inserted, StoreError>>;
    type Replace = BoxFuture<'static, Result<Replaced, StoreError>>;
    type Remove = BoxFuture<'static, Result<(), StoreError>>;
    type RemoveIfUnchanged = BoxFuture<'static, Result<bool, StoreError>>;

    fn get(&self, key: Key<'_>) -> Answer<Result<Option<Session>, StoreError>, Self::Get> {
        let shared = &self.0.shared;
        let digest = Digest::of(key);
        let moment = shared.status.now();
        let now = shared.now();
        let is_down = moment.down_since_ms.is_some();
        if let Some(entry) = shared.near.look(&digest, moment, now) {
            if is_down { &shared.numbers.stale } else { &shared.numbers.hits }.add_one();
            // Two keys with the same digest are practically impossible, but returning another key's
            // session would be a security hole.
            let session = entry.session().filter(|session| session.key() == key).cloned();
            if let Some(session) = &session {
                session.set_used_ms(now.1);
                shared.tell_use_of(digest, entry, Use::Request);
            }
            return Answer::Now(Ok(session));
        }
        if is_down {
            shared.numbers.failed.add_one();
            return Answer::Now(Err(StoreError::new(StoreErrorKind::Unavailable)));
        }
        Answer::Later(shared.begin_read(digest, OwnedKey::from(key)))
    }

    fn insert_if_absent(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Result<Inserted, StoreError>, Self::Insert> {
        let (shared, owner) = (Arc::clone(&self.0.shared), OwnedKey::from(key));
        Answer::Later(timed(shared, Op::Insert, |it| insert(it, owner, record, false)))
    }

    fn insert_unconfirmed(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Result<Inserted, StoreError>, Self::Insert> {
        let (shared, owner) = (Arc::clone(&self.0.shared), OwnedKey::from(key));
        Answer::Later(timed(shared, Op::Insert, |it| insert(it, owner, record, true)))
    }

    fn take_evicted(&self, route: &Route) -> Option<Session> {
        self.0.shared.evicted.take(route)
    }

    fn replace(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
        record: Record,
    ) -> Answer<Result<Replaced, StoreError>, Self::Replace> {
        let (shared, owner) = (Arc::clone(&self.0.shared), OwnedKey::from(key));
        Answer::Later(timed(shared, Op::Replace, |it| replace(it, owner, seen, record)))
    }

    fn remove(&self, key: Key<'_>) -> Answer<Result<(), StoreError>, Self::Remove> {
        let (shared, owner) = (Arc::clone(&self.0.shared), OwnedKey::from(key));
        Answer::Later(timed(shared, Op::Remove, |it| remove(it, owner)))
    }

    fn remove_if_unchanged(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
    ) -> Answer<Result<bool, StoreError>, Self::RemoveIfUnchanged> {
        let (shared, owner) = (Arc::clone(&self.0.shared), OwnedKey::from(key));
        let op = Op::RemoveIfUnchanged;
        Answer::Later(timed(shared, op, |it| remove_if_unchanged(it, owner, seen)))
    }

    fn touch(&self, session: &Session) {
        let shared = &self.0.shared;
        let server_ms = shared.now().1;
        // The lookup at the start of a short call has already reported the use. In a rapid series of uses, those that
        // are not recorded must not delay the next report.
        let eighth_ms = codec::millis(session.record().idle()) / 8;
        if server_ms.saturating_sub(session.used_ms()) >= eighth_ms {
            session.set_used_ms(server_ms);
            shared.tell_use_if_due(Digest::of(session.key()), Use::Hold);
        }
    }

    fn has_room(&self, _: &Route, principal: Option<&Principal>) -> bool {
        let shared = &self.0.shared;
        shared.room.is_there(principal, None, shared.clock.now_ms())
    }

    fn reserve(&self, applicant: Applicant<'_>) -> Option<Place> {
        let shared = &self.0.shared;
        shared.room.place(applicant, shared.clock.now_ms())
    }

    fn counts_clients(&self) -> bool {
        self.0.shared.room.counts_clients()
    }

    fn answers(&self) -> bool {
        self.is_ready()
    }
}

impl CountSessions for RedisStore {
    fn sessions_on(&self, backend: &BackendId) -> usize {
        self.0.shared.counts.on(backend)
    }
}

/// Times an operation. One that is not begun, since the server does not answer, took no time, and is not counted.
fn timed<T, F>(
    shared: Arc<Shared>,
    op: Op,
    ask: impl FnOnce(Arc<Shared>) -> F,
) -> BoxFuture<'static, Result<T, StoreError>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    let asked = ask(Arc::clone(&shared));
    async move {
        let timed = shared.status.is_up().then(|| shared.numbers.begin(op));
        let outcome = asked.await;
        if let Some(timed) = timed {
            timed.end();
        }
        outcome
    }
    .boxed()
}

async fn replace(
    shared: Arc<Shared>,
    owner: OwnedKey,
    seen: RecordVersion,
    record: Record,
) -> Result<Replaced, StoreError> {
    let digest = Digest::of(owner.as_key());
    let era = shared.status.now().era;
    let client = shared.asking()?;
    let args = [
        number(seen.get().into()),
        number(codec::millis(record.idle())),
        number(codec::millis(record.lifetime())),
        script::bytes(record.to_parts()),
    ];
    let key = digest.name(&shared.prefix);
    let keys = [&*key];
    let asked = shared.scripts.replace.run(&client, &keys, &args).map(of_our_type);
    let reply = Reply::read(&shared, shared.within(asked.boxed()).await?)?;
    shared.near.invalidate(&digest);
    let (is_done, live) = match reply {
        Reply::Done(Stored::Live(live)) => (true, live),
        Reply::Not(Stored::Live(live)) => (false, live),
        Reply::Foreign(seen) => {
            shared.near.forget(&digest);
            shared.discard(&client, digest, seen).await?;
            return Ok(Replaced::Gone);
        }
        _ => {
            shared.near.forget(&digest);
            return Ok(Replaced::Gone);
        }
    };
    let was_on = shared.near.peek(&digest).and_then(|entry| entry.session().cloned());
    let session = shared.near.keep(digest, era, owner.as_key(), live);
    if !is_done {
        return Ok(Replaced::Changed(session));
    }
    let (runtime, moved) = (shared.runtime.clone(), session.clone());
    runtime.spawn(async move {
        let from = was_on.as_ref().and_then(|session| session.record().backend());
        if from != moved.record().backend() && was_on.is_some() {
            shared.counts.ended(from);
            shared.counts.opened(moved.record().backend());
            let _ =
                shared.within(counts::leave(&client, &shared.prefix, from, digest).boxed()).await;
        }
        let _ = shared.count(&client, digest, &moved).await;
    });
    Ok(Replaced::Replaced(session))
}

async fn remove(shared: Arc<Shared>, owner: OwnedKey) -> Result<(), StoreError> {
    let digest = Digest::of(owner.as_key());
    // From here on this replica does not serve the session, whether or not the rest succeeds, even
    // during an outage.
    shared.near.forget(&digest);
    let client = shared.asking()?;
    let expiry = Some(Expiration::PX(i64::try_from(codec::millis(TOMBSTONE)).unwrap_or(i64::MAX)));
    let key = digest.name(&shared.prefix);
    let set = async || {
        let asked = client.set::<Option<Bytes>, _, _>(&*key, "T", expiry.clone(), None, true);
        shared.within(asked.map(of_our_type).boxed()).await
    };
    let mut old = set().await?;
    if old.is_none() {
        shared.discard(&client, digest, Seen::OtherType).await?;
        old = set().await?;
    }
    let old = old.flatten();
    forget_ended(&shared, client, &owner, old.as_deref());
    Ok(())
}

async fn remove_if_unchanged(
    shared: Arc<Shared>,
    owner: OwnedKey,
    seen: RecordVersion,
) -> Result<bool, StoreError> {
    let digest = Digest::of(owner.as_key());
    let client = shared.asking()?;
    let args = [number(seen.get().into()), number(codec::millis(TOMBSTONE))];
    let key = digest.name(&shared.prefix);
    let keys = [&*key];
    let asked = shared.scripts.end.run::<(i64, Bytes)>(&client, &keys, &args).map(of_our_type);
    let ended = shared.within(asked.boxed()).await;
    // Whatever the outcome, the cached version may be out of date.
    shared.near.invalidate(&digest);
    match ended? {
        Some((1, old)) => {
            forget_ended(&shared, client, &owner, Some(&old));
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Handles the end of the session of `owner`, which was stored as `old`, at the server.
fn forget_ended(
    shared: &Arc<Shared>,
    client: WithOptions<Client>,
    owner: &OwnedKey,
    old: Option<&[u8]>,
) {
    let digest = Digest::of(owner.as_key());
    shared.near.forget(&digest);
    let Some(Ok(Stored::Live(live))) = old.map(codec::decode) else { return };
    shared.counts.ended(live.record.backend());
    let places = shared.room.places(owner.as_key().principal, live.record.client());
    shared.room.ended(&places);
    let shared = Arc::clone(shared);
    shared.runtime.clone().spawn(async move {
        let backend = live.record.backend();
        let _ = shared.uncount(&client, digest, (backend, &places)).await;
    });
}

/// While calls or streams hold a session, reports its use to the server, and reads it again if no invalidation would
/// come. Also reads the counts once a second.
async fn do_chores(shared: std::sync::Weak<Shared>) {
    let mut round = interval(CHORES);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        round.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        // Clocks drift, and the server's may be corrected.
        if shared.status.is_up() {
            let _ = shared.within(shared.ask_time().boxed()).await;
        }
        let server_ms = shared.now().1;
        for (digest, entry) in shared.near.held() {
            if let Some(session) = entry.session() {
                session.set_used_ms(server_ms);
            }
            shared.tell_use_of(digest, entry, Use::Hold);
        }
        let _ = timeout(2 * CHORES, shared.look_after_all()).await;
        if let Ok(client) = shared.asking() {
            let (counts, expired) = ((&shared.counts, &shared.room), &shared.numbers.expired);
            // Each command has the usual deadline; the number of commands depends on the number of
            // backends.
            let read = counts::refresh(&client, &shared.prefix, server_ms, counts, expired);
            let _ = timeout(2 * CHORES, read).await;
            let _ = timeout(CHORES, shared.salt.keep(&client, &shared.prefix)).await;
            if shared.room.is_pressed_now() {
                let looked = shared.look_for_evicted(&client, server_ms);
                let _ = timeout(CHORES, looked).await;
            }
        }
    }
}

pub(crate) fn number(number: u64) -> Value {
    number.to_string().into()
}

impl Drop for Chores {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.0.shared.prefix)
            .field("is_ready", &self.is_ready())
            .finish_non_exhaustive()
    }
}
