//! How a request is judged. The inner service is called synchronously: the instance that was polled
//! ready, without a clone.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bartizan_core::{Dialect, Refusal, body::ReplaceBody};
use http::{Request, Response};
use tower_service::Service;

use crate::{ResponseFuture, config::Config, event, judge::judge, seen::Seen};

/// Refuses browser requests to a foreign host or from a foreign page; see the [crate docs](crate).
#[derive(Clone, Debug)]
pub struct GuardOrigin<S> {
    inner: S,
    // `None` if the layer is off.
    config: Option<Arc<Config>>,
}

impl<S> GuardOrigin<S> {
    pub(crate) fn new(inner: S, config: Option<Arc<Config>>) -> Self {
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

impl<S, B, R> Service<Request<B>> for GuardOrigin<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: ReplaceBody,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    // Inlined for the same reason as the stack's switches: a request that no browser sent must cost
    // little more than a branch.
    #[inline(always)]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Some(config) = &self.config
            && config.concerns(&request)
            && let Err(refusal) = admit(config, &request)
        {
            return ResponseFuture::refused(refusal);
        }
        ResponseFuture::forwarded(self.inner.call(request))
    }
}

/// Judges a request that a browser sent. A refused request gets its response at once.
#[inline(never)]
fn admit<B, R: ReplaceBody>(config: &Config, request: &Request<B>) -> Result<(), Response<R>> {
    Seen::of(config, request).and_then(|seen| judge(&config.rules, &seen)).map_err(|reason| {
        event::refused(reason, request.headers());
        let dialect = Dialect::fixed_or_of(config.dialect.as_ref(), request);
        Refusal::new(reason).render(&dialect).map(R::from_bytes)
    })
}
