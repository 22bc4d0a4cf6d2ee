//! CORS for the origins that are allowed, with tower-http's `CorsLayer`.
//!
//! | request | outcome |
//! |---|---|
//! | preflight of an allowed origin | answered here; no layer below is called |
//! | any other request of an allowed origin | forwarded; the response gets CORS fields, in place of the backend's own |
//! | another origin, or none; `OPTIONS` that is not a preflight | forwarded unchanged; the response gets `Vary: Origin` |
//!
//! Without this wrapper, tower-http's layer would answer every `OPTIONS` request of any origin, and leave the backend's
//! CORS fields next to its own.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bartizan::{core::take_ready, origin::AllowedOrigin};
use http::{
    HeaderName, HeaderValue, Method, Request, Response,
    header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY},
};
use tower::{Service, ServiceExt};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};
use tower_layer::Layer;

/// Builds [`AllowCors`] services.
#[derive(Clone, Debug)]
pub(crate) struct AllowCorsLayer {
    origins: Arc<[AllowedOrigin]>,
    cors: CorsLayer,
}

/// Lets pages of allowed origins read responses.
#[derive(Clone, Debug)]
pub(crate) struct AllowCors<S> {
    inner: S,
    config: AllowCorsLayer,
}

impl AllowCorsLayer {
    /// Lets pages of `origins` send any method and any header field, and read the fields in `exposed`.
    pub(crate) fn new(
        origins: impl IntoIterator<Item = AllowedOrigin>,
        exposed: Vec<HeaderName>,
    ) -> Self {
        let cors = CorsLayer::new()
            // Only requests of an allowed origin get here.
            .allow_origin(AllowOrigin::mirror_request())
            .allow_methods(AllowMethods::mirror_request())
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(exposed);
        Self { origins: origins.into_iter().collect(), cors }
    }

    fn concerns<B>(&self, request: &Request<B>) -> bool {
        let mut lines = request.headers().get_all(ORIGIN).iter();
        let (Some(origin), None) = (lines.next(), lines.next()) else { return false };
        let is_preflight = request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        (request.method() != Method::OPTIONS || is_preflight)
            && self.origins.iter().any(|allowed| allowed.matches(origin))
    }
}

impl<S> Layer<S> for AllowCorsLayer {
    type Service = AllowCors<S>;

    fn layer(&self, inner: S) -> AllowCors<S> {
        AllowCors { inner, config: self.clone() }
    }
}

impl<S, B, R> Service<Request<B>> for AllowCors<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + 'static,
    B: Send + 'static,
    R: Default + Send + 'static,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.config.concerns(&request) {
            let inner = take_ready(&mut self.inner).map_response(without_cors);
            return Box::pin(self.config.cors.layer(inner).call(request));
        }
        let response = self.inner.call(request);
        Box::pin(async move {
            let mut response = response.await?;
            // A cache must not serve this response to a page of another origin.
            response.headers_mut().append(VARY, HeaderValue::from_static("origin"));
            Ok(response)
        })
    }
}

/// Removes the backend's own CORS fields, because browsers reject a response in which one appears
/// twice.
fn without_cors<R>(mut response: Response<R>) -> Response<R> {
    let is_cors = |name: &&HeaderName| name.as_str().starts_with("access-control-");
    let names: Vec<_> = response.headers().keys().filter(is_cors).cloned().collect();
    for name in names {
        response.headers_mut().remove(name);
    }
    response
}
