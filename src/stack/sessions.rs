//! The part of the stack that is about sessions, as one service.

use std::{
    fmt,
    task::{Context, Poll},
};

use bartizan_core::store::NoStore;
use bartizan_pin::{PinBackend, key::NoKey};
use bartizan_resume::ResumeSession;
use bartizan_session::ValidateSession;
use bartizan_streams::TrackStreams;
use http::Request;
use tower_service::Service;

use super::switch::Switch;

/// The type of the composed layers. Optional layers are switched at run time, so that there is only one type.
type Composed<S, T, K, P> =
    ValidateSession<Switch<TrackStreams<Below<S, T, K, P>>, Below<S, T, K, P>>, T>;
type Below<S, T, K, P> = Switch<ResumeSession<PinBackend<S, K, P>, T>, PinBackend<S, K, P>>;

/// Validates sessions and keeps each on its backend: the part of the stack below your authentication.
///
/// `S` is the service that forwards, `T` the store of sessions, and `K` and `P` the extractor and the store of pins
/// by keys, if there are any.
pub struct SessionProxy<S, T, K = NoKey, P = NoStore>(Composed<S, T, K, P>);

impl<S, T, K, P> SessionProxy<S, T, K, P> {
    pub(super) const fn new(composed: Composed<S, T, K, P>) -> Self {
        Self(composed)
    }
}

impl<S, T, K, P, B> Service<Request<B>> for SessionProxy<S, T, K, P>
where
    Composed<S, T, K, P>: Service<Request<B>>,
{
    type Response = <Composed<S, T, K, P> as Service<Request<B>>>::Response;
    type Error = <Composed<S, T, K, P> as Service<Request<B>>>::Error;
    type Future = <Composed<S, T, K, P> as Service<Request<B>>>::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.0.call(request)
    }
}

// Written by hand, because the stores are shared, not cloned.
impl<S: Clone, T, K, P> Clone for SessionProxy<S, T, K, P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S, T, K, P> fmt::Debug for SessionProxy<S, T, K, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionProxy").finish_non_exhaustive()
    }
}
