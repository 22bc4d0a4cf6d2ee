//! How a caller is named. The inner service is called synchronously: the instance that was polled ready,
//! without a clone. Responses are the inner service's.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::Request;
use tower_service::Service;

use crate::source::Source;

/// Names the caller of each request; see the [crate docs](crate).
#[derive(Clone, Debug)]
pub struct NamePrincipal<S> {
    inner: S,
    // `None` if the layer is off.
    source: Option<Arc<Source>>,
}

impl<S> NamePrincipal<S> {
    pub(crate) const fn new(inner: S, source: Option<Arc<Source>>) -> Self {
        Self { inner, source }
    }

    /// Returns a reference to the inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Consumes `self`, returning the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B> Service<Request<B>> for NamePrincipal<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some(source) = &self.source else { return self.inner.call(request) };
        // Moved only here, so that a layer that is off costs nothing.
        let mut request = request;
        source.name(&mut request);
        self.inner.call(request)
    }
}
