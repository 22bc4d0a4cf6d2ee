//! How many sessions there are on each backend, over all replicas, for balancing and draining. Whether there is room
//! for one more is decided in [`room`](crate::room).
//!
//! ```text
//! prefix ":backends"        a sorted set: ids of backends, by when the last session on each idles out (ms)
//! prefix ":on:" id          a sorted set: half of each session's digest, by when it idles out (ms)
//! ```
//!
//! Approximate on purpose: the sets are written separately from the sessions and read every second; sessions that this
//! replica opens in between are added. A session whose end was not recorded falls out of its set when its idle time is
//! over, so errors do not last. The same goes for a backend, and a set expires with its last member: if no replica is
//! left, nothing stays.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bartizan_core::{BackendId, gauges::Counter};
use fred::{
    clients::{Client, WithOptions},
    error::Error,
    interfaces::{ClientLike, SortedSetsInterface},
    types::{ClusterHash, CustomCommand, Value},
};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{
    digest::Digest,
    room::Room,
    script::{self, Script},
};

/// The last count.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<HashMap<BackendId, Count>>);

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    read: usize,
    /// Sessions opened here since, minus those that ended.
    since: isize,
}

/// Stands for sessions that are bound to no backend.
const NONE: &str = "-";
/// How many backends are counted concurrently, so that the time of a refresh does not grow with each one.
const AT_ONCE: usize = 64;

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

    /// Sessions that were opened here and not read yet.
    fn since(&self) -> HashMap<BackendId, isize> {
        self.lock().iter().map(|(id, count)| (id.clone(), count.since)).collect()
    }

    /// Takes the count that was `read`. It includes sessions that were opened before the read began (`before`).
    /// Sessions opened during the read may be missing, and are added until the next read.
    fn take_in(&self, read: HashMap<BackendId, usize>, before: &HashMap<BackendId, isize>) {
        let mut counts = self.lock();
        for (id, count) in counts.iter_mut() {
            count.read = 0;
            count.since -= before.get(id).copied().unwrap_or(0);
        }
        for (id, read) in read {
            counts.entry(id).or_default().read = read;
        }
        counts.retain(|_, count| count.read != 0 || count.since != 0);
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

/// The sets that a session on `backend` is in, with those of its `places`: in groups that one script may reach.
fn groups(prefix: &str, backend: &str, places: &[String], is_clustered: bool) -> Vec<Vec<String>> {
    let own = sessions_key(prefix, backend);
    match (is_clustered, places) {
        (_, []) => vec![vec![own]],
        (true, places) => vec![vec![own], places.to_vec()],
        (false, places) => vec![std::iter::once(own).chain(places.iter().cloned()).collect()],
    }
}

/// Records with `list` that a session on `backend` idles out at `until_ms`, which is `left_ms` from now.
pub(crate) async fn add(
    client: &WithOptions<Client>,
    list: &Script,
    (prefix, is_clustered): (&str, bool),
    (backend, places): (Option<&BackendId>, &[String]),
    digest: Digest,
    (until_ms, left_ms): (u64, u64),
) -> Result<(), Error> {
    let backend = backend.map_or(NONE, BackendId::as_str);
    let args = |member: Value| [until_ms.to_string().into(), left_ms.to_string().into(), member];
    let member = args(script::bytes(digest.short()));
    for keys in groups(prefix, backend, places, is_clustered) {
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        let (): () = list.run(client, &keys, &member).await?;
    }
    list.run(client, &[&backends_key(prefix)], &args(backend.into())).await
}

/// Records with `unlist` that a session on `backend` has ended.
pub(crate) async fn take(
    client: &WithOptions<Client>,
    unlist: &Script,
    (prefix, is_clustered): (&str, bool),
    (backend, places): (Option<&BackendId>, &[String]),
    digest: Digest,
) -> Result<(), Error> {
    let backend = backend.map_or(NONE, BackendId::as_str);
    for keys in groups(prefix, backend, places, is_clustered) {
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        let (): () = unlist.run(client, &keys, &[script::bytes(digest.short())]).await?;
    }
    Ok(())
}

/// Records that a session has moved from `backend` to another.
pub(crate) async fn leave(
    client: &WithOptions<Client>,
    prefix: &str,
    backend: Option<&BackendId>,
    digest: Digest,
) -> Result<(), Error> {
    let key = sessions_key(prefix, backend.map_or(NONE, BackendId::as_str));
    client.zrem(key, Value::Bytes(digest.short().into())).await
}

/// Reads all counts at `server_ms`, and removes sessions that have idled out.
pub(crate) async fn refresh(
    client: &WithOptions<Client>,
    prefix: &str,
    server_ms: u64,
    (counts, room): (&Counts, &Room),
    expired: &Counter,
) -> Result<(), Error> {
    let all = room.all();
    expired.add(sweep(client, &all, server_ms).await?);
    let sessions = client.zcard(all).await?;
    let unconfirmed = if room.is_pressed(sessions) { client.zcard(room.list()).await? } else { 0 };
    room.counted_all(sessions, unconfirmed);
    let before = counts.since();
    let key = backends_key(prefix);
    sweep(client, &key, server_ms).await?;
    let backends: Vec<String> = client.zrange(key, 0, -1, None, false, None, false).await?;
    let backends: Vec<_> = backends.iter().filter_map(|id| BackendId::new(id).ok()).collect();
    let read = stream::iter(backends)
        .map(|id| count(client, prefix, id, server_ms))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    counts.take_in(read, &before);
    Ok(())
}

async fn count(
    client: &WithOptions<Client>,
    prefix: &str,
    id: BackendId,
    server_ms: u64,
) -> Result<(BackendId, usize), Error> {
    let key = sessions_key(prefix, id.as_str());
    sweep(client, &key, server_ms).await?;
    let count: usize = client.zcard(key).await?;
    Ok((id, count))
}

/// Removes from the sorted set at `key` the members that were valid until `server_ms`. Returns their number: of several
/// replicas that sweep at once, each member is reported to one.
pub(crate) async fn sweep(
    client: &WithOptions<Client>,
    key: &str,
    server_ms: u64,
) -> Result<u64, Error> {
    let sweep = CustomCommand::new_static("ZREMRANGEBYSCORE", ClusterHash::FirstKey, false);
    let args: [Value; 3] = [key.into(), "-inf".into(), server_ms.to_string().into()];
    client.custom(sweep, args.to_vec()).await
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

    #[test]
    fn what_is_opened_while_the_counts_are_read_is_not_lost() {
        let counts = Counts::default();
        let [a, b, c]: [BackendId; 3] = ["a", "b", "c"].map(|id| id.parse().unwrap());
        counts.opened(Some(&a));
        counts.opened(Some(&c));
        counts.ended(Some(&c));
        let before = counts.since();
        counts.opened(Some(&a));
        counts.opened(Some(&b));
        counts.take_in(HashMap::from([(a.clone(), 5)]), &before);
        assert_eq!((counts.on(&a), counts.on(&b), counts.total()), (6, 1, 7));
        let before = counts.since();
        counts.take_in(HashMap::from([(a.clone(), 6), (b.clone(), 1)]), &before);
        assert_eq!((counts.on(&a), counts.on(&b), counts.total()), (6, 1, 7));
        let before = counts.since();
        counts.take_in(HashMap::new(), &before);
        assert_eq!((counts.on(&a), counts.total()), (0, 0));
        assert!(counts.lock().is_empty(), "a backend that is gone is forgotten");
    }
}
