//! Health, readiness and metrics, on a separate port.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 |
//! | `/readyz` | 200 or 503, and what is missing; see `readiness` |
//! | `/metrics` | 200 and the metrics, as Prometheus reads them; 503 while two others read them |
//! | any other | 404 |
//!
//! A request from a foreign page is refused as on the main port: 421 or 403. A method other than GET and HEAD gets 405.
//! A head of more than 8 KiB gets 431 (up to twice that may pass). At most 64 connections are served at once; others
//! wait.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bartizan::{
    connection::ConnectionService,
    core::{GuardBody, PeerAddr},
    observe::Metrics,
    origin::GuardOriginLayer,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::ALLOW};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};
use tower::service_fn;
use tower_layer::Layer;

use super::scrape::Scrapes;
use crate::readiness::Readiness;

const HEAD_BYTES: usize = 8 * 1024;
const MAX_CONNECTIONS: usize = 64;

/// Answers until the process exits.
pub(crate) async fn serve(
    listener: TcpListener,
    guard: GuardOriginLayer,
    readiness: Arc<dyn Fn() -> Readiness + Send + Sync>,
    metrics: Metrics,
) {
    let scrapes = Scrapes::new(metrics);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (readiness, scrapes) = (Arc::clone(&readiness), scrapes.clone());
        let answer = service_fn(move |request: Request<Incoming>| {
            let response = respond(request.method(), request.uri().path(), &*readiness, &scrapes);
            let response = response.map(GuardBody::forwarded);
            async move { Ok::<_, Infallible>(response) }
        });
        let peer = PeerAddr::new(peer);
        let peer = match stream.local_addr() {
            Ok(local) => peer.accepted_at(local),
            Err(_) => peer,
        };
        let answer = ConnectionService::new(guard.layer(answer), peer);
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
        builder.max_buf_size(HEAD_BYTES);
        let connection = builder.serve_connection(TokioIo::new(stream), answer);
        // An error ends only this connection.
        tokio::spawn(async move {
            let _ = connection.await;
            drop(place);
        });
    }
}

fn respond(
    method: &Method,
    path: &str,
    readiness: &dyn Fn() -> Readiness,
    scrapes: &Scrapes,
) -> Response<Full<Bytes>> {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let (status, text) = match path {
        _ if !is_read => (StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n".to_owned()),
        "/healthz" => (StatusCode::OK, "ok\n".to_owned()),
        "/metrics" => return scrapes.respond(),
        "/readyz" => {
            let readiness = readiness();
            let status = match readiness.is_ready() {
                true => StatusCode::OK,
                false => StatusCode::SERVICE_UNAVAILABLE,
            };
            (status, readiness.to_string())
        }
        _ => (StatusCode::NOT_FOUND, "/healthz, /readyz and /metrics are here\n".to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    if !is_read {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        time::timeout,
    };

    use super::*;

    #[test]
    fn readiness_is_told_and_health_is_apart_from_it() {
        let lacking = || vec!["it".to_owned()];
        let scrapes = Scrapes::new(Metrics::new());
        for (method, path, readiness, status) in [
            (Method::GET, "/healthz", Readiness::Ready, 200),
            (Method::GET, "/healthz", Readiness::NotReady(lacking()), 200),
            (Method::GET, "/readyz", Readiness::Ready, 200),
            (Method::HEAD, "/readyz", Readiness::Ready, 200),
            (Method::GET, "/readyz", Readiness::Degraded(lacking()), 200),
            (Method::GET, "/readyz", Readiness::NotReady(lacking()), 503),
            (Method::GET, "/metrics", Readiness::NotReady(lacking()), 200),
            (Method::HEAD, "/metrics", Readiness::Ready, 200),
            (Method::POST, "/metrics", Readiness::Ready, 405),
            (Method::GET, "/", Readiness::Ready, 404),
            (Method::POST, "/readyz", Readiness::Ready, 405),
            (Method::DELETE, "/", Readiness::Ready, 405),
        ] {
            let response = respond(&method, path, &|| readiness.clone(), &scrapes);
            assert_eq!(response.status(), status, "{method} {path} {readiness:?}");
            assert_eq!(response.headers().contains_key(ALLOW), status == 405);
        }
    }

    /// Sends `request` and reads the status, or gives up after a short time.
    async fn ask(address: SocketAddr, request: &str) -> Option<(TcpStream, String)> {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(request.as_bytes()).await;
        let mut status = [0; 12];
        let read = timeout(Duration::from_millis(500), stream.read_exact(&mut status)).await;
        read.ok()?.unwrap();
        Some((stream, String::from_utf8_lossy(&status[9..]).into_owned()))
    }

    #[tokio::test]
    async fn heads_and_connections_are_bounded() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (guard, ready) = (GuardOriginLayer::new(), Arc::new(|| Readiness::Ready));
        tokio::spawn(serve(listener, guard, ready, Metrics::new()));
        let get = "GET /readyz HTTP/1.1\r\nhost: a\r\n";
        for (field_bytes, status) in [(7_000, "200"), (20_000, "431")] {
            let request = format!("{get}x: {}\r\n\r\n", "a".repeat(field_bytes));
            assert_eq!(ask(address, &request).await.unwrap().1, status);
        }
        let mut open = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            open.push(ask(address, &format!("{get}\r\n")).await.unwrap());
        }
        assert!(ask(address, &format!("{get}\r\n")).await.is_none());
        drop(open);
        assert_eq!(ask(address, &format!("{get}\r\n")).await.unwrap().1, "200");
    }
}
