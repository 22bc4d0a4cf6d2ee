//! The store: what each operation decides.

use std::{
    error::Error,
    fmt, mem,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use bartizan::{
    BackendId, Principal, Route, Session,
    core::{
        Answer, Key, Record, SessionStore, StoreError,
        store::{
            CountSessions, Inserted, LiveSessions, OwnedKey, RecordVersion, Replaced,
            StoreErrorKind, StoredRecord, StoredSession,
        },
    },
};
use rusqlite::{Connection, TransactionBehavior};

use crate::{
    changes::Changes,
    counts::Counts,
    rows::{self, LiveRow, Row, RowKey, millis},
};

/// How long a statement may wait for the lock of the database.
const BUSY: Duration = Duration::from_millis(200);

/// Sessions in a SQLite database that one process uses at a time. Clones share it.
#[derive(Clone)]
pub struct SqliteStore(Arc<Shared>);

struct Shared {
    connection: Mutex<Connection>,
    /// The sessions that calls and streams of this process are using, which the database does not know.
    live: LiveSessions,
    /// Sessions whose last use is yet to be written. A session is added at most eight times per
    /// idle time.
    touched: Mutex<Vec<Session>>,
    counts: Counts,
    max_sessions: usize,
    /// Milliseconds since 1970: sessions outlive the process, so their times must not depend on
    /// when it started.
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// The error if a database cannot be opened.
#[derive(Debug)]
pub struct OpenError(StoreError);

/// The futures of the store. SQLite blocks, so it runs on tokio's blocking threads.
type Later<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

impl SqliteStore {
    /// Opens or creates the database at `path`, for at most `max_sessions`.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, or is not a database.
    pub fn open(path: &Path, max_sessions: usize) -> Result<Self, OpenError> {
        Self::with_clock(path, max_sessions, || {
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, millis)
        })
    }

    /// The same with another clock, for tests.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, or is not a database.
    pub fn with_clock(
        path: &Path,
        max_sessions: usize,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        rows::create(&connection)?;
        let counts = Counts::default();
        rows::all_backends(&connection)?.into_iter().for_each(|backend| counts.add(backend));
        let shared = Shared {
            connection: Mutex::new(connection),
            live: LiveSessions::default(),
            touched: Mutex::default(),
            counts,
            max_sessions,
            clock: Box::new(clock),
        };
        Ok(Self(Arc::new(shared)))
    }

    /// Records that held sessions are in use, and deletes expired ones. Call it once a second.
    ///
    /// # Errors
    ///
    /// If the database does not answer; the next call catches up.
    ///
    /// # Cancellation
    ///
    /// Once started, it runs to the end.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        self.blocking(|shared| {
            let work = |connection: &Connection, changes: &mut Changes, now_ms| {
                shared.sweep(connection, changes, now_ms)
            };
            shared.within(work, |()| ())
        })
        .await
    }

    /// Runs `work` on a thread that may block.
    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Later<T> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let working = tokio::task::spawn_blocking(move || work(&shared));
            working
                .await
                .map_err(|error| StoreError::with_source(StoreErrorKind::Unavailable, error))?
        })
    }
}

impl SessionStore for SqliteStore {
    type Get = Later<Option<Session>>;
    type Insert = Later<Inserted>;
    type Replace = Later<Replaced>;
    type Remove = Later<()>;
    type RemoveIfUnchanged = Later<bool>;

    fn get(&self, key: Key<'_>) -> Answer<Result<Option<Session>, StoreError>, Self::Get> {
        let key = OwnedKey::from(key);
        Answer::Later(self.blocking(move |shared| {
            let work = |connection: &Connection, changes: &mut Changes, now_ms| {
                shared.get(connection, changes, key.as_key(), now_ms)
            };
            shared.within(work, |found| found)
        }))
    }

