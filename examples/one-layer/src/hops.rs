//! `LimitHops` alone: a server that reports how many hops a request has crossed.

use std::{convert::Infallible, error::Error};

use axum::{Router, routing::get};
use bartizan_hops::LimitHopsLayer;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use tower::{Layer, service_fn};
use tower_service::Service;

/// In axum, around a route.
pub(crate) fn app() -> Router {
    let answer = async |request: axum::extract::Request| describe(&request);
    Router::new().route("/", get(answer)).layer(LimitHopsLayer::new())
}

/// In hyper, around a service.
pub(crate) fn service() -> impl Service<
    Request<Incoming>,
    Response = Response<
        impl Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + use<>,
    >,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send {
    LimitHopsLayer::new().layer(service_fn(async |request: Request<Incoming>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(describe(&request))))
    }))
}

fn describe<B>(request: &Request<B>) -> String {
    let field = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    format!("hop {:?}, Via {:?}\n", field("x-hop-count"), field("via"))
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use bartizan_testkit::raw;
    use tokio::net::TcpListener;

    use super::*;
    use crate::plain;

    async fn ask(address: SocketAddr, hops: &str) -> raw::Reply {
        let request = format!(
            "GET / HTTP/1.1\r\nhost: a\r\nx-hop-count: {hops}\r\nconnection: close\r\n\r\n"
        );
        raw::exchange(address, request.as_bytes(), Duration::from_secs(5)).await
    }

    async fn limits(address: SocketAddr) {
        let answer = ask(address, "9").await.text();
        assert!(answer.contains(r#"hop Some("10"), Via Some("1.1 bartizan-"#), "{answer}");
        assert_eq!(ask(address, "10").await.status(), Some(508));
        assert_eq!(ask(address, "+1").await.status(), Some(400));
    }

    #[tokio::test]
    async fn hops_are_limited_in_axum() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app()).await });
        limits(address).await;
    }

    #[tokio::test]
    async fn hops_are_limited_in_hyper() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(plain::serve(listener, service()));
        limits(address).await;
    }
}
