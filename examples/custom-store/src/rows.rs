//! The table: one function for each statement.
//!
//! A row without a record is a tombstone: its session has ended, and must not come back until `over_ms`.

use bartizan::{
    BackendId,
    core::{Key, Record, StoreError, store::StoreErrorKind},
};
use rusqlite::{Connection, Error, ErrorCode, OptionalExtension, params, types::Type};
use sha2::{Digest, Sha256};

/// How long a tombstone is kept, in milliseconds.
const TOMBSTONE_MS: u64 = 60_000;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS sessions (
        key           BLOB PRIMARY KEY,
        record        BLOB,
        version       INTEGER NOT NULL,
        born_ms       INTEGER NOT NULL,
        idle_until_ms INTEGER NOT NULL,
        over_ms       INTEGER NOT NULL,
        backend       TEXT
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS sessions_by_idle ON sessions (idle_until_ms);
    CREATE INDEX IF NOT EXISTS sessions_by_over ON sessions (over_ms);
";

/// The hash by which a session is found, so that a copy of the database reveals no usable id.
pub(crate) struct RowKey([u8; 32]);

/// What is stored under a key.
pub(crate) enum Row {
    Live(LiveRow),
    /// A tombstone, and when it expires.
    Ended {
        until_ms: u64,
    },
}

pub(crate) struct LiveRow {
    pub(crate) record: Record,
    pub(crate) version: u32,
    pub(crate) born_ms: u64,
    pub(crate) idle_until_ms: u64,
    pub(crate) over_ms: u64,
}

impl RowKey {
    pub(crate) fn of(key: Key<'_>) -> Self {
        let mut hash = Sha256::new();
        key.feed(|part| hash.update(part));
        Self(hash.finalize().into())
    }
}

impl LiveRow {
    /// A row for a session that was inserted at `born_ms` and last used at `used_ms`.
    pub(crate) fn new(record: Record, version: u32, born_ms: u64, used_ms: u64) -> Self {
        let idle_until_ms = used_ms.saturating_add(millis(record.idle()));
        let over_ms = born_ms.saturating_add(millis(record.lifetime()));
        Self { record, version, born_ms, idle_until_ms, over_ms }
    }
}

pub(crate) fn create(connection: &Connection) -> Result<(), Error> {
    connection.execute_batch(SCHEMA)
}

pub(crate) fn read(connection: &Connection, key: &RowKey) -> Result<Option<Row>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT record, version, born_ms, idle_until_ms, over_ms FROM sessions WHERE key = ?",
        )
        .map_err(store_error)?;
    let columns = statement.query_row([&key.0], |row| {
        Ok((
            row.get::<_, Option<Vec<u8>>>(0)?,
            row.get::<_, u32>(1)?,
            row.get::<_, u64>(2)?,
            row.get::<_, u64>(3)?,
            row.get::<_, u64>(4)?,
        ))
    });
    let Some((record, version, born_ms, idle_until_ms, over_ms)) =
        columns.optional().map_err(store_error)?
    else {
        return Ok(None);
    };
    let Some(record) = record else { return Ok(Some(Row::Ended { until_ms: over_ms })) };
    let record = Record::from_bytes(&record)?;
    Ok(Some(Row::Live(LiveRow { record, version, born_ms, idle_until_ms, over_ms })))
}

pub(crate) fn write(
    connection: &Connection,
    key: &RowKey,
    row: &LiveRow,
) -> Result<(), StoreError> {
    let backend = row.record.backend().map(BackendId::as_str);
    let mut statement = connection
        .prepare_cached(
            "INSERT OR REPLACE INTO sessions
                 (key, record, version, born_ms, idle_until_ms, over_ms, backend)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .map_err(store_error)?;
    let columns = params![
        &key.0,
        row.record.to_bytes(),
        row.version,
        row.born_ms,
        row.idle_until_ms,
        row.over_ms,
        backend
    ];
    statement.execute(columns).map(drop).map_err(store_error)
}

/// Restarts the idle time; a session that has ended stays ended.
pub(crate) fn write_use(
    connection: &Connection,
    key: &RowKey,
    idle_until_ms: u64,
) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached(
            "UPDATE sessions SET idle_until_ms = max(idle_until_ms, ?)
             WHERE key = ? AND record IS NOT NULL",
        )
        .map_err(store_error)?;
    statement.execute(params![idle_until_ms, &key.0]).map(drop).map_err(store_error)
}

/// Leaves a tombstone, whatever was there.
pub(crate) fn write_end(
    connection: &Connection,
    key: &RowKey,
    now_ms: u64,
) -> Result<(), StoreError> {
    let until_ms = now_ms.saturating_add(TOMBSTONE_MS);
    let mut statement = connection
        .prepare_cached(
            "INSERT OR REPLACE INTO sessions (key, version, born_ms, idle_until_ms, over_ms)
             VALUES (?, 0, 0, ?, ?)",
        )
        .map_err(store_error)?;
    statement.execute(params![&key.0, until_ms, until_ms]).map(drop).map_err(store_error)
}

pub(crate) fn delete(connection: &Connection, key: &RowKey) -> Result<(), StoreError> {
    connection
        .execute("DELETE FROM sessions WHERE key = ?", [&key.0])
        .map(drop)
        .map_err(store_error)
}

/// Deletes expired sessions and old tombstones. Returns the backend of each deleted session.
pub(crate) fn sweep(
    connection: &Connection,
    now_ms: u64,
) -> Result<Vec<Option<BackendId>>, StoreError> {
    backends(
        connection,
        "DELETE FROM sessions WHERE idle_until_ms <= ?1 OR over_ms <= ?1
         RETURNING record IS NOT NULL, backend",
        params![now_ms],
    )
}

/// The backend of each session.
pub(crate) fn all_backends(connection: &Connection) -> Result<Vec<Option<BackendId>>, StoreError> {
    backends(connection, "SELECT record IS NOT NULL, backend FROM sessions", params![])
}

fn backends(
    connection: &Connection,
    statement: &str,
    params: &[&dyn rusqlite::ToSql],
) -> Result<Vec<Option<BackendId>>, StoreError> {
    let mut statement = connection.prepare_cached(statement).map_err(store_error)?;
    let rows = statement.query_map(params, |row| {
        let backend = row.get::<_, Option<String>>(1)?.map(|id| BackendId::new(&id)).transpose();
        let backend = backend
            .map_err(|error| Error::FromSqlConversionFailure(1, Type::Text, Box::new(error)))?;
        Ok(row.get::<_, bool>(0)?.then_some(backend))
    });
    let rows = rows.map_err(store_error)?.collect::<Result<Vec<_>, _>>().map_err(store_error)?;
    Ok(rows.into_iter().flatten().collect())
}

/// An error is never "absent": the client gets a 503, and keeps its session.
pub(crate) fn store_error(error: Error) -> StoreError {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreErrorKind::Timeout,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreErrorKind::Corrupt,
        _ => StoreErrorKind::Unavailable,
    };
    StoreError::with_source(kind, error)
}

pub(crate) fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
