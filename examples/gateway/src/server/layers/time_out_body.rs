//! Bounds the pauses in request bodies.
//!
//! A pause counts while the inner service waits for the body and no response is in flight. It is answered with
//! 408. Streams in both directions (gRPC, `CONNECT`) may pause for as long as they like.
//!
//! tower-http's `RequestBodyTimeout` does not fit: it ignores the response, so it would end every upload whose response
//! streams, and it sets a timer for each frame, even for a frame that has already arrived.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bartizan::core::{GuardBody, Reason, fields::media};
use http::{Method, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    body_fault,
    exchange::Exchange,
    timed_body::{RespondingBody, TimedBody},
};

/// Builds [`TimeOutBody`] services.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct TimeOutBodyLayer {
    timeout: Duration,
}

/// Ends request bodies that pause too long.
#[derive(Clone, Debug)]
pub(in crate::server) struct TimeOutBody<S> {
    inner: S,
    timeout: Duration,
}

pin_project! {
    /// Response future of [`TimeOutBody`].
    #[derive(Debug)]
    pub(in crate::server) struct ResponseFuture<F> {
        #[pin]
        inner: F,
        exchange: Option<Arc<Exchange>>,
    }
}

impl TimeOutBodyLayer {
    /// Allows pauses of up to `timeout`.
    pub(in crate::server) const fn new(timeout: Duration) -> Self {
        Self { timeout }
    }
}

impl<S> Layer<S> for TimeOutBodyLayer {
    type Service = TimeOutBody<S>;

    fn layer(&self, inner: S) -> TimeOutBody<S> {
        TimeOutBody { inner, timeout: self.timeout }
    }
}

impl<S, B, R> Service<Request<B>> for TimeOutBody<S>
where
    S: Service<Request<TimedBody<B>>, Response = Response<R>>,
    B: Body,
{
    type Response = Response<GuardBody<RespondingBody<R>>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let exchange = may_time_out(&request).then(Arc::<Exchange>::default);
        let of_body = exchange.clone();
        let inner =
            self.inner.call(request.map(|body| TimedBody::new(body, self.timeout, of_body)));
        ResponseFuture { inner, exchange }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<GuardBody<RespondingBody<R>>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let exchange = this.exchange.take();
        let is_timed_out = exchange.as_ref().is_some_and(|exchange| exchange.is_timed_out());
        if is_timed_out
            && let Some(refusal) = body_fault::refusal_instead(&response, Reason::BodyTimeout)
        {
            return Poll::Ready(Ok(refusal));
        }
        Poll::Ready(Ok(
            response.map(|body| GuardBody::forwarded(RespondingBody::new(body, exchange)))
        ))
    }
}

fn may_time_out<B: Body>(request: &Request<B>) -> bool {
    let is_dialogue = request.method() == Method::CONNECT || media::is_grpc(request.headers());
    !request.body().is_end_stream() && !is_dialogue
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http_body_util::{BodyExt, Empty, Full, channel::Channel};
    use tokio::time::timeout;
    use tower::{ServiceExt, service_fn};

    use super::*;

    const PAUSE: Duration = Duration::from_secs(15);
    const DAY: Duration = Duration::from_secs(86_400);

    #[tokio::test(start_paused = true)]
    async fn only_a_dialogue_may_pause_longer() {
        let inner = service_fn(async |request: Request<TimedBody<Channel<Bytes>>>| {
            let response = match request.into_body().collect().await {
                Ok(_) => Response::new(Full::default()),
                Err(_) => {
                    let refusal = bartizan::core::Refusal::new(Reason::BodyBroken);
                    refusal
                        .respond::<Empty<Bytes>>(&bartizan::core::Dialect::Problem)
                        .map(|_| Full::<Bytes>::default())
                }
            };
            Ok::<_, Infallible>(response)
        });
        for (method, content_type, status) in [
            ("POST", "application/json", Some(408)),
            ("POST", "application/grpc", None),
            ("CONNECT", "application/json", None),
        ] {
            let (_sender, body) = Channel::new(1);
            let request = Request::builder().method(method).header("content-type", content_type);
            let service = TimeOutBodyLayer::new(PAUSE).layer(inner);
            let answer = timeout(DAY, service.oneshot(request.body(body).unwrap())).await;
            let given = answer.ok().map(|response| response.unwrap().status().as_u16());
            assert_eq!(given, status, "{method} {content_type}");
        }
    }
}
