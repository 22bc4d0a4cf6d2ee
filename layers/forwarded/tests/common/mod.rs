//! A service that records its requests.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bartizan_core::Reason;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Empty;
use tower::{Layer, Service, ServiceExt};

/// The request that the inner service got, and the response.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) request: Request<()>,
    #[allow(dead_code, reason = "not every test looks at it")]
    pub(crate) response: HeaderMap,
}

/// Sends `request` through `layer`. Returns what the inner service got, or why it was not called.
pub(crate) async fn send<L, R>(layer: L, request: Request<()>) -> Result<Seen, Reason>
where
    L: Layer<Inside>,
    L::Service: Service<Request<()>, Response = Response<R>, Error = Infallible>,
{
    let got = Arc::<Mutex<Option<Request<()>>>>::default();
    let inside: Inside = Inside(Arc::clone(&got));
    let response = layer.layer(inside).oneshot(request).await.unwrap();
    let got = got.lock().unwrap().take();
    match got {
        Some(request) => Ok(Seen { request, response: response.headers().clone() }),
        None => Err(Reason::of(&response).unwrap()),
    }
}

/// The inner service. Its response reveals the internal route, as no response should.
#[derive(Clone, Debug)]
pub(crate) struct Inside(Arc<Mutex<Option<Request<()>>>>);

impl Service<Request<()>> for Inside {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        *self.0.lock().unwrap() = Some(request);
        let response = Response::builder()
            .header("forwarded", "for=10.0.0.1")
            .header("x-forwarded-for", "10.0.0.1")
            .header("x-answer", "1");
        std::future::ready(Ok(response.body(Empty::new()).unwrap()))
    }
}