    fn insert_if_absent(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Result<Inserted, StoreError>, Self::Insert> {
        let key = OwnedKey::from(key);
        Answer::Later(self.blocking(move |shared| {
            let work = |connection: &Connection, changes: &mut Changes, now_ms| {
                shared.insert(connection, changes, key.as_key(), record, now_ms)
            };
            shared.within(work, |written| match written {
                Ok(row) => Inserted::Inserted(shared.adopt(key.as_key(), row)),
                Err(outcome) => outcome,
            })
        }))
    }

    fn replace(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
        record: Record,
    ) -> Answer<Result<Replaced, StoreError>, Self::Replace> {
        let key = OwnedKey::from(key);
        Answer::Later(self.blocking(move |shared| {
            let work = |connection: &Connection, changes: &mut Changes, now_ms| {
                shared.replace(connection, changes, (key.as_key(), seen), record, now_ms)
            };
            shared.within(work, |written| match written {
                Ok(row) => Replaced::Replaced(shared.adopt(key.as_key(), row)),
                Err(outcome) => outcome,
            })
        }))
    }

    fn remove(&self, key: Key<'_>) -> Answer<Result<(), StoreError>, Self::Remove> {
        let key = OwnedKey::from(key);
        Answer::Later(self.blocking(move |shared| {
            let work = |connection: &Connection, changes: &mut Changes, now_ms| {
                shared.remove(connection, changes, key.as_key(), None, now_ms)
            };
            shared.within(work, drop)
        }))
    }

    fn remove_if_unchanged(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
    ) -> Answer<Result<bool, StoreError>, Self::RemoveIfUnchanged> {
        let key = OwnedKey::from(key);
        Answer::Later(self.blocking(move |shared| {
            let work = |connection: &Connection, changes: &mut Changes, now_ms| {
                shared.remove(connection, changes, key.as_key(), Some(seen), now_ms)
            };
            shared.within(work, |is_removed| is_removed)
        }))
    }

    fn touch(&self, session: &Session) {
        let now_ms = (self.0.clock)();
        let idle_ms = millis(session.record().idle());
        // The lookup at the start of a short call has already been recorded.
        if now_ms.saturating_sub(session.used_ms()) < idle_ms / 8 {
            return;
        }
        session.set_used_ms(now_ms);
        // A request never waits for the write: the next sweep does it.
        self.0.touched().push(session.clone());
    }

    fn has_room(&self, _: &Route, _: Option<&Principal>) -> bool {
        self.0.counts.total() < self.0.max_sessions
    }
}

/// For balancing by sessions, and for draining.
impl CountSessions for SqliteStore {
    fn sessions_on(&self, backend: &BackendId) -> usize {
        self.0.counts.on(backend)
    }
}

impl Shared {
    /// Runs `work` in one transaction, and after its commit makes the changes that `work` has noted and calls `finish`.
    /// Operations do not overlap, so that what is read reaches [`LiveSessions`] in order.
    fn within<W, T>(
        &self,
        work: impl FnOnce(&Connection, &mut Changes, u64) -> Result<W, StoreError>,
        finish: impl FnOnce(W) -> T,
    ) -> Result<T, StoreError> {
        let mut connection = self.lock();
        let mut changes = Changes::default();
        let committed = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(rows::store_error)
            .and_then(|transaction| {
                let outcome = work(&transaction, &mut changes, (self.clock)())?;
                transaction.commit().map_err(rows::store_error)?;
                Ok(outcome)
            });
        match committed {
            Ok(outcome) => {
                changes.make(&self.counts, &self.live);
                Ok(finish(outcome))
            }
            Err(error) => {
                self.touched().extend(changes.touched);
                Err(error)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic while the lock was held has rolled its transaction back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The live session of `key`. One that has expired is deleted.
    fn find(
        &self,
        connection: &Connection,
        changes: &mut Changes,
        key: Key<'_>,
        now_ms: u64,
    ) -> Result<Option<Session>, StoreError> {
        let row_key = RowKey::of(key);
        let Some(Row::Live(row)) = rows::read(connection, &row_key)? else {
            changes.end(key);
            return Ok(None);
        };
        // This process may know more than the row: a call or a stream may be open, or a recent use not be written yet.
        // The row was stored before this transaction, so it counts whatever becomes of that.
        let session = self.adopt(key, row);
        if session.is_expired(now_ms) {
            rows::delete(connection, &row_key)?;
            changes.take(session.record().backend().cloned());
            changes.end(key);
            return Ok(None);
        }
        Ok(Some(session))
    }

    fn adopt(&self, key: Key<'_>, row: LiveRow) -> Session {
        let used_ms = row.idle_until_ms.saturating_sub(millis(row.record.idle()));
        let stored = StoredRecord::new(row.record, row.version.into(), row.born_ms);
        self.live.adopt(key, stored.used_ms(used_ms))
    }

    fn get(
        &self,
        connection: &Connection,
        changes: &mut Changes,
        key: Key<'_>,
        now_ms: u64,
    ) -> Result<Option<Session>, StoreError> {
        let found = self.find(connection, changes, key, now_ms)?;
        let Some(session) = found else { return Ok(None) };
        session.set_used_ms(now_ms);
        let idle_until_ms = now_ms.saturating_add(millis(session.record().idle()));
        rows::write_use(connection, &RowKey::of(key), idle_until_ms)?;
        Ok(Some(session))
    }

    /// The row that it writes, or why it writes none.
    fn insert(
        &self,
        connection: &Connection,
        changes: &mut Changes,
        key: Key<'_>,
        record: Record,
        now_ms: u64,
    ) -> Result<Result<LiveRow, Inserted>, StoreError> {
        if let Some(session) = self.find(connection, changes, key, now_ms)? {
            return Ok(Err(Inserted::Exists(session)));
        }
        let row_key = RowKey::of(key);
        if let Some(Row::Ended { until_ms }) = rows::read(connection, &row_key)?
            && now_ms < until_ms
        {
            return Ok(Err(Inserted::Ended));
        }
        if !self.has_room(changes) {
            self.sweep(connection, changes, now_ms)?;
        }
        if !self.has_room(changes) {
            return Ok(Err(Inserted::Full));
        }
        let row = LiveRow::new(record, RecordVersion::FIRST.get(), now_ms, now_ms);
        rows::write(connection, &row_key, &row)?;
        changes.add(row.record.backend().cloned());
        Ok(Ok(row))
    }

    fn has_room(&self, changes: &Changes) -> bool {
        changes.total(self.counts.total()) < self.max_sessions
    }

    /// The row that it writes, or why it writes none.
    fn replace(
        &self,
        connection: &Connection,
        changes: &mut Changes,
        (key, seen): (Key<'_>, RecordVersion),
        record: Record,
        now_ms: u64,
    ) -> Result<Result<LiveRow, Replaced>, StoreError> {
        let found = self.find(connection, changes, key, now_ms)?;
        let Some(session) = found else { return Ok(Err(Replaced::Gone)) };
        if session.version() != seen {
            return Ok(Err(Replaced::Changed(session)));
        }
        // The age still counts from the insert.
        let born_ms = session.born_ms();
        let row = LiveRow::new(record, seen.next().get(), born_ms, session.used_ms());
        rows::write(connection, &RowKey::of(key), &row)?;
        changes.take(session.record().backend().cloned());
        changes.add(row.record.backend().cloned());
        Ok(Ok(row))
    }

    /// Ends a session and leaves a tombstone: in any version, or only if its version is `seen`.
    fn remove(
        &self,
        connection: &Connection,
        changes: &mut Changes,
        key: Key<'_>,
        seen: Option<RecordVersion>,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let there = self.find(connection, changes, key, now_ms)?;
        let is_seen = there.as_ref().is_some_and(|session| Some(session.version()) == seen);
        if seen.is_some() && !is_seen {
            return Ok(false);
        }
        rows::write_end(connection, &RowKey::of(key), now_ms)?;
        if let Some(session) = there {
            changes.take(session.record().backend().cloned());
        }
        changes.end(key);
        Ok(true)
    }

    fn sweep(
        &self,
        connection: &Connection,
        changes: &mut Changes,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        changes.touched = mem::take(&mut *self.touched());
        self.write_uses(connection, changes, now_ms)?;
        let gone = rows::sweep(connection, now_ms)?;
        gone.into_iter().for_each(|backend| changes.take(backend));
        Ok(())
    }

    /// Writes the last use of sessions that were touched or are held.
    fn write_uses(
        &self,
        connection: &Connection,
        changes: &mut Changes,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let mut used = self.live.held();
        used.extend(changes.touched.iter().cloned());
        for session in used {
            if session.is_ended() {
                continue;
            }
            // For a held session, this records a use.
            if session.is_expired(now_ms) {
                changes.end(session.key());
                continue;
            }
            let idle_until_ms = session.used_ms().saturating_add(millis(session.record().idle()));
            rows::write_use(connection, &RowKey::of(session.key()), idle_until_ms)?;
        }
        Ok(())
    }

    fn touched(&self) -> MutexGuard<'_, Vec<Session>> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        rows::store_error(error).into()
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the database of sessions cannot be opened")
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("sessions", &self.0.counts.total())
            .finish_non_exhaustive()
    }
}
