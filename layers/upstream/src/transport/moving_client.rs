//! hyper-util's client, for backends whose name may change its address.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use bartizan_core::Backend;
use foldhash::quality::RandomState;
use http::Request;
use hyper_util::client::legacy::{Builder, Client, ResponseFuture, connect::Connect};

use super::{address::Names, outgoing::OutgoingBody};

/// How many names have their own client; beyond that, all clients are dropped.
const MAX_MOVED: usize = 1024;

/// A client that keeps its connections by name, as hyper-util's does. A name that has moved to another address gets a
/// new client, so that connections to the old address are not reused.
pub(super) struct MovingClient<C> {
    first: Client<C, OutgoingBody>,
    moved: RwLock<HashMap<Box<str>, Moved<C>, RandomState>>,
    names: Arc<Names>,
    builder: Builder,
    connector: C,
}

struct Moved<C> {
    epoch: u64,
    client: Client<C, OutgoingBody>,
}

impl<C> MovingClient<C>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    /// Builds clients that connect with `connector`, which fills `names`.
    pub(super) fn new(builder: Builder, connector: C, names: Arc<Names>) -> Self {
        let first = builder.build(connector.clone());
        Self { first, moved: RwLock::default(), names, builder, connector }
    }

    /// Sends `request` to `backend`.
    #[inline]
    pub(super) fn request(
        &self,
        backend: &Backend,
        request: Request<OutgoingBody>,
    ) -> ResponseFuture {
        match self.names.moved(backend.authority().as_str()) {
            None => self.first.request(request),
            Some(epoch) => self.of(backend.authority().as_str(), epoch).request(request),
        }
    }

    #[cold]
    fn of(&self, authority: &str, epoch: u64) -> Client<C, OutgoingBody> {
        let moved = self.moved.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(moved) = moved.get(authority)
            && moved.epoch >= epoch
        {
            return moved.client.clone();
        }
        drop(moved);
        let mut moved = self.moved.write().unwrap_or_else(PoisonError::into_inner);
        if moved.len() >= MAX_MOVED && !moved.contains_key(authority) {
            moved.clear();
        }
        let new = || Moved { epoch, client: self.builder.build(self.connector.clone()) };
        let entry = moved.entry(authority.into()).or_insert_with(new);
        if entry.epoch < epoch {
            *entry = new();
        }
        entry.client.clone()
    }
}

impl<C> fmt::Debug for MovingClient<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MovingClient")
    }
}
