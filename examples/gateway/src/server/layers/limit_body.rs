//! Bounds the size of request bodies.
//!
//! | request body | response | inner service called? |
//! |---|---|---|
//! | declared length above the limit | 413 | no |
//! | no declared length, and more bytes than the limit arrive | 413, unless the response had begun | yes; its body is cut off |
//! | any other | the inner service's | yes |
//!
//! tower-http's `RequestBodyLimit` does not fit: it refuses in plain text and without a reason, and the layers below
//! cannot distinguish a body that it cuts off from a broken connection.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bartizan::core::{Dialect, GuardBody, Reason, Refusal};
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    body_fault,
    limited_body::{Count, LimitedBody},
};

/// Builds [`LimitBody`] services.
#[derive(Clone, Debug)]
pub(in crate::server) struct LimitBodyLayer {
    max_bytes: Option<u64>,
    dialect: Option<Dialect>,
}

/// Refuses request bodies with too large a declared length, and cuts off those that grow too large.
#[derive(Clone, Debug)]
pub(in crate::server) struct LimitBody<S> {
    inner: S,
    config: LimitBodyLayer,
}

pin_project! {
    /// Response future of [`LimitBody`].
    #[derive(Debug)]
    pub(in crate::server) struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = StateProj]
    enum State<F> {
        // Waiting for the inner service; the flag exists if the body is counted.
        Forwarded { #[pin] inner: F, is_exceeded: Option<Arc<AtomicBool>> },
        Refused { dialect: Dialect },
    }
}

/// The declared length of the body.
enum Size {
    Past,
    // The server ends the body at its declared length, so it need not be counted.
    Within,
    Unknown { max_bytes: u64 },
}

impl LimitBodyLayer {
    /// Allows `max_bytes`; `None` means no limit. Refuses in the format that the request calls for.
    pub(in crate::server) const fn new(max_bytes: Option<u64>) -> Self {
        Self { max_bytes, dialect: None }
    }

    /// Refuses in the format `dialect`, unless the request is gRPC.
    pub(in crate::server) fn refuse_as(self, dialect: Option<Dialect>) -> Self {
        Self { dialect, ..self }
    }
}

impl<S> Layer<S> for LimitBodyLayer {
    type Service = LimitBody<S>;

    fn layer(&self, inner: S) -> LimitBody<S> {
        LimitBody { inner, config: self.clone() }
    }
}

impl<S, B, R> Service<Request<B>> for LimitBody<S>
where
    S: Service<Request<LimitedBody<B>>, Response = Response<GuardBody<R>>>,
    B: Body,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let size = self.config.max_bytes.map(|bound| Size::of(request.body(), bound));
        let max_bytes = match size {
            None | Some(Size::Within) => None,
            Some(Size::Unknown { max_bytes }) => Some(max_bytes),
            Some(Size::Past) => {
                let dialect = Dialect::fixed_or_of(self.config.dialect.as_ref(), &request);
                return ResponseFuture { state: State::Refused { dialect } };
            }
        };
        let count = max_bytes.map(Count::new);
        let is_exceeded = count.as_ref().map(Count::is_exceeded);
        let inner = self.inner.call(request.map(|body| LimitedBody::new(body, count)));
        ResponseFuture { state: State::Forwarded { inner, is_exceeded } }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<GuardBody<R>>, E>>,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project().state.project() {
            StateProj::Forwarded { inner, is_exceeded: None } => inner.poll(cx),
            StateProj::Forwarded { inner, is_exceeded: Some(is_exceeded) } => {
                let response = ready!(inner.poll(cx))?;
                if is_exceeded.load(Ordering::Acquire)
                    && let Some(refusal) =
                        body_fault::refusal_instead(&response, Reason::BodyTooLarge)
                {
                    return Poll::Ready(Ok(refusal));
                }
                Poll::Ready(Ok(response))
            }
            StateProj::Refused { dialect } => {
                tracing::debug!(reason = %Reason::BodyTooLarge, "refused");
                Poll::Ready(Ok(Refusal::new(Reason::BodyTooLarge).respond(dialect)))
            }
        }
    }
}

impl Size {
    fn of<B: Body>(body: &B, max_bytes: u64) -> Self {
        let hint = body.size_hint();
        if hint.lower() > max_bytes {
            return Self::Past;
        }
        match hint.upper() {
            Some(bytes) if bytes <= max_bytes => Self::Within,
            _ => Self::Unknown { max_bytes },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http_body_util::{BodyExt, Full, StreamBody};
    use tower::{ServiceExt, service_fn};

    use super::*;

    type Body = GuardBody<Full<Bytes>>;

    /// Reads each body; responds with 200 and the same body, or with 400 if it breaks off.
    async fn echo<B: http_body::Body<Data = Bytes>>(
        request: Request<B>,
    ) -> Result<Response<Body>, Infallible> {
        Ok(match request.into_body().collect().await {
            Ok(body) => Response::new(GuardBody::forwarded(Full::new(body.to_bytes()))),
            Err(_) => Refusal::new(Reason::BodyBroken).respond(&Dialect::Problem),
        })
    }

    /// Three bytes without a declared length.
    fn chunks() -> impl http_body::Body<Data = Bytes, Error = Infallible> + Unpin {
        let chunks = [Bytes::from_static(b"ab"), Bytes::from_static(b"c")];
        let frames = chunks.map(|chunk| Ok(http_body::Frame::data(chunk)));
        StreamBody::new(futures_util::stream::iter(frames))
    }

    #[tokio::test]
    async fn a_body_past_the_bound_is_refused_declared_or_not() {
        for (max_bytes, status) in [(None, 200), (Some(3), 200), (Some(2), 413)] {
            let layer = LimitBodyLayer::new(max_bytes);
            let declared = layer.layer(service_fn(echo)).oneshot(Request::new(Full::from("abc")));
            let declared = declared.await.unwrap();
            let counted = layer.layer(service_fn(echo)).oneshot(Request::new(chunks()));
            let counted = counted.await.unwrap();
            for response in [declared, counted] {
                assert_eq!(response.status(), status, "{max_bytes:?}");
                let reason = (status == 413).then_some(Reason::BodyTooLarge);
                assert_eq!(Reason::of(&response), reason);
            }
        }
    }

    #[tokio::test]
    async fn a_declared_length_past_the_bound_does_not_reach_the_service() {
        let inner = service_fn(
            async |_: Request<LimitedBody<Full<Bytes>>>| -> Result<Response<Body>, Infallible> {
                panic!("called")
            },
        );
        let layer = LimitBodyLayer::new(Some(2)).refuse_as(Some(Dialect::JsonRpc(None)));
        let response = layer.layer(inner).oneshot(Request::new(Full::from("abc"))).await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/json");
    }

    #[tokio::test]
    async fn a_body_of_a_declared_length_is_not_counted() {
        let request = Request::new(Full::<Bytes>::from("abc"));
        let service = service_fn(async |request: Request<LimitedBody<Full<Bytes>>>| {
            assert!(!request.body().is_counted());
            echo(request).await
        });
        LimitBodyLayer::new(Some(3)).layer(service).oneshot(request).await.unwrap();
    }
}
