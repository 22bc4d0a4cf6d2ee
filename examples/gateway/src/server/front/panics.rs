//! A response for a request whose handling panics, with tower-http's `CatchPanic`.
//!
//! It catches panics before the response head. A panic in a response body ends only its connection.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use bartizan::core::{Dialect, Reason, Refusal, take_ready};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::{BoxError, Service};
use tower_http::catch_panic::{CatchPanic, ResponseForPanic};
use tower_layer::Layer;

/// Builds [`CatchPanics`] services.
#[derive(Clone, Debug)]
pub(super) struct CatchPanicsLayer {
    refuse_as: Option<Dialect>,
}

/// Responds with 500, in the format that the request calls for.
#[derive(Clone, Debug)]
pub(super) struct CatchPanics<S> {
    inner: S,
    refuse_as: Option<Dialect>,
}

/// Makes the response to one request.
#[derive(Clone, Debug)]
pub(super) struct Respond(Dialect);

impl CatchPanicsLayer {
    /// Responds in the format `refuse_as`, unless the request is gRPC.
    pub(super) const fn new(refuse_as: Option<Dialect>) -> Self {
        Self { refuse_as }
    }
}

impl<S> Layer<S> for CatchPanicsLayer {
    type Service = CatchPanics<S>;

    fn layer(&self, inner: S) -> CatchPanics<S> {
        CatchPanics { inner, refuse_as: self.refuse_as.clone() }
    }
}

impl<S, B, R> Service<Request<B>> for CatchPanics<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible> + Clone,
    R: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = <CatchPanic<S, Respond> as Service<Request<B>>>::Response;
    type Error = Infallible;
    type Future = <CatchPanic<S, Respond> as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let dialect = Dialect::fixed_or_of(self.refuse_as.as_ref(), &request);
        CatchPanic::custom(take_ready(&mut self.inner), Respond(dialect)).call(request)
    }
}

impl ResponseForPanic for Respond {
    type ResponseBody = Full<Bytes>;

    /// The panic hook has written the message, which may repeat what the peer sent: it is not logged again.
    fn response_for_panic(
        &mut self,
        _: Box<dyn std::any::Any + Send + 'static>,
    ) -> Response<Full<Bytes>> {
        tracing::error!("the handling of a request panicked; it is answered with 500");
        Refusal::new(Reason::Panicked).render(&self.0).map(Full::new)
    }
}
