//! Where session records live.
//!
//! A store answers *now or later*: from memory at once, from the network after a wait. A layer that
//! gets its answer at once continues without waiting.

mod answer;
mod either;
mod error;
mod evicted;
mod key;
mod live;
mod no_store;
mod outcome;
mod owned_key;
mod parts;
mod place;
mod version;

use crate::{BackendId, Principal, Record, Route, Session};

pub use crate::session::stored::StoredSession;
pub use answer::{Answer, Never};
pub use either::{Either, EitherAnswer};
pub use error::{StoreError, StoreErrorKind};
pub use evicted::Evicted;
pub use key::Key;
pub use live::{LiveSessions, StoredRecord};
pub use no_store::NoStore;
pub use outcome::{Inserted, Replaced};
pub use owned_key::OwnedKey;
pub use place::{Applicant, Place};
pub use version::RecordVersion;

/// Stores session records: in this process, or for many replicas.
///
/// Every operation that can race is a required method, and must be atomic. An implementation is a handle:
/// clones share one store. A store that cannot answer returns a [`StoreError`], never "absent", because that
/// would lose a session. Its futures are `Send`, because servers move the tasks that wait for them between threads. The
/// [guide](https://docs.rs/bartizan/latest/bartizan/guide/store/) has all rules, and
/// [`bartizan-store-suite`](https://docs.rs/bartizan-store-suite) tests a store against them.
///
/// ```
/// use bartizan_core::{Key, Route, SessionStore, StoreError};
///
/// /// Whether `id` is a live session of an anonymous caller. Works with any store.
/// async fn is_live<T: SessionStore>(store: &T, id: &[u8]) -> Result<bool, StoreError> {
///     let route = Route::default();
///     let found = store.get(Key::new(&route, None, id)).wait().await?;
///     Ok(found.is_some())
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let store = bartizan_core::store::NoStore::default();
/// # assert_eq!(is_live(&store, b"id").await.unwrap(), false);
/// # }
/// ```
///
/// # Cancellation
///
/// A dropped future may or may not have taken effect. Each operation is safe to repeat.
///
/// # A store in a `HashMap`
///
/// Each call looks at the whole map, which is fine for some hundred sessions. It passes the suite.
///
#[doc = "```"]
#[doc = include_str!("map_store.rs")]
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let (store, route) = (MapStore::new(1), Route::default());
/// # let (key, other) = (Key::new(&route, None, b"id"), Key::new(&route, None, b"other"));
/// # let record = || Record::new(Record::IDLE, Record::LIFETIME);
/// # let insert = async |key| store.insert_if_absent(key, record()).wait().await.unwrap();
/// # assert!(matches!(insert(key).await, Inserted::Inserted(_)));
/// # assert!(matches!(insert(key).await, Inserted::Exists(_)));
/// # assert!(matches!(insert(other).await, Inserted::Full));
/// # store.remove(key).wait().await.unwrap();
/// # assert!(matches!(insert(key).await, Inserted::Ended));
/// # assert!(store.get(key).wait().await.unwrap().is_none());
/// # }
#[doc = "```"]
pub trait SessionStore: Clone + Send + Sync + 'static {
    /// Resolves to the session, or to `None`.
    type Get: Future<Output = Result<Option<Session>, StoreError>> + Send;
    /// Resolves to the outcome of an insert.
    type Insert: Future<Output = Result<Inserted, StoreError>> + Send;
    /// Resolves to the outcome of a replacement.
    type Replace: Future<Output = Result<Replaced, StoreError>> + Send;
    /// Resolves when the record is removed.
    type Remove: Future<Output = Result<(), StoreError>> + Send;
    /// Resolves to whether this call removed the record.
    type RemoveIfUnchanged: Future<Output = Result<bool, StoreError>> + Send;

    /// Finds a live session and restarts its idle time. Absent, expired and ended sessions look the same.
    fn get(&self, key: Key<'_>) -> Answer<Result<Option<Session>, StoreError>, Self::Get>;

    /// Adds a record unless the key has one, or had one that ended within the last minute.
    fn insert_if_absent(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Result<Inserted, StoreError>, Self::Insert>;

    /// Adds a record as [`Self::insert_if_absent`] does, for a session that its client confirms by a second request
    /// with its id. Until [`Self::get`] has found it once, a store that is nearly full may evict it to make room for
    /// another: the oldest first, from 80 % of the cap on if it is older than 60 s, and at any age when the store is
    /// full. [`Self::take_evicted`] returns the evicted sessions.
    ///
    /// Default: `insert_if_absent`, for stores that evict nothing.
    fn insert_unconfirmed(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Result<Inserted, StoreError>, Self::Insert> {
        self.insert_if_absent(key, record)
    }

    /// Takes a session of `route` that this store has evicted, so that the caller can end it at its backend. After an
    /// insert, call this until it returns `None`. A store keeps a limited number of evicted sessions. Default:
    /// `None`.
    fn take_evicted(&self, _route: &Route) -> Option<Session> {
        None
    }

    /// Replaces the record of a live session if its version is still `seen`. It never creates one, so an
    /// ended session stays ended. The age still counts from the insert.
    fn replace(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
        record: Record,
    ) -> Answer<Result<Replaced, StoreError>, Self::Replace>;

    /// Ends a session regardless of its version, and for a minute prevents a late insert from bringing it
    /// back. Used when a client ends its session.
    fn remove(&self, key: Key<'_>) -> Answer<Result<(), StoreError>, Self::Remove>;

    /// Ends a session as [`Self::remove`] does, if its version is still `seen`; returns whether it did. Used when a
    /// response shows that the session has ended, which applies only to the record that its request saw. A session that
    /// has since moved to another backend stays, and an absent, expired or ended one leaves nothing behind.
    fn remove_if_unchanged(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
    ) -> Answer<Result<bool, StoreError>, Self::RemoveIfUnchanged>;

    /// Records a use, which restarts the idle time. Never waits: a network store writes in the background, at
    /// most once per quarter of the idle time.
    fn touch(&self, session: &Session);

    /// Whether there is room for a new session of `principal`. A hint, used before a backend is asked to open
    /// one; [`Self::insert_if_absent`] decides.
    fn has_room(&self, route: &Route, principal: Option<&Principal>) -> bool;

    /// Reserves a place for a session that is about to be opened, until the place is dropped. Returns `None` if the
    /// store is full. Reserved places count against the cap in this process; [`Self::insert_if_absent`] still
    /// decides. Default: [`Self::has_room`], and openings in flight are not counted.
    fn reserve(&self, applicant: Applicant<'_>) -> Option<Place> {
        self.has_room(applicant.route, applicant.principal).then(Place::uncounted)
    }

    /// Whether the store has a cap on the sessions of one client, and the record of a new session should name
    /// [the network of its client](Record::with_client). Default: no.
    fn counts_clients(&self) -> bool {
        false
    }

    /// Whether the store answers at the moment. A hint, used together with [`Self::has_room`]: a session that
    /// a backend opens but the store cannot keep would have to be ended again. Default: it does.
    fn answers(&self) -> bool {
        true
    }
}

/// Counts live sessions by backend, for balancing and draining. Approximate where many replicas share
/// a store.
pub trait CountSessions: Send + Sync {
    /// The number of sessions that are bound to `backend`.
    fn sessions_on(&self, backend: &BackendId) -> usize;
}
