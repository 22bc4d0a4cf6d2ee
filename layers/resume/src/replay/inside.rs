//! The inner service, for the requests that a layer makes itself.

use std::{
    future::poll_fn,
    sync::{Mutex, PoisonError},
};

use bartizan_core::body::ReplaceBody;
use http::{Request, Response};
use tower_service::Service;

/// An inner service that can also be called for requests that the layer makes.
pub(crate) trait Inside<B>:
    Service<Request<B>, Response = Response<<Self as Inside<B>>::Body>, Error: Send, Future: Send>
    + Clone
    + Send
    + 'static
{
    type Body: ReplaceBody<Error: Send> + Send + 'static;
}

/// An instance that was not polled ready. It is cloned for each request that the layer makes, so that incoming requests
/// need no clone.
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
