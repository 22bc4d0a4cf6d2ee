//! How a request is judged.
//!
//! When the store answers at once, the inner service is called synchronously: the instance that was
//! polled ready, without a clone. Only a request that must wait, for the store or for its body, takes
//! that instance with it and leaves a clone
//! ([`tower_service::Service`, "Be careful when cloning"](https://docs.rs/tower-service/latest/tower_service/trait.Service.html#be-careful-when-cloning-inner-services));
//! a permit that the instance holds is kept for as long.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bartizan_core::SessionStore;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::{
    arrival::on_arrival, body::SessionBody, config::Config, future::ResponseFuture,
    peeked_body::PeekedBody,
};

/// Lets only well-formed, known and owned session ids pass; see the [crate docs](crate).
pub struct ValidateSession<S, T> {
    inner: S,
    config: Arc<Config<T>>,
}

impl<S, T> ValidateSession<S, T> {
    pub(crate) fn new(inner: S, config: Arc<Config<T>>) -> Self {
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

impl<S, T, B, R> Service<Request<B>> for ValidateSession<S, T>
where
    S: Service<Request<PeekedBody<B>>, Response = Response<R>, Error: Send, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    T: SessionStore,
{
    type Response = Response<SessionBody<R, T>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B, R, T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        on_arrival(&mut self.inner, &self.config, request)
    }
}

// Written by hand, because the store need not be `Clone`: its handle is shared.
impl<S: Clone, T> Clone for ValidateSession<S, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), config: Arc::clone(&self.config) }
    }
}

impl<S: fmt::Debug, T> fmt::Debug for ValidateSession<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ValidateSession");
        self.config.debug(debug.field("inner", &self.inner));
        debug.finish_non_exhaustive()
    }
}
