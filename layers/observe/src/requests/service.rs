//! How a request is counted when it arrives. The inner service is called synchronously: the instance that was polled
//! ready, without a clone.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use super::{
    body::ObservedBody,
    future::{Open, RequestsFuture},
};
use crate::metrics::Shared;

/// Counts requests as clients see them; see the [crate docs](crate).
#[derive(Clone, Debug)]
pub struct ObserveRequests<S> {
    inner: S,
    // None: it is off.
    shared: Option<Arc<Shared>>,
}

impl<S> ObserveRequests<S> {
    pub(crate) const fn new(inner: S, shared: Option<Arc<Shared>>) -> Self {
        Self { inner, shared }
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

impl<S, B, R> Service<Request<B>> for ObserveRequests<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ObservedBody<R>>;
    type Error = S::Error;
    type Future = RequestsFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let open = Open::new(self.shared.as_ref(), request.method());
        RequestsFuture::new(self.inner.call(request), open)
    }
}
