//! The service inside, for the requests that a layer makes itself.

use std::{
    future::poll_fn,
    sync::{Mutex, PoisonError},
};

use bartizan_core::body::ReplaceBody;
use http::{Request, Response};
use tower_service::Service;

/// A service inside that can be called for other requests than those that arrive.
pub(crate) trait Inside<B>:
    Service<Request<B>, Response = Response<<Self as Inside<B>>::Body>, Error: Send, Future: Send>
    + Clone
    + Send
    + 'static
{
    type Body: ReplaceBody<Error: Send> + Send + 'static;
}

/// An instance that was not polled ready: cloned for each request of a layer's own, so that those that
/// arrive need no clone.
pub(crate) struct Spare<S>(Mutex<S>);

impl<S: Clone> Spare<S> {
    pub(crate) fn new(service: S) -> Self {
        Self(Mutex::new(service))
    }

    /// Calls the service.
    pub(crate) async fn call<B>(&self, request: Request<B>) -> Result<S::Response, S::Error>
    where
        S: Inside<B>,
    {
        let mut service = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        poll_fn(|cx| service.poll_ready(cx)).await?;
        service.call(request).await
    }
}

impl<S, B, R> Inside<B> for S
where
    S: Service<Request<B>, Response = Response<R>, Error: Send, Future: Send>,
    S: Clone + Send + 'static,
    R: ReplaceBody<Error: Send> + Send + 'static,
{
    type Body = R;
}
