//! A session that a response names although its request must not open one. The client does not get it, so it is ended.

use std::sync::Arc;

use bartizan_core::{Backend, Key, OpeningHead, Principal, SessionStore, session::Fingerprint};
use http::{HeaderValue, Method, Request};
use tokio::time::timeout;

use crate::{
    bounds::{Incoming, Inside},
    config::Config,
    event,
    opening::{END_TIMEOUT, call},
    peeked_body::PeekedBody,
};

/// What is kept of a request that must not open a session by our rules, in case the backend opens
/// one anyway.
pub(crate) struct Stray<S, T> {
    // Not polled ready. Used to end a session that the backend opens.
    service: S,
    config: Arc<Config<T>>,
    principal: Option<Principal>,
    head: OpeningHead,
}

impl<S: Clone, T: SessionStore> Stray<S, T> {
    /// Prepares for a session that the response to `request` may name; `service` gets the request. Only POST opens
    /// sessions.
    pub(crate) fn prepare<B>(
        service: &S,
        config: &Arc<Config<T>>,
        request: &Request<B>,
    ) -> Option<Box<Self>> {
        (*request.method() == Method::POST).then(|| {
            Box::new(Self {
                service: service.clone(),
                config: Arc::clone(config),
                principal: Principal::of(request).cloned(),
                head: OpeningHead::of(request),
            })
        })
    }

    /// Ends the session `id` at `backend`, if one is known. Waits for that for a short time; the backend decides
    /// whether it succeeds. A session that the store has, or might have, is not touched.
    pub(crate) async fn end<B>(self: Box<Self>, backend: Option<Backend>, id: HeaderValue)
    where
        S: Inside<B>,
        B: Incoming,
    {
        let Self { service, config, principal, head } = *self;
        let key = Key::new(&config.route, principal.as_ref(), id.as_bytes());
        let found = config.store.get(key);
        if !matches!(config.wait(found).await, Ok(None)) {
            return;
        }
        event::ended(Fingerprint::of(id.as_bytes()), "opened by a request that opens none");
        let delete = head.delete(config.header.clone(), id, backend, PeekedBody::empty());
        let _ = timeout(END_TIMEOUT, call::<S, B>(service, delete)).await;
    }
}
