//! New work that tries one backend after another.

use std::sync::Arc;

use bartizan_core::{
    BackendId, ClientAddr, Dialect, Passage, PeerAddr, Session, Work, backend::Tried,
    refusal::ReturnedBody,
};
use http::{Request, Response, request::Parts};
use tokio::time::Instant;

use crate::{
    affinity::SetCookie,
    backends::{Client, InFlight, Slot, Ticket},
    bounds::Incoming,
    config::Config,
    kept_key::KeptKey,
    outcome::Outcome,
    reclaimable::{Reclaim, ReclaimableBody},
};

/// A backend that was chosen for work.
pub(crate) struct Choice {
    /// The backend. Counts as load while the work is in flight.
    pub(crate) in_flight: InFlight,
    /// The key of the request.
    pub(crate) key: Option<KeptKey>,
    /// The pin of the key, if its backend was lost.
    pub(crate) moving: Option<Session>,
    /// How the response sets the cookie, if the cookie may pin the work.
    pub(crate) cookie: Option<SetCookie>,
}

/// New work in flight to a backend, with everything that a second attempt at another one needs.
pub(crate) struct Attempt<S, B, K, T> {
    pub(crate) config: Arc<Config<K, T>>,
    pub(crate) choice: Choice,
    // Not polled ready.
    service: S,
    head: Parts,
    reclaim: Reclaim<B>,
    work: Work,
    ticket: Ticket,
    // The request without the backend of `choice`.
    tried: Vec<BackendId>,
    begun: Instant,
}

impl<S, B: Incoming, K, T> Attempt<S, B, K, T> {
    /// Addresses `request` to the backend of `choice`.
    pub(crate) fn begin(
        service: S,
        config: Arc<Config<K, T>>,
        request: Request<B>,
        choice: Choice,
    ) -> (Self, Request<ReclaimableBody<B>>) {
        let (head, body) = request.into_parts();
        let (lent, reclaim) = ReclaimableBody::lend(body);
        let work = head.extensions.get().map(Passage::work).unwrap_or_default();
        let attempt = Self {
            ticket: config.backends.sent(choice.in_flight.slot(), work),
            config,
            choice,
            service,
            reclaim,
            work,
            head,
            tried: Vec::new(),
            begun: Instant::now(),
        };
        let request = attempt.request(lent);
        (attempt, request)
    }

    /// Turns to another backend, if there is one, the request is untouched and time is left.
    pub(crate) fn turn(&mut self) -> Option<Request<ReclaimableBody<B>>> {
        if self.begun.elapsed() >= self.config.failover_within {
            return None;
        }
        let body = self.reclaim.take_back()?;
        self.tried.push(self.slot().backend().id().clone());
        let account = self.head.extensions.get().and_then(Passage::tried).cloned();
        let mut tried = account.as_ref().map(Tried::snapshot).unwrap_or_default();
        tried.extend_from_slice(&self.tried);
        let key = self.choice.key.as_ref().map(|key| &*key.bytes);
        let config = &self.config;
        let chosen = config.backends.choose(&*config.balance, self.work, key, &tried);
        let Some(in_flight) = chosen else {
            // An outer layer may still look for the id of the request in the body.
            self.reclaim.put_back(body);
            return None;
        };
        in_flight.slot().counts().failover.add_one();
        if let Some(account) = account {
            account.add(in_flight.slot().backend().id());
        }
        let (lent, reclaim) = ReclaimableBody::lend(body);
        self.reclaim = reclaim;
        self.ticket = config.backends.sent(in_flight.slot(), self.work);
        self.choice.in_flight = in_flight;
        Some(self.request(lent))
    }

    /// Returns the body with the `refusal`, if no backend has begun to read it.
    pub(crate) fn return_body<R>(&self, refusal: &mut Response<R>) {
        let dialect = Dialect::of_parts(&self.head);
        if ReturnedBody::is_wanted(&dialect)
            && let Some(body) = self.reclaim.take_back()
            && let Some(returned) = ReturnedBody::new(body)
        {
            returned.attach(refusal);
        }
    }

    pub(crate) fn slot(&self) -> &Arc<Slot> {
        self.choice.in_flight.slot()
    }

    /// The backend at which the work counts as open: its result may still be on its way to a store when a drain checks
    /// what is left.
    pub(crate) fn opened(&self) -> Option<InFlight> {
        let matters = self.work != Work::Free && self.config.backends.are_counted();
        matters.then(|| self.choice.in_flight.clone())
    }

    /// Reports how the work ended at the backend that was chosen last.
    pub(crate) fn settle(&mut self, outcome: Outcome) {
        let extensions = &self.head.extensions;
        self.ticket.settle(outcome, || {
            let client = ClientAddr::of(extensions).map(ClientAddr::ip);
            let ip = client.or_else(|| PeerAddr::of(extensions).and_then(PeerAddr::ip));
            ip.map(Client::at).unwrap_or_default()
        });
    }

    pub(crate) fn work(&self) -> Work {
        self.work
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
