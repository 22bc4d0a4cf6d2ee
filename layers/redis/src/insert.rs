//! Inserts a new session, if there is room.

use std::sync::Arc;

use bartizan_core::{
    Record, Session, StoreError,
    store::{Inserted, OwnedKey, StoreErrorKind, StoredSession},
};
use bytes::Bytes;
use fred::{
    clients::{Client, WithOptions},
    types::Value,
};
use futures_util::FutureExt;

use crate::{
    codec::{self, Live, Stored},
    counts,
    digest::Digest,
    reply::Reply,
    room::Places,
    script,
    shared::Shared,
    store::number,
    unreadable::{Seen, of_our_type},
};

/// A new session that is being inserted.
struct Insert<'a> {
    shared: &'a Arc<Shared>,
    client: &'a WithOptions<Client>,
    digest: Digest,
    places: Places,
    is_to_be_confirmed: bool,
    idle_ms: u64,
    lifetime_ms: u64,
    parts: Vec<u8>,
}

/// The answer of a script to an insert.
#[derive(Debug)]
struct Answered {
    code: i64,
    value: Bytes,
    /// The list member and the value of each evicted session.
    evicted: Vec<(Bytes, Bytes)>,
    /// How many sessions it found to have expired.
    expired: u64,
}

/// The code if the first set is full; the codes of the other sets follow.
const FULL: usize = 2;
/// Larger than the number of sets of any session.
const KEYS: usize = 16;

pub(crate) async fn insert(
    shared: Arc<Shared>,
    owner: OwnedKey,
    record: Record,
    is_to_be_confirmed: bool,
) -> Result<Inserted, StoreError> {
    let (digest, principal) = (Digest::of(owner.as_key()), owner.as_key().principal);
    let era = shared.status.now().era;
    let client = shared.asking()?;
    let insert = Insert {
        shared: &shared,
        client: &client,
        digest,
        places: shared.room.places(principal, record.client()),
        is_to_be_confirmed,
        idle_ms: codec::millis(record.idle()),
        lifetime_ms: codec::millis(record.lifetime()),
        parts: record.to_parts(),
    };
    // Anything cached for the key, mostly its absence, is invalid once this is sent.
    shared.near.invalidate(&digest);
    let mut reply = insert.ask().await?;
    if let Reply::Foreign(seen) = reply {
        // It does not take the place of a session.
        shared.discard(&client, digest, seen).await?;
        reply = insert.ask().await?;
    }
    shared.near.invalidate(&digest);
    let keep = |live: Live| shared.near.keep(digest, era, owner.as_key(), live);
    match reply {
        Reply::Done(Stored::Live(live)) => {
            let record = live.record.with_companions_of(&record);
            Ok(Inserted::Inserted(opened(&shared, digest, keep(Live { record, ..live }))))
        }
        Reply::Not(Stored::Live(live)) => Ok(Inserted::Exists(keep(live))),
        Reply::Done(Stored::Ended) | Reply::Not(Stored::Ended) => Ok(Inserted::Ended),
        Reply::Full(number) => {
            shared.room.is_met(&insert.places, number, shared.clock.now_ms());
            Ok(Inserted::Full)
        }
        Reply::Nothing | Reply::Foreign(_) => Err(StoreError::new(StoreErrorKind::Corrupt)),
    }
}

/// A session was opened here. Its backend's count may follow a moment later.
fn opened(shared: &Arc<Shared>, digest: Digest, session: Session) -> Session {
    session.set_used_ms(shared.now().1);
    shared.counts.opened(session.record().backend());
    let (shared, counted) = (Arc::clone(shared), session.clone());
    shared.runtime.clone().spawn(async move {
        let client = shared.asking()?;
        shared.count_on_backend(&client, digest, &counted).await?;
        // In a flood it may have been evicted already.
        let backend = counted.record().backend();
        if counted.is_ended() {
            let left = counts::leave(&client, &shared.prefix, backend, digest).boxed();
            shared.within(left).await?;
        }
        Ok::<_, StoreError>(())
    });
    session
}

