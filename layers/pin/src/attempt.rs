//! New work on its way to one backend after another.

use std::sync::Arc;

use bartizan_core::{BackendId, Passage, Session, Work, backend::Tried};
use http::{Request, request::Parts};
use http_body::Body;
use tokio::time::Instant;

use super::OwnedKey;
use crate::{
    ReclaimableBody,
    backends::{Opening, Slot},
    layer::Config,
    reclaimable::Reclaim,
};

/// New work on its way to a backend, with what a second try at another one needs.
pub(crate) struct Attempt<S, B, K, T> {
    pub(super) config: Arc<Config<K, T>>,
    // Counts as load for as long as the work is on its way.
    pub(super) opening: Opening,
    pub(super) key: Option<OwnedKey>,
    /// The pin of the key, if its backend was lost.
    pub(super) moving: Option<Session>,
    // Not polled ready.
    service: S,
    head: Parts,
    reclaim: Reclaim<B>,
    work: Work,
    // Without the backend of `opening`.
    tried: Vec<BackendId>,
    begun: Instant,
}

impl<S, B: Body, K, T> Attempt<S, B, K, T> {
    /// Addresses `request` to the backend of `opening`.
    pub(super) fn begin(
        service: S,
        config: Arc<Config<K, T>>,
        request: Request<B>,
        opening: Opening,
        key: Option<OwnedKey>,
        moving: Option<Session>,
    ) -> (Self, Request<ReclaimableBody<B>>) {
        let (head, body) = request.into_parts();
        let (lent, reclaim) = ReclaimableBody::lend(body);
        let attempt = Self {
            config,
            key,
            moving,
            service,
            reclaim,
            work: head.extensions.get().map(Passage::work).unwrap_or_default(),
            head,
            tried: Vec::new(),
            begun: Instant::now(),
            opening,
        };
        let request = attempt.request(lent);
        (attempt, request)
    }

    /// Turns to another backend, if nobody has touched the request, time is left and there is one.
    pub(super) fn turn(&mut self) -> Option<Request<ReclaimableBody<B>>> {
        if self.begun.elapsed() >= self.config.failover_within {
            return None;
        }
        let body = self.reclaim.take_back()?;
        self.tried.push(self.slot().backend().id().clone());
        let account = self.head.extensions.get().and_then(Passage::tried).cloned();
        let mut tried = account.as_ref().map(Tried::snapshot).unwrap_or_default();
        tried.extend_from_slice(&self.tried);
        let key = self.key.as_ref().map(|key| &*key.bytes);
        let config = &self.config;
        let opening = config.backends.choose(&*config.balance, self.work, key, &tried)?;
        if let Some(account) = account {
            account.add(opening.slot().backend().id());
        }
        let (lent, reclaim) = ReclaimableBody::lend(body);
        self.reclaim = reclaim;
        self.opening = opening;
        Some(self.request(lent))
    }

    pub(super) fn slot(&self) -> &Slot {
        self.opening.slot()
    }

    /// Where the work is open, if what comes of it may be on its way to a store when a drain looks for
    /// what is left.
    pub(super) fn opened(&self) -> Option<Opening> {
        let matters = self.work != Work::Free && self.config.backends.are_counted();
        matters.then(|| self.opening.clone())
    }

    pub(crate) fn service(&mut self) -> &mut S {
        &mut self.service
    }

    fn request(&self, lent: ReclaimableBody<B>) -> Request<ReclaimableBody<B>> {
        let mut request = Request::from_parts(self.head.clone(), lent);
        Passage::with(&mut request, |passage| passage.set_backend(self.slot().backend().clone()));
        request
    }
}
