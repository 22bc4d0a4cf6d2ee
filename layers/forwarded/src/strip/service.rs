//! How a request is stripped. The inner service is called synchronously.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bartizan_core::{Dialect, GuardBody, Reason, Refusal, TrailerFilterBody, fields::hop_by_hop};
use http::{Request, Response, Version};
use tower_service::Service;

use super::ResponseFuture;
use crate::event;

/// Strips hop-by-hop fields; see [`StripHopByHopLayer`](crate::StripHopByHopLayer).
#[derive(Clone, Debug)]
pub struct StripHopByHop<S> {
    inner: S,
    relayed: Arc<[Box<str>]>,
}

impl<S> StripHopByHop<S> {
    pub(super) fn new(inner: S, relayed: Arc<[Box<str>]>) -> Self {
        Self { inner, relayed }
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

impl<S, B, R> Service<Request<B>> for StripHopByHop<S>
where
    S: Service<Request<TrailerFilterBody<B>>, Response = Response<R>>,
{
    type Response = Response<GuardBody<TrailerFilterBody<R>>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let over_http2 = request.version() == Version::HTTP_2;
        let headers = request.headers_mut();
        let Ok(stripped) = hop_by_hop::strip_request(headers) else {
            event::refused(Reason::ProtectedField);
            let refusal = Refusal::new(Reason::ProtectedField);
            return ResponseFuture::refused(refusal.respond(&Dialect::of(&request)));
        };
        if stripped.takes_trailers() {
            hop_by_hop::take_trailers(headers, over_http2);
        }
        let upgrade = stripped.upgrade_to(&self.relayed);
        if let Some(protocol) = &upgrade {
            hop_by_hop::upgrade(headers, protocol.clone());
        }
        let trailers = stripped.into_trailer_rule();
        let request = request.map(|body| TrailerFilterBody::new(body, trailers));
        ResponseFuture::forwarded(self.inner.call(request), upgrade)
    }
}
