//! How a request is counted when it is sent. The inner service is called synchronously: the instance that was polled
//! ready, without a clone.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bartizan_core::{Backend, Passage};
use http::{Request, Response};
use tower_service::Service;

use super::{
    future::{BackendsFuture, Sent},
    table::Known,
};
use crate::metrics::Shared;

/// Counts requests as backends see them; see the [crate docs](crate).
#[derive(Clone, Debug)]
pub struct ObserveBackends<S> {
    inner: S,
    // None: it is off.
    shared: Option<(Arc<Shared>, Known)>,
}

impl<S> ObserveBackends<S> {
    pub(crate) fn new(inner: S, shared: Option<Arc<Shared>>) -> Self {
        let with_known = |shared: Arc<Shared>| {
            let known = shared.backends.known();
            (shared, known)
        };
        Self { inner, shared: shared.map(with_known) }
    }

    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside, to change.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside, without this layer.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, R> Service<Request<B>> for ObserveBackends<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = BackendsFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let sent = match &mut self.shared {
            None => Sent::default(),
            Some((shared, known)) => {
                let passage = Passage::of(&request);
                let id = passage.and_then(Passage::backend).map(Backend::id);
                let slot = shared.backends.slot(id, known);
                slot.sent(passage.map(Passage::work).unwrap_or_default());
                Sent::new(slot)
            }
        };
        BackendsFuture::new(self.inner.call(request), sent)
    }
}
