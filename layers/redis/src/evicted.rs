//! Sessions that an insert has evicted, on their way to a layer that ends them at their backends.
//!
//! ```text
//! prefix ":evicted:{all}"   a sorted set: digests of sessions that another replica evicted, by when they are forgotten (ms)
//! ```
//!
//! The server does not know ids, so only a replica that has read or opened a session can end it at its backend. A
//! replica that evicts a session that it does not know leaves a note for the others, for ten seconds. While the store
//! is nearly full, each replica reads these notes once a second, and ends the sessions that it knows with its next
//! opening. A session that no replica knows is left to its backend's own expiry.

use std::sync::Arc;

use bartizan_core::{Session, StoreError};
use bytes::Bytes;
use fred::{
    clients::{Client, WithOptions},
    interfaces::SortedSetsInterface,
    types::Value,
};
use futures_util::FutureExt;

use crate::{
    codec::{self, Stored},
    counts::{self, sweep},
    digest::Digest,
    script,
    shared::Shared,
    store::number,
};

/// How long a note stays.
const WORD_MS: u64 = 10_000;
/// How many notes are read in one round.
const AT_ONCE: i64 = 1_000;

fn word_key(prefix: &str) -> String {
    format!("{prefix}:evicted:{{all}}")
}

impl Shared {
    /// Handles `sessions` that an insert of this replica has evicted: each with its member of the list and its value,
    /// which is empty if the session is on another node and was not removed yet.
    pub(crate) fn were_evicted(
        self: &Arc<Self>,
        client: &WithOptions<Client>,
        sessions: Vec<(Bytes, Bytes)>,
    ) {
        for (listed, value) in sessions {
            let Some(digest) = Digest::of_bytes(&listed) else { continue };
            let known = self.forget_evicted(digest);
            let is_known = known.is_some();
            self.numbers.evicted(known.as_ref());
            // At once, because the layer asks for evicted sessions when the insert is done.
            known.into_iter().for_each(|session| self.evicted.add(session));
            let (shared, client) = (Arc::clone(self), client.clone());
            self.runtime.spawn(async move {
                let value = match value.is_empty() {
                    true => shared.evict(&client, digest).await?,
                    false => value,
                };
                shared.uncount_evicted(&client, digest, &value).await?;
                if !is_known {
                    shared.leave_word(&client, digest).await?;
                }
                Ok::<_, StoreError>(())
            });
        }
    }

    /// Takes sessions that others have evicted and this replica knows.
    pub(crate) async fn look_for_evicted(
        &self,
        client: &WithOptions<Client>,
        server_ms: u64,
    ) -> Result<(), fred::error::Error> {
        let key = word_key(&self.prefix);
        sweep(client, &key, server_ms).await?;
        let listed: Vec<Bytes> =
            client.zrange(&*key, 0, AT_ONCE - 1, None, false, None, false).await?;
        for bytes in listed {
            let Some(digest) = Digest::of_bytes(&bytes) else { continue };
            // The replica that removes the note ends the session.
            if self.near.peek(&digest).is_some_and(|entry| entry.session().is_some())
                && client.zrem::<i64, _, _>(&*key, Value::Bytes(bytes)).await? == 1
                && let Some(session) = self.forget_evicted(digest)
            {
                // In a flood, the session may have been counted on its backend after it was
                // evicted.
                let backend = session.record().backend();
                counts::leave(client, &self.prefix, backend, digest).await?;
                self.evicted.add(session);
            }
        }
        Ok(())
    }

    /// Ends the session under `digest`; returns it, if it is known here.
    fn forget_evicted(&self, digest: Digest) -> Option<Session> {
        let session = self.near.peek(&digest).and_then(|entry| entry.session().cloned());
        self.near.forget(&digest);
        session
    }

    /// Removes an evicted session that is on another node; returns its value.
    async fn evict(
        &self,
        client: &WithOptions<Client>,
        digest: Digest,
    ) -> Result<Bytes, StoreError> {
        let name = digest.name(&self.prefix);
        self.within(self.scripts.evict.run(client, &[&name], &[]).boxed()).await
    }

    async fn uncount_evicted(
        &self,
        client: &WithOptions<Client>,
        digest: Digest,
        value: &[u8],
    ) -> Result<(), StoreError> {
        let Ok(Stored::Live(live)) = codec::decode(value) else { return Ok(()) };
        let backend = live.record.backend();
        self.counts.ended(backend);
        self.within(counts::leave(client, &self.prefix, backend, digest).boxed()).await
    }

    async fn leave_word(
        &self,
        client: &WithOptions<Client>,
        digest: Digest,
    ) -> Result<(), StoreError> {
        let key = word_key(&self.prefix);
        let until_ms = self.now().1.saturating_add(WORD_MS);
        let args = [number(until_ms), number(WORD_MS), script::bytes(digest.as_bytes().to_vec())];
        let _: i64 = self.within(self.scripts.list.run(client, &[&key], &args).boxed()).await?;
        Ok(())
    }
}
