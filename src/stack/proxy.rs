//! The whole stack as a service: the guards, and the service behind them.

use std::task::{Context, Poll};

use bartizan_forwarded::SanitizeForwarded;
use bartizan_hops::LimitHops;
use bartizan_origin::GuardOrigin;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

/// The type of the composed guards. Guards that are off pass every request on.
type Guarded<S> = SanitizeForwarded<GuardOrigin<LimitHops<S>>>;

/// A reverse proxy: the service that [`ReverseProxyStack`](crate::ReverseProxyStack) builds around a service that
/// forwards.
///
/// `S` is the part behind the guards: a [`SessionProxy`](super::SessionProxy), or your authentication around one.
/// With the default transport and without authentication the whole is `ReverseProxy<SessionProxy<Upstream, T>>`
/// for a store `T`.
#[derive(Clone, Debug)]
pub struct ReverseProxy<S>(Guarded<S>);

impl<S> ReverseProxy<S> {
    pub(super) const fn new(service: Guarded<S>) -> Self {
        Self(service)
    }

    /// The service behind the guards.
    pub fn get_ref(&self) -> &S {
        self.0.get_ref().get_ref().get_ref()
    }
}

impl<S, B, R> Service<Request<B>> for ReverseProxy<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    type Response = <Guarded<S> as Service<Request<B>>>::Response;
    type Error = S::Error;
    type Future = <Guarded<S> as Service<Request<B>>>::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.0.call(request)
    }
}
