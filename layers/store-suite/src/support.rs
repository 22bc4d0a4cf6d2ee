//! Helpers for checks: operations on a store with a route, and waiting.

use std::time::Duration;

use bartizan_core::{
    Key, Principal, Record, Route, Session, SessionStore,
    session::Ended,
    store::{Inserted, RecordVersion, Replaced},
};
use tokio::time::{sleep, timeout};

use crate::{Caps, Harness};

/// How long a store may take for its background work.
const PATIENCE: Duration = Duration::from_secs(10);

/// A record that does not expire during a check.
pub(crate) fn record() -> Record {
    Record::new(Record::IDLE, Record::LIFETIME)
}

/// A record that expires soon.
pub(crate) fn brief(harness: &impl Harness) -> Record {
    Record::new(harness.idle(), harness.idle() * 3)
}

pub(crate) fn on(backend: &str) -> Record {
    record().with_backend(backend.parse().unwrap())
}

/// A store and a route, and its operations on the sessions of anonymous callers.
pub(crate) struct Opened<T> {
    pub(crate) store: T,
    pub(crate) route: Route,
}

impl<T: SessionStore> Opened<T> {
    pub(crate) async fn with<H: Harness<Store = T>>(harness: &H, caps: Caps) -> Self {
        Self { store: harness.open(caps).await, route: Route::default() }
    }

    pub(crate) async fn by<H: Harness<Store = T>>(harness: &H) -> Self {
        Self::with(harness, Caps::ROOMY).await
    }

    pub(crate) fn key<'a>(&'a self, id: &'a str) -> Key<'a> {
        Key::new(&self.route, None, id.as_bytes())
    }

    pub(crate) async fn insert(&self, id: &str, record: Record) -> Inserted {
        insert(&self.store, self.key(id), record).await
    }

    /// Inserts a session, which must succeed.
    pub(crate) async fn open(&self, id: &str, record: Record) -> Session {
        match self.insert(id, record).await {
            Inserted::Inserted(session) => session,
            other => panic!("the session {id} is new, and there is room: {other:?}"),
        }
    }

    pub(crate) async fn is_inserted(&self, id: &str) -> bool {
        matches!(self.insert(id, record()).await, Inserted::Inserted(_))
    }

    pub(crate) async fn insert_unconfirmed(&self, id: &str) -> Inserted {
        self.store.insert_unconfirmed(self.key(id), record()).wait().await.unwrap()
    }

    pub(crate) async fn get(&self, id: &str) -> Option<Session> {
        get(&self.store, self.key(id)).await
    }

    /// Looks up a session, which must exist.
    pub(crate) async fn find(&self, id: &str) -> Session {
        self.get(id).await.unwrap_or_else(|| panic!("the session {id} is live"))
    }

    pub(crate) async fn replace(&self, id: &str, seen: RecordVersion, record: Record) -> Replaced {
        self.store.replace(self.key(id), seen, record).wait().await.unwrap()
    }

    pub(crate) async fn remove(&self, id: &str) {
        self.store.remove(self.key(id)).wait().await.unwrap();
    }

    pub(crate) async fn remove_if_unchanged(&self, id: &str, seen: RecordVersion) -> bool {
        self.store.remove_if_unchanged(self.key(id), seen).wait().await.unwrap()
    }

    pub(crate) fn has_room(&self, principal: Option<&Principal>) -> bool {
        self.store.has_room(&self.route, principal)
    }
}

pub(crate) async fn insert<T: SessionStore>(store: &T, key: Key<'_>, record: Record) -> Inserted {
    store.insert_if_absent(key, record).wait().await.unwrap()
}

pub(crate) async fn get<T: SessionStore>(store: &T, key: Key<'_>) -> Option<Session> {
    store.get(key).wait().await.unwrap()
}

/// Waits until `holds` returns true, for background work of a store.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = timeout(PATIENCE, async {
        while !holds().await {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waiting.await.is_ok(), "{what}, within {PATIENCE:?}");
}

/// Whether a session has ended. A store that works in the background gets time to report it.
pub(crate) async fn comes(end: Ended) -> bool {
    timeout(PATIENCE, end).await.is_ok()
}

/// Whether a session has ended by now.
pub(crate) async fn has_come(end: &mut Ended) -> bool {
    timeout(Duration::from_millis(20), end).await.is_ok()
}
