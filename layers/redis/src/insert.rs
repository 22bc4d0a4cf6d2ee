//! A new session goes into the store, if there is room.

use std::sync::Arc;

use bartizan_core::{
    Record, Session, StoreError,
    store::{Inserted, StoreErrorKind, StoredSession},
};
use bytes::Bytes;
use fred::{
    clients::{Client, WithOptions},
    types::Value,
};
use futures_util::FutureExt;

use crate::{
    codec::{self, Live, Stored},
    digest::Digest,
    reply::Reply,
    room::Places,
    script,
    shared::{Owner, Shared},
    store::number,
    unreadable::{Seen, of_our_type},
};

/// A new session on its way.
struct Insert<'a> {
    shared: &'a Arc<Shared>,
    client: &'a WithOptions<Client>,
    digest: Digest,
    places: Places,
    idle_ms: u64,
    lifetime_ms: u64,
    parts: Vec<u8>,
}

pub(crate) async fn insert(
    shared: Arc<Shared>,
    owner: Owner,
    record: Record,
) -> Result<Inserted, StoreError> {
    let (digest, principal) = (Digest::of(owner.key()), owner.key().principal);
    let era = shared.status.now().era;
    let client = shared.asking()?;
    let insert = Insert {
        shared: &shared,
        client: &client,
        digest,
        places: shared.room.places(principal),
        idle_ms: codec::millis(record.idle()),
        lifetime_ms: codec::millis(record.lifetime()),
        parts: codec::encode(&record),
    };
    // What was known of the key, its absence mostly, no longer holds once this is sent.
    shared.near.invalidate(&digest);
    let mut reply = insert.ask().await?;
    if let Reply::Foreign(seen) = reply {
        // It takes no session's place.
        shared.discard(&client, digest, seen).await?;
        reply = insert.ask().await?;
    }
    shared.near.invalidate(&digest);
    let keep = |live: Live| shared.near.keep(digest, era, owner.key(), live);
    match reply {
        Reply::Done(Stored::Live(live)) => {
            Ok(Inserted::Inserted(opened(&shared, digest, keep(live))))
        }
        Reply::Not(Stored::Live(live)) => Ok(Inserted::Exists(keep(live))),
        Reply::Done(Stored::Ended) | Reply::Not(Stored::Ended) => Ok(Inserted::Ended),
        Reply::Nothing => {
            shared.room.is_met();
            Ok(Inserted::Full)
        }
        Reply::NothingOfPrincipal => {
            shared.room.is_met_by(principal, shared.clock.now_ms());
            Ok(Inserted::Full)
        }
        Reply::Foreign(_) => Err(StoreError::new(StoreErrorKind::Corrupt)),
    }
}

/// A session was opened here. That it counts on its backend may be known a moment later.
fn opened(shared: &Arc<Shared>, digest: Digest, session: Session) -> Session {
    session.set_used_ms(shared.now().1);
    shared.counts.opened(session.record().backend());
    let (shared, counted) = (Arc::clone(shared), session.clone());
    shared.runtime.clone().spawn(async move {
        let client = shared.asking()?;
        shared.count(&client, digest, &counted).await
    });
    session
}

impl Insert<'_> {
    async fn ask(&self) -> Result<Reply, StoreError> {
        let answered =
            if self.shared.is_clustered { self.in_cluster().await } else { self.at_once().await };
        Reply::read(self.shared, answered?)
    }

    /// One script counts and inserts.
    async fn at_once(&self) -> Result<Option<(i64, Bytes)>, StoreError> {
        self.script(self.places.names()).await
    }

    /// Two scripts on two nodes, at the same time.
    async fn in_cluster(&self) -> Result<Option<(i64, Bytes)>, StoreError> {
        let (taken, inserted) = futures_util::join!(self.take_place(), self.script(&[]));
        match (taken, inserted) {
            (Ok(1), Ok(Some((1, value)))) => Ok(Some((1, value))),
            // It is not to be handed out.
            (taken, Ok(Some((1, value)))) => {
                let seen = Seen::Value(value);
                let removed = self.shared.take_away(self.client, self.digest, seen).await;
                let full = taken?;
                removed?;
                Ok(Some((full, Bytes::new())))
            }
            // It is there, and has its place.
            (_, Ok(Some((0, value)))) if matches!(codec::decode(&value), Ok(Stored::Live(_))) => {
                Ok(Some((0, value)))
            }
            (taken, inserted) => {
                if !matches!(taken, Ok(full) if full > 1) {
                    self.give_place_back().await;
                }
                inserted
            }
        }
    }

    /// Inserts, and counts in the sets of `places`.
    async fn script(&self, places: &[String]) -> Result<Option<(i64, Bytes)>, StoreError> {
        let name = self.digest.name(&self.shared.prefix);
        let keys: Vec<_> =
            std::iter::once(&*name).chain(places.iter().map(String::as_str)).collect();
        let [all, of_principal] = self.shared.room.caps();
        let args = [
            number(self.idle_ms),
            number(self.lifetime_ms),
            script::bytes(self.parts.clone()),
            self.member(),
            all,
            of_principal,
        ];
        let asked = self.shared.scripts.insert.run(self.client, &keys, &args).map(of_our_type);
        self.shared.within(asked.boxed()).await
    }

    /// Takes a place; 1 if there was one.
    async fn take_place(&self) -> Result<i64, StoreError> {
        let keys: Vec<_> = self.places.names().iter().map(String::as_str).collect();
        let [all, of_principal] = self.shared.room.caps();
        let left = number(self.idle_ms.min(self.lifetime_ms));
        let args = [left, self.member(), all, of_principal];
        self.shared.within(self.shared.scripts.take.run(self.client, &keys, &args).boxed()).await
    }

    /// If it fails, the place is free when the session would have idled out.
    async fn give_place_back(&self) {
        let keys: Vec<_> = self.places.names().iter().map(String::as_str).collect();
        let args = [self.member()];
        let given = self.shared.scripts.unlist.run::<i64>(self.client, &keys, &args);
        let _ = self.shared.within(given.boxed()).await;
    }

    fn member(&self) -> Value {
        script::bytes(self.digest.short())
    }
}
