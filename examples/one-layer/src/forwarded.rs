//! `SanitizeForwarded` alone: a server that reports the address of its client.

use std::{convert::Infallible, error::Error, net::SocketAddr};

use axum::{Router, extract::ConnectInfo, routing::get};
use bartizan_core::{ClientAddr, PublicOrigin};
use bartizan_forwarded::{SanitizeForwardedLayer, TrustedPeers};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use tower::{Layer, service_fn};
use tower_service::Service;

/// In axum, the peer is read from axum's `ConnectInfo`.
pub(crate) fn app() -> Router {
    let guard = guard().peer_from(|extensions| {
        extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer)
    });
    let answer = async |request: axum::extract::Request| describe(&request);
    Router::new().route("/", get(answer)).layer(guard)
}

/// In hyper, [`plain::serve`](crate::plain::serve) attaches the peer.
pub(crate) fn service() -> impl Service<
    Request<Incoming>,
    Response = Response<
        impl Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + use<>,
    >,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send {
    guard().layer(service_fn(async |request: Request<Incoming>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(describe(&request))))
    }))
}

/// Trusts processes on this host, such as a load balancer next to the server.
fn guard() -> SanitizeForwardedLayer {
    SanitizeForwardedLayer::new().trust(TrustedPeers::default().and_loopback())
}

fn describe<B>(request: &Request<B>) -> String {
    let client = ClientAddr::of(request).map(|client| client.ip().to_string());
    let scheme = PublicOrigin::of(request).map(|origin| origin.scheme().to_string());
    let chain = x_forwarded_for(request.headers());
    format!("client {client:?} by {scheme:?}, X-Forwarded-For {chain:?}\n")
}

fn x_forwarded_for(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-forwarded-for")?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use bartizan_testkit::raw;
    use tokio::net::TcpListener;

    use super::*;
    use crate::plain;

    const REQUEST: &str = "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 6.6.6.6, 198.51.100.5\r\nx_forwarded_for: 6.6.6.6\r\nx-forwarded-proto: https\r\nconnection: close\r\n\r\n";
    const ANSWER: &str = r#"client Some("198.51.100.5") by Some("https"), X-Forwarded-For Some("198.51.100.5, 127.0.0.1")"#;

    async fn ask(address: SocketAddr) -> String {
        raw::exchange(address, REQUEST.as_bytes(), std::time::Duration::from_secs(5)).await.text()
    }

    #[tokio::test]
    async fn the_client_is_known_in_axum() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = app().into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        let answer = ask(address).await;
        assert!(answer.contains(ANSWER), "{answer}");
    }

    #[tokio::test]
    async fn the_client_is_known_in_hyper() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(plain::serve(listener, service()));
        let answer = ask(address).await;
        assert!(answer.contains(ANSWER), "{answer}");
    }
}
