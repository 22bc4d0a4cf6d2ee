//! How a request is judged. The inner service is called synchronously: the instance that was polled
//! ready, without a clone.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bartizan_core::{Dialect, Reason, Session, body::ReplaceBody};
use http::{Method, Request, Response};
use tower_service::Service;

use crate::{
    ResponseFuture, config::Config, event, future::Asked, listen, refusal::refused, streams::Place,
};

/// Tracks event streams; see the [crate docs](crate).
#[derive(Clone, Debug)]
pub struct TrackStreams<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> TrackStreams<S> {
    pub(crate) fn new(inner: S, config: Arc<Config>) -> Self {
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

impl<S, B, R> Service<Request<B>> for TrackStreams<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: ReplaceBody + Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        match judge(&self.config, &request) {
            Ok(asked) => ResponseFuture::forwarded(self.inner.call(request), asked),
            Err(reason) => {
                event::refused(reason, Session::of(&request));
                let dialect = Dialect::fixed_or_of(self.config.dialect.as_ref(), &request);
                ResponseFuture::answered(refused(reason, &dialect))
            }
        }
    }
}

/// Finds room for a stream that `request` asks for.
#[inline]
fn judge<B>(config: &Arc<Config>, request: &Request<B>) -> Result<Asked, Reason> {
    let session = Session::of(request).cloned();
    if listen::asks_to_listen(request, session.is_some()) {
        let place = Place::listen(&config.streams, session, config.rules)?;
        return Ok(Asked::Listen { config: Arc::clone(config), place });
    }
    // It may turn out to listen, without having said so.
    let refuse_as = (request.method() == Method::GET)
        .then(|| Dialect::fixed_or_of(config.dialect.as_ref(), request));
    Ok(Asked::Anything { config: Arc::clone(config), session, refuse_as })
}
