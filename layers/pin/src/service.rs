//! The service that sends work to its backend.
//!
//! Pinned work calls the instance that was polled ready, at once. New work does too, and keeps a clone
//! for a second try at another backend
//! ([`tower_service::Service`, "Be careful when cloning"](https://docs.rs/tower-service/latest/tower_service/trait.Service.html#be-careful-when-cloning-inner-services)).

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bartizan_core::{GuardBody, SessionStore};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::{
    arrival::on_arrival, config::Config, future::ResponseFuture, key::ExtractKey,
    reclaimable::ReclaimableBody,
};

/// Keeps work on its backend; see the [crate docs](crate).
pub struct PinBackend<S, K, T> {
    inner: S,
    config: Arc<Config<K, T>>,
}

impl<S, K, T> PinBackend<S, K, T> {
    pub(crate) fn new(inner: S, config: Arc<Config<K, T>>) -> Self {
        Self { inner, config }
    }

    /// Returns a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Consumes `self`, returning the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, K, T, B, R> Service<Request<B>> for PinBackend<S, K, T>
where
    S: Service<Request<ReclaimableBody<B>>, Response = Response<R>, Error: Send, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    R: Send + 'static,
    K: ExtractKey,
    T: SessionStore,
{
    type Response = Response<GuardBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B, R, K, T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        on_arrival(&mut self.inner, &self.config, request)
    }
}

// Written by hand, because extractor and store are shared, not cloned.
impl<S: Clone, K, T> Clone for PinBackend<S, K, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), config: Arc::clone(&self.config) }
    }
}

impl<S: fmt::Debug, K, T> fmt::Debug for PinBackend<S, K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("PinBackend");
        self.config.debug(debug.field("inner", &self.inner));
        debug.finish_non_exhaustive()
    }
}
