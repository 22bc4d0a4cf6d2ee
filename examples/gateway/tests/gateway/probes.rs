//! Backends that the gateway probes.

use std::{
    future::pending,
    sync::atomic::{AtomicUsize, Ordering},
};

use bartizan_testkit::{BoxBody, Server, client::Raw, serve, server::boxed};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;

use crate::fixtures::Gateway;

static OPENED: AtomicUsize = AtomicUsize::new(0);

/// A server that opens sessions whose ids begin with `name`, and either answers `/healthz` or stays silent there.
async fn server(name: &'static str, is_well: bool) -> Server {
    serve(move |request: Request<_>| async move {
        if request.uri().path() == "/healthz" && !is_well {
            return pending::<Response<BoxBody>>().await;
        }
        let mut response = Response::new(boxed(Full::<Bytes>::from("{}")));
        if request.headers().contains_key("mcp-session-id") {
            *response.status_mut() = StatusCode::ACCEPTED;
            return response;
        }
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert("content-type", json);
        let id = format!("{name}-{}", OPENED.fetch_add(1, Ordering::Relaxed));
        response.headers_mut().insert("mcp-session-id", HeaderValue::try_from(id).unwrap());
        response
    })
    .await
}

#[tokio::test]
async fn a_backend_that_leaves_probes_unanswered_gets_no_new_sessions() {
    let (well, hanging) = (server("well", true).await, server("hanging", false).await);
    let options = ["--probe=/healthz", "--probe-interval=200ms", "--probe-timeout=100ms"];
    let origins = [well.uri(), hanging.uri()];
    let mut gateway = Gateway::before(&origins, &options).await;
    let line = gateway.process.error_line_with("backend out of service").await;
    assert!(line.contains(&hanging.uri()) && line.contains("probe"), "{line}");
    let client = Raw::new(&gateway.uri());
    for _ in 0..8 {
        let session = client.initialize().await;
        assert!(session.starts_with("well-"), "{session}");
    }
}
