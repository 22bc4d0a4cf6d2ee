//! `PinBackend` alone: keeps each tenant on one of several servers, with your own HTTP client.

use std::{convert::Infallible, error::Error};

use axum::{Router, body::Body};
use bartizan_core::{
    Backend, TrailerFilterBody, UpstreamFailure, backend::InvalidBackend, failure::FailureKind,
};
use bartizan_forwarded::StripHopByHopLayer;
use bartizan_memory::MemoryStore;
use bartizan_pin::{Backends, PinBackendLayer, ReclaimableBody, key::PathSegmentKey};
use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header::HOST};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_service::Service;

/// The request body that the client gets from the layers.
type Outgoing = TrailerFilterBody<ReclaimableBody<Body>>;

/// In axum, for all paths.
pub(crate) fn app(backends: &[String]) -> Result<Router, InvalidBackend> {
    let pinned = pinned(backends)?;
    Ok(Router::new().fallback_service(pinned))
}

/// In hyper, around a service.
pub(crate) fn service(
    backends: &[String],
) -> Result<
    impl Service<
        Request<Incoming>,
        Response = Response<
            impl http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + use<>,
        >,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + use<>,
    InvalidBackend,
> {
    Ok(pinned(backends)?.map_request(|request: Request<Incoming>| request.map(Body::new)))
}

/// Pins by the path segment after `/tenants/`, from the first successful response on.
fn pinned(
    backends: &[String],
) -> Result<
    impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + use<>,
    InvalidBackend,
> {
    let backends: Vec<Backend> =
        backends.iter().map(|uri| uri.parse()).collect::<Result<_, _>>()?;
    let layer = PinBackendLayer::new(Backends::new(backends))
        .key(PathSegmentKey::after("/tenants/"), MemoryStore::new());
    let client = Client::builder(TokioExecutor::new()).build_http();
    let forward = service_fn(move |request: Request<Outgoing>| {
        let client = client.clone();
        async move { Ok::<_, Infallible>(forward(&client, request).await) }
    });
    let service = layer.layer(StripHopByHopLayer::new().layer(forward));
    Ok(service.map_response(|response| response.map(Body::new)))
}

/// Sends a request to the backend that was chosen.
async fn forward(
    client: &Client<HttpConnector, Body>,
    request: Request<Outgoing>,
) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::BAD_GATEWAY;
    let Some(backend) = Backend::of(&request).cloned() else { return answer };
    let mut uri = request.uri().clone().into_parts();
    uri.scheme = Some(backend.scheme().clone());
    uri.authority = Some(backend.authority().clone());
    let Ok(uri) = Uri::from_parts(uri) else { return answer };
    let mut request = request.map(Body::new);
    request.headers_mut().insert(HOST, backend.host().clone());
    *request.uri_mut() = uri;
    match client.request(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => {
            // The layer then tries another server if this one cannot have seen the request.
            let kind = match error.is_connect() {
                true => FailureKind::NoRoute,
                false => FailureKind::Terminated,
            };
            answer.extensions_mut().insert(UpstreamFailure::new(kind));
            answer
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

    use bartizan_testkit::{Server, raw, serve, server::boxed};
    use http_body_util::Full;
    use tokio::net::TcpListener;

    use super::*;
    use crate::plain;

    async fn start(name: &'static str) -> Server {
        serve(move |_| async move { Response::new(boxed(Full::<Bytes>::from(name))) }).await
    }

    async fn ask(address: SocketAddr, tenant: usize) -> String {
        let request =
            format!("GET /tenants/{tenant}/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let reply = raw::exchange(address, request.as_bytes(), Duration::from_secs(5)).await;
        assert_eq!(reply.status(), Some(200), "{}", reply.text());
        let text = reply.text();
        // The body may come in chunks.
        (*["one", "two"].iter().find(|name| text.contains(*name)).unwrap()).to_owned()
    }

    async fn pins(address: SocketAddr) {
        let mut servers = BTreeSet::new();
        for tenant in 0..16 {
            let server = ask(address, tenant).await;
            for _ in 0..4 {
                assert_eq!(ask(address, tenant).await, server);
            }
            servers.insert(server);
        }
        assert_eq!(servers.len(), 2, "tenants are spread");
    }

    #[tokio::test]
    async fn tenants_are_pinned_in_axum() {
        let (one, two) = (start("one").await, start("two").await);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = app(&[one.uri(), two.uri()]).unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        pins(address).await;
    }

    #[tokio::test]
    async fn tenants_are_pinned_in_hyper_and_a_server_that_is_gone_is_passed_over() {
        let (one, two, mut gone) = (start("one").await, start("two").await, start("gone").await);
        let backends = [one.uri(), two.uri(), gone.uri()];
        gone.kill().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(plain::serve(listener, service(&backends).unwrap()));
        pins(address).await;
    }
}
