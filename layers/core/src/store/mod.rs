//! Where session records live.
//!
//! A store answers *now or later*: from memory at once, from the network after a wait. A layer that
//! gets its answer now calls on without parking anything.

mod answer;
mod either;
mod error;
mod key;
mod no_store;
mod outcome;
mod version;

use crate::{BackendId, Principal, Record, Route, Session};

pub use crate::session::stored::StoredSession;
pub use answer::{Answer, Never};
pub use either::{Either, EitherAnswer};
pub use error::{StoreError, StoreErrorKind};
pub use key::Key;
pub use no_store::NoStore;
pub use outcome::{Inserted, Replaced};
pub use version::RecordVersion;

/// Stores session records: in this process, or for many replicas.
///
/// Every operation that can race is a required method, and must be atomic. An implementation is a handle:
/// clones share one store. A store that cannot answer returns a [`StoreError`], never "absent", because that
/// would lose a session. Its futures are `Send`: the layers that wait for them run on servers that move work
/// between threads. The [guide](https://docs.rs/bartizan/latest/bartizan/guide/store/) has all rules, and a
/// complete store in a `HashMap`.
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
pub trait SessionStore: Clone + Send + Sync + 'static {
    /// Resolves to the session, or to nothing.
    type Get: Future<Output = Result<Option<Session>, StoreError>> + Send;
    /// Resolves to what became of an insert.
    type Insert: Future<Output = Result<Inserted, StoreError>> + Send;
    /// Resolves to what became of a replace.
    type Replace: Future<Output = Result<Replaced, StoreError>> + Send;
    /// Resolves when the record is gone.
    type Remove: Future<Output = Result<(), StoreError>> + Send;
    /// Resolves to whether the record that was seen is gone by this.
    type RemoveIfUnchanged: Future<Output = Result<bool, StoreError>> + Send;

    /// Finds a live session and restarts its idle time. Absent, expired and ended sessions look the same.
    fn get(&self, key: Key<'_>) -> Answer<Result<Option<Session>, StoreError>, Self::Get>;

    /// Adds a record unless the key has one, or had one that ended within the last minute.
    fn insert_if_absent(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Result<Inserted, StoreError>, Self::Insert>;

    /// Replaces the record of a live session if its version is still `seen`. It never creates one, so an
    /// ended session stays ended. The age still counts from the insert.
    fn replace(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
        record: Record,
    ) -> Answer<Result<Replaced, StoreError>, Self::Replace>;

    /// Ends a session regardless of its version, and for a minute prevents a late insert from bringing it
    /// back. For a client that ends its session.
    fn remove(&self, key: Key<'_>) -> Answer<Result<(), StoreError>, Self::Remove>;

    /// Ends a session as [`Self::remove`] does, if its version is still `seen`; returns whether it did. For
    /// evidence from a response, which is about the record that its request saw. A session that has since
    /// moved to another backend stays, and an absent, expired or ended one leaves nothing behind.
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

    /// Whether the store answers at the moment. A hint, used together with [`Self::has_room`]: a session that
    /// a backend opens but the store cannot keep would have to be ended again. Default: it does.
    fn answers(&self) -> bool {
        true
    }
}

/// Counts live sessions by backend, for balancing and draining. Approximate where many replicas share
/// a store.
pub trait CountSessions: Send + Sync {
    /// How many sessions are bound to `backend`.
    fn sessions_on(&self, backend: &BackendId) -> usize;
}
