//! The whole stack as a service: the guards, and what they guard.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bartizan_core::GuardBody;
use bartizan_forwarded::{self as forwarded, SanitizeForwarded};
use bartizan_hops::{self as hops, LimitHops};
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

/// A reverse proxy: what [`ReverseProxyStack`](crate::ReverseProxyStack) makes of a service that forwards.
///
/// `S` is the part behind the guards: a [`SessionProxy`](super::SessionProxy), or your authentication around one.
/// With the default transport and without authentication the whole is `ReverseProxy<SessionProxy<Upstream, T>>`
/// for a store `T`.
#[derive(Clone, Debug)]
pub struct ReverseProxy<S>(Guards<S>);

#[derive(Clone, Debug)]
enum Guards<S> {
    On(SanitizeForwarded<LimitHops<S>>),
    Off(S),
}

pin_project! {
    /// Response future of [`ReverseProxy`].
    ///
    /// # Cancellation
    ///
    /// Dropping it drops the future of the service inside.
    #[must_use = "futures do nothing unless polled"]
    pub struct ProxyFuture<F, R> {
        #[pin]
        state: State<F, R>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, R> {
        Guarded { #[pin] future: forwarded::ResponseFuture<hops::ResponseFuture<F, R>, GuardBody<R>> },
        Unguarded { #[pin] future: F },
    }
}

impl<S> ReverseProxy<S> {
    pub(super) const fn guarded(service: SanitizeForwarded<LimitHops<S>>) -> Self {
        Self(Guards::On(service))
    }

    pub(super) const fn unguarded(service: S) -> Self {
        Self(Guards::Off(service))
    }

    /// The service behind the guards.
    pub fn get_ref(&self) -> &S {
        match &self.0 {
            Guards::On(service) => service.get_ref().get_ref(),
            Guards::Off(service) => service,
        }
    }
}

impl<S, B, R> Service<Request<B>> for ReverseProxy<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<GuardBody<GuardBody<R>>>;
    type Error = S::Error;
    type Future = ProxyFuture<S::Future, R>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        match &mut self.0 {
            Guards::On(service) => service.poll_ready(cx),
            Guards::Off(service) => service.poll_ready(cx),
        }
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let state = match &mut self.0 {
            Guards::On(service) => State::Guarded { future: service.call(request) },
            Guards::Off(service) => State::Unguarded { future: service.call(request) },
        };
        ProxyFuture { state }
    }
}

impl<F, R, E> Future for ProxyFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<GuardBody<GuardBody<R>>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Guarded { future } => future.poll(cx),
            StateProj::Unguarded { future } => {
                let response = ready!(future.poll(cx))?;
                Poll::Ready(Ok(
                    response.map(|body| GuardBody::forwarded(GuardBody::forwarded(body)))
                ))
            }
        }
    }
}

impl<F, R> fmt::Debug for ProxyFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Guarded { .. } => "ProxyFuture(Guarded)",
            State::Unguarded { .. } => "ProxyFuture(Unguarded)",
        })
    }
}
