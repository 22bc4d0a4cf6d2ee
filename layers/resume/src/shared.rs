//! What all clones of a service share.

use std::{
    future::poll_fn,
    sync::{Mutex, PoisonError},
};

use bartizan_core::{
    Answer, Session, SessionStore,
    store::{Replaced, StoreError, StoreErrorKind},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::time::timeout;
use tower_service::Service;

use crate::{ReplayBody, layer::Config};

/// A service inside that can be called for other requests than those that arrive.
pub(crate) trait Inside<B>:
    Service<
        Request<ReplayBody<B>>,
        Response = Response<<Self as Inside<B>>::Body>,
        Error: Send,
        Future: Send,
    > + Clone
    + Send
    + 'static
{
    type Body: Body<Data = Bytes, Error: Send> + Send + 'static;
}

/// A store that can be asked from a task.
pub(crate) trait Store:
    SessionStore<Get: Send, Insert: Send, Replace: Send, Remove: Send>
{
}

/// What all clones of a service share.
pub(crate) struct Shared<S, T> {
    pub(crate) config: Config<T>,
    spare: Spare<S>,
}

/// An instance that was not polled ready: cloned for each request of a layer's own, so that those that
/// arrive need no clone.
pub(crate) struct Spare<S>(Mutex<S>);

impl<S: Clone> Spare<S> {
    pub(crate) fn new(service: S) -> Self {
        Self(Mutex::new(service))
    }

    /// Calls the service.
    pub(crate) async fn call<B>(
        &self,
        request: Request<ReplayBody<B>>,
    ) -> Result<S::Response, S::Error>
    where
        S: Inside<B>,
    {
        let mut service = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        poll_fn(|cx| service.poll_ready(cx)).await?;
        service.call(request).await
    }
}

impl<S: Clone, T> Shared<S, T> {
    pub(crate) fn new(service: S, config: Config<T>) -> Self {
        Self { config, spare: Spare::new(service) }
    }

    /// Calls the service inside.
    pub(crate) async fn call<B>(
        &self,
        request: Request<ReplayBody<B>>,
    ) -> Result<S::Response, S::Error>
    where
        S: Inside<B>,
    {
        self.spare.call(request).await
    }
}

impl<S, T: Store> Shared<S, T> {
    /// The session as it is now.
    pub(crate) async fn current(&self, session: &Session) -> Result<Option<Session>, StoreError> {
        self.timed(self.config.store.get(session.key())).await
    }

    /// Replaces the record that `seen` has.
    pub(crate) async fn replace(
        &self,
        seen: &Session,
        record: bartizan_core::Record,
    ) -> Result<Replaced, StoreError> {
        self.timed(self.config.store.replace(seen.key(), seen.version(), record)).await
    }

    /// Ends the session.
    pub(crate) async fn remove(&self, session: &Session) -> Result<(), StoreError> {
        self.timed(self.config.store.remove(session.key())).await
    }

    async fn timed<V, F>(&self, answer: Answer<Result<V, StoreError>, F>) -> Result<V, StoreError>
    where
        F: Future<Output = Result<V, StoreError>>,
    {
        match answer {
            Answer::Now(answer) => answer,
            Answer::Later(answer) => timeout(self.config.store_timeout, answer)
                .await
                .unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::Timeout))),
        }
    }
}

impl<S, B, R> Inside<B> for S
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>, Error: Send, Future: Send>,
    S: Clone + Send + 'static,
    R: Body<Data = Bytes, Error: Send> + Send + 'static,
{
    type Body = R;
}

impl<T> Store for T where T: SessionStore<Get: Send, Insert: Send, Replace: Send, Remove: Send> {}
