//! Health and readiness, on a port of their own.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 |
//! | `/readyz` | 200 while the store answers and the gateway is not leaving, else 503 |
//! | any other | 404 |
//!
//! A foreign page's request is refused as on the main port: 421 or 403.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bartizan::{
    connection::ConnectionService,
    core::{GuardBody, PeerAddr},
    origin::GuardOriginLayer,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tower::service_fn;
use tower_layer::Layer;

/// Answers for as long as the process lives.
pub(crate) async fn serve(
    listener: TcpListener,
    guard: GuardOriginLayer,
    is_ready: Arc<dyn Fn() -> bool + Send + Sync>,
) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let is_ready = Arc::clone(&is_ready);
        let answer = service_fn(move |request: Request<Incoming>| {
            let response = respond(request.uri().path(), &*is_ready).map(GuardBody::forwarded);
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
        // A connection that breaks off concerns nobody else.
        tokio::spawn(builder.serve_connection(TokioIo::new(stream), answer));
    }
}

fn respond(path: &str, is_ready: &(dyn Fn() -> bool + Send + Sync)) -> Response<Full<Bytes>> {
    let (status, text) = match path {
        "/healthz" => (StatusCode::OK, "ok\n"),
        "/readyz" if is_ready() => (StatusCode::OK, "ready\n"),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        _ => (StatusCode::NOT_FOUND, "/healthz and /readyz are here\n"),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_told_and_health_is_apart_from_it() {
        for (path, ready, status) in [
            ("/healthz", true, 200),
            ("/healthz", false, 200),
            ("/readyz", true, 200),
            ("/readyz", false, 503),
            ("/", true, 404),
        ] {
            assert_eq!(respond(path, &move || ready).status(), status, "{path} {ready}");
        }
    }
}
