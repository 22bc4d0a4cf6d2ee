//! Tells the socket of a connection what is in flight on it.
//!
//! One layer per connection, because each connection has its own state. tower-http's `InFlightRequests` counts only
//! responses, and for a whole server; the socket must also know about tunnels and about request bodies that outlive
//! their response.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::in_flight_body::{InFlightBody, UploadBody};
use crate::server::{
    connection_state::{ConnectionState, InFlight, Upload},
    stream_executor::StreamProgress,
};

/// Builds [`TrackInFlight`] services for one connection.
#[derive(Clone, Debug)]
pub(in crate::server) struct TrackInFlightLayer {
    connection: Arc<ConnectionState>,
}

/// Counts each request until its response body is dropped, and each request body until it is dropped.
#[derive(Clone, Debug)]
pub(in crate::server) struct TrackInFlight<S> {
    inner: S,
    connection: Arc<ConnectionState>,
}

pin_project! {
    /// Response future of [`TrackInFlight`].
    #[derive(Debug)]
    pub(in crate::server) struct ResponseFuture<F> {
        #[pin]
        inner: F,
        in_flight: Option<InFlight>,
        is_connect: bool,
    }
}

impl TrackInFlightLayer {
    pub(in crate::server) const fn new(connection: Arc<ConnectionState>) -> Self {
        Self { connection }
    }
}

impl<S> Layer<S> for TrackInFlightLayer {
    type Service = TrackInFlight<S>;

    fn layer(&self, inner: S) -> TrackInFlight<S> {
        TrackInFlight { inner, connection: Arc::clone(&self.connection) }
    }
}

impl<S, B, R> Service<Request<B>> for TrackInFlight<S>
where
    S: Service<Request<UploadBody<B>>, Response = Response<R>>,
    B: Body,
{
    type Response = Response<InFlightBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let is_connect = request.method() == Method::CONNECT;
        let connection = Arc::clone(&self.connection);
        let in_flight = if request.version() == Version::HTTP_2 {
            connection.exempt();
            InFlight::begin_stream(connection)
        } else {
            InFlight::begin(connection)
        };
        let has_body = !request.body().is_end_stream();
        let upload = has_body.then(|| Upload::begin(Arc::clone(&self.connection)));
        let inner = self.inner.call(request.map(|body| UploadBody::new(body, upload)));
        ResponseFuture { inner, in_flight: Some(in_flight), is_connect }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<InFlightBody<R>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let Some(mut in_flight) = this.in_flight.take() else {
            return Poll::Pending; // polled again after it was ready
        };
        if opens_tunnel(response.status(), *this.is_connect) {
            in_flight.connection().open_tunnel();
        }
        let is_stream = in_flight.respond();
        let progress = if is_stream { StreamProgress::of_current() } else { None };
        Poll::Ready(Ok(response.map(|body| InFlightBody::new(body, in_flight, progress))))
    }
}

fn opens_tunnel(status: StatusCode, is_connect: bool) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS || (is_connect && status.is_success())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http_body_util::{Empty, Full};
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::server::connection_state::Expected;

    /// Answers `request` with `status`, and returns the request body if the service kept it.
    async fn call(
        connection: &Arc<ConnectionState>,
        request: Request<Full<Bytes>>,
        status: StatusCode,
    ) -> (Response<InFlightBody<Empty<Bytes>>>, UploadBody<Full<Bytes>>) {
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut tell = Some(tell);
        let inner = service_fn(move |request: Request<UploadBody<Full<Bytes>>>| {
            let _ = tell.take().unwrap().send(request.into_body());
            let mut response = Response::new(Empty::new());
            *response.status_mut() = status;
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let service = TrackInFlightLayer::new(Arc::clone(connection)).layer(inner);
        (service.oneshot(request).await.unwrap(), told.await.unwrap())
    }

    #[tokio::test]
    async fn a_request_counts_until_its_response_body_and_its_own_are_dropped() {
        let connection = Arc::<ConnectionState>::default();
        let request = Request::post("/").body(Full::from("body")).unwrap();
        let (response, upload) = call(&connection, request, StatusCode::OK).await;
        assert_eq!(connection.expected(), Expected::Anything);
        drop(response);
        assert_eq!(connection.expected(), Expected::RestOfBody);
        drop(upload);
        assert_eq!(connection.expected(), Expected::Head);
    }

    #[tokio::test]
    async fn a_request_without_a_body_leaves_none_to_wait_for() {
        let connection = Arc::<ConnectionState>::default();
        let (response, _upload) =
            call(&connection, Request::new(Full::default()), StatusCode::OK).await;
        drop(response);
        assert_eq!(connection.expected(), Expected::Head);
    }

    #[tokio::test]
    async fn after_http2_or_a_tunnel_no_head_is_expected() {
        let request = || Request::builder().body(Full::default());
        let mut http2 = request().unwrap();
        *http2.version_mut() = Version::HTTP_2;
        let mut connect = request().unwrap();
        *connect.method_mut() = Method::CONNECT;
        for (request, status, expected) in [
            (http2, StatusCode::OK, Expected::Anything),
            (connect.clone(), StatusCode::OK, Expected::Anything),
            (connect, StatusCode::NOT_FOUND, Expected::Head),
            (request().unwrap(), StatusCode::SWITCHING_PROTOCOLS, Expected::Anything),
            (request().unwrap(), StatusCode::OK, Expected::Head),
        ] {
            let connection = Arc::<ConnectionState>::default();
            drop(call(&connection, request, status).await);
            assert_eq!(connection.expected(), expected, "{status}");
        }
    }

    #[tokio::test]
    async fn a_client_that_leaves_before_the_response_is_not_in_flight() {
        let connection = Arc::<ConnectionState>::default();
        let inner = service_fn(async |_: Request<UploadBody<Full<Bytes>>>| {
            std::future::pending::<Result<Response<Empty<Bytes>>, Infallible>>().await
        });
        let mut service = TrackInFlightLayer::new(Arc::clone(&connection)).layer(inner);
        let response = service.call(Request::new(Full::default()));
        assert_eq!(connection.expected(), Expected::Anything);
        drop(response);
        assert_eq!(connection.expected(), Expected::Head);
    }
}
