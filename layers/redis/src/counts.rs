//! How many sessions there are on each backend, over all replicas.
//!
//! ```text
//! prefix ":backends"        the set of ids of backends that sessions were opened on
//! prefix ":on:" id          a sorted set: half of each session's digest, by when it idles out (ms)
//! ```
//!
//! Approximate on purpose: the sets are written beside the sessions and not with them, and read every
//! second; what this replica opens in between is added to what was read. A session that ends without a
//! word falls out of its set when its idle time is over, so that no error lasts.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bartizan_core::BackendId;
use fred::interfaces::ClientLike;
use fred::{
    clients::{Client, WithOptions},
    error::Error,
    interfaces::{SetsInterface, SortedSetsInterface},
    types::{ClusterHash, CustomCommand, Value},
};

use crate::digest::Digest;

/// What was counted last.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<HashMap<BackendId, Count>>);

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    read: usize,
    /// Opened here since, less what ended.
    since: isize,
}

/// Stands for sessions that are bound to no backend.
const NONE: &str = "-";

impl Counts {
    pub(crate) fn on(&self, backend: &BackendId) -> usize {
        self.lock().get(backend).copied().map_or(0, Count::now)
    }

    pub(crate) fn total(&self) -> usize {
        self.lock().values().copied().map(Count::now).sum()
    }

    /// A session was opened on `backend` here.
    pub(crate) fn opened(&self, backend: Option<&BackendId>) {
        self.change(backend, 1);
    }

    /// A session on `backend` ended here.
    pub(crate) fn ended(&self, backend: Option<&BackendId>) {
        self.change(backend, -1);
    }

    fn change(&self, backend: Option<&BackendId>, by: isize) {
        if let Some(id) = backend.cloned().or_else(|| BackendId::new(NONE).ok()) {
            self.lock().entry(id).or_default().since += by;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BackendId, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Count {
    fn now(self) -> usize {
        self.read.saturating_add_signed(self.since)
    }
}

fn backends_key(prefix: &str) -> String {
    format!("{prefix}:backends")
}

fn sessions_key(prefix: &str, backend: &str) -> String {
    format!("{prefix}:on:{backend}")
}

/// Writes that a session on `backend` idles out at `until_ms`.
pub(crate) async fn add(
    client: &WithOptions<Client>,
    prefix: &str,
    backend: Option<&BackendId>,
    digest: Digest,
    until_ms: u64,
) -> Result<(), Error> {
    let backend = backend.map_or(NONE, BackendId::as_str);
    let member = Value::Bytes(digest.short().into());
    let key = sessions_key(prefix, backend);
    let (): () = client.zadd(key, None, None, false, false, (until_ms as f64, member)).await?;
    client.sadd(backends_key(prefix), backend).await
}

/// Writes that a session on `backend` has ended.
pub(crate) async fn take(
    client: &WithOptions<Client>,
    prefix: &str,
    backend: Option<&BackendId>,
    digest: Digest,
) -> Result<(), Error> {
    let key = sessions_key(prefix, backend.map_or(NONE, BackendId::as_str));
    client.zrem(key, Value::Bytes(digest.short().into())).await
}

/// Reads all counts at `server_ms`, and sweeps what has idled out.
pub(crate) async fn refresh(
    client: &WithOptions<Client>,
    prefix: &str,
    server_ms: u64,
    counts: &Counts,
) -> Result<(), Error> {
    let backends: Vec<String> = client.smembers(backends_key(prefix)).await?;
    let mut read = HashMap::new();
    for backend in backends {
        let Ok(id) = BackendId::new(&backend) else { continue };
        let key = sessions_key(prefix, &backend);
        let sweep = CustomCommand::new_static("ZREMRANGEBYSCORE", ClusterHash::FirstKey, false);
        let args: Vec<Value> =
            vec![key.clone().into(), "-inf".into(), server_ms.to_string().into()];
        let (): () = client.custom(sweep, args).await?;
        let count: usize = client.zcard(key.clone()).await?;
        if count == 0 {
            // One that is gone for good must not be asked about for ever; the next session adds it again.
            let (): () = client.srem(backends_key(prefix), backend).await?;
        }
        read.insert(id, Count { read: count, since: 0 });
    }
    *counts.lock() = read;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_opened_and_ended_here_counts_at_once() {
        let counts = Counts::default();
        let backend: BackendId = "b".parse().unwrap();
        counts.opened(Some(&backend));
        counts.opened(Some(&backend));
        counts.opened(None);
        counts.ended(Some(&backend));
        assert_eq!((counts.on(&backend), counts.total()), (1, 2));
        counts.ended(Some(&backend));
        counts.ended(Some(&backend));
        assert_eq!(counts.on(&backend), 0, "never below zero");
    }
}