impl Insert<'_> {
    async fn ask(&self) -> Result<Reply, StoreError> {
        let answered =
            if self.shared.is_clustered { self.in_cluster().await } else { self.at_once().await };
        let Some(answer) = answered? else { return Reply::read(self.shared, None) };
        let evicted = answer.evicted.len();
        self.shared.were_evicted(self.client, answer.evicted);
        if answer.code == 1 {
            self.shared.room.inserted(self.is_to_be_confirmed, evicted);
        }
        match usize::try_from(answer.code).ok().and_then(|code| code.checked_sub(FULL)) {
            Some(number) => Ok(Reply::Full(number)),
            None => Reply::read(self.shared, Some((answer.code, answer.value))),
        }
    }

    /// One script counts and inserts.
    async fn at_once(&self) -> Result<Option<Answered>, StoreError> {
        self.script(true).await
    }

    /// Two scripts on two nodes, at the same time.
    async fn in_cluster(&self) -> Result<Option<Answered>, StoreError> {
        let (taken, inserted) = futures_util::join!(self.take_place(), self.script(false));
        match (taken, inserted) {
            (Ok(taken), Ok(Some(inserted))) if taken.code == 1 && inserted.code == 1 => {
                Ok(Some(Answered { evicted: taken.evicted, ..inserted }))
            }
            // It must not be handed out.
            (taken, Ok(Some(inserted))) if inserted.code == 1 => {
                let seen = Seen::Value(inserted.value);
                let removed = self.shared.take_away(self.client, self.digest, seen).await;
                let full = taken?;
                removed?;
                Ok(Some(full))
            }
            // It exists, and already has its place.
            (taken, Ok(Some(there)))
                if there.code == 0
                    && matches!(codec::decode(&there.value), Ok(Stored::Live(_))) =>
            {
                let evicted = taken.map(|taken| taken.evicted).unwrap_or_default();
                Ok(Some(Answered { evicted, ..there }))
            }
            (taken, inserted) => {
                if !matches!(&taken, Ok(full) if full.code > 1) {
                    self.give_place_back().await;
                }
                if let Ok(taken) = taken {
                    self.shared.were_evicted(self.client, taken.evicted);
                }
                inserted
            }
        }
    }

    /// Inserts, and counts if `counts`.
    async fn script(&self, counts: bool) -> Result<Option<Answered>, StoreError> {
        let (name, list) = (self.digest.name(&self.shared.prefix), self.shared.room.list());
        let places = std::iter::once(&*list).chain(self.places.names().iter().map(String::as_str));
        let keys: Vec<_> =
            std::iter::once(&*name).chain(places.take(if counts { KEYS } else { 0 })).collect();
        let mut args =
            vec![number(self.idle_ms), number(self.lifetime_ms), script::bytes(self.parts.clone())];
        args.extend(self.args());
        let asked = self.shared.scripts.insert.run::<Value>(self.client, &keys, &args);
        let answer = self.shared.within(asked.map(of_our_type).boxed()).await?;
        answer.map(|answer| self.read(answer)).transpose()
    }

    /// Takes a place; the code is 1 if there was room.
    async fn take_place(&self) -> Result<Answered, StoreError> {
        let list = self.shared.room.list();
        let names = self.places.names().iter().map(String::as_str);
        let keys: Vec<_> = std::iter::once(&*list).chain(names).collect();
        let mut args = vec![number(self.idle_ms.min(self.lifetime_ms))];
        args.extend(self.args());
        let taken = self.shared.scripts.take.run::<Value>(self.client, &keys, &args);
        self.read(self.shared.within(taken.boxed()).await?)
    }

    fn read(&self, answer: Value) -> Result<Answered, StoreError> {
        let answered = Answered::read(answer)?;
        self.shared.numbers.expired.add(answered.expired);
        Ok(answered)
    }

    fn args(&self) -> Vec<Value> {
        // In a cluster, the others are on other nodes.
        let may_read_others = !self.shared.is_clustered;
        self.shared.room.args(&self.places, self.digest, self.is_to_be_confirmed, may_read_others)
    }

    /// If this fails, the place becomes free when the session would have idled out.
    async fn give_place_back(&self) {
        let keys: Vec<_> = self.places.names().iter().map(String::as_str).collect();
        let args = [script::bytes(self.digest.short())];
        let given = self.shared.scripts.unlist.run::<i64>(self.client, &keys, &args);
        let _ = self.shared.within(given.boxed()).await;
    }
}

impl Answered {
    fn read(answer: Value) -> Result<Self, StoreError> {
        let corrupt = || StoreError::new(StoreErrorKind::Corrupt);
        let Value::Array(parts) = answer else { return Err(corrupt()) };
        let Ok([code, value, evicted, expired]) = <[Value; 4]>::try_from(parts) else {
            return Err(corrupt());
        };
        let code = code.as_i64().ok_or_else(corrupt)?;
        let value = value.into_bytes().unwrap_or_default();
        let listed: Vec<Bytes> = match evicted {
            Value::Array(parts) => parts.into_iter().filter_map(Value::into_bytes).collect(),
            _ => Vec::new(),
        };
        let evicted = listed.chunks_exact(2).filter_map(|pair| match pair {
            [listed, value] => Some((listed.clone(), value.clone())),
            _ => None,
        });
        let expired = expired.as_u64().unwrap_or(0);
        Ok(Self { code, value, evicted: evicted.collect(), expired })
    }
}
