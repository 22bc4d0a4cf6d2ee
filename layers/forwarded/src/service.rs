//! How a request is sanitised. The inner service is called synchronously: the instance that was polled
//! ready, without a clone.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bartizan_core::{Dialect, GuardBody, Refusal};
use http::{Request, Response};
use tower_service::Service;

use crate::{ResponseFuture, config::Ready, event, sanitize::sanitize};

/// Drops spoofed forwarding headers and writes correct ones; see the [crate docs](crate).
#[derive(Clone, Debug)]
pub struct SanitizeForwarded<S> {
    inner: S,
    // `None` if the layer is off.
    config: Option<Arc<Ready>>,
}

impl<S> SanitizeForwarded<S> {
    pub(crate) fn new(inner: S, config: Option<Arc<Ready>>) -> Self {
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

impl<S, B, R> Service<Request<B>> for SanitizeForwarded<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<GuardBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Some(ready) = &self.config else {
            return ResponseFuture::forwarded(self.inner.call(request));
        };
        match sanitize(ready, &mut request) {
            Ok(()) => ResponseFuture::forwarded(self.inner.call(request)),
            Err(reason) => {
                event::refused(reason);
                let dialect = Dialect::fixed_or_of(ready.config.dialect.as_ref(), &request);
                ResponseFuture::refused(Refusal::new(reason).respond(&dialect))
            }
        }
    }
}
