//! Health and readiness, on a port of their own.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 |
//! | `/readyz` | 200 or 503, and what is missing; see `readiness` |
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

use crate::readiness::Readiness;

/// Answers for as long as the process lives.
pub(crate) async fn serve(
    listener: TcpListener,
    guard: GuardOriginLayer,
    readiness: Arc<dyn Fn() -> Readiness + Send + Sync>,
) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let readiness = Arc::clone(&readiness);
        let answer = service_fn(move |request: Request<Incoming>| {
            let response = respond(request.uri().path(), &*readiness).map(GuardBody::forwarded);
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

fn respond(path: &str, readiness: &dyn Fn() -> Readiness) -> Response<Full<Bytes>> {
    let (status, text) = match path {
        "/healthz" => (StatusCode::OK, "ok\n".into()),
        "/readyz" => {
            let readiness = readiness();
            let status = match readiness.is_ready() {
                true => StatusCode::OK,
                false => StatusCode::SERVICE_UNAVAILABLE,
            };
            (status, readiness.to_string().into())
        }
        _ => (StatusCode::NOT_FOUND, "/healthz and /readyz are here\n".into()),
    };
    let mut response = Response::new(Full::<Bytes>::new(text));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_told_and_health_is_apart_from_it() {
        let lacking = || vec!["it".to_owned()];
        for (path, readiness, status) in [
            ("/healthz", Readiness::Ready, 200),
            ("/healthz", Readiness::NotReady(lacking()), 200),
            ("/readyz", Readiness::Ready, 200),
            ("/readyz", Readiness::Degraded(lacking()), 200),
            ("/readyz", Readiness::NotReady(lacking()), 503),
            ("/", Readiness::Ready, 404),
        ] {
            let told = respond(path, &|| readiness.clone()).status();
            assert_eq!(told, status, "{path} {readiness:?}");
        }
    }
}
