//! A store that cannot write at the wrong moment.
#![allow(clippy::unwrap_used, reason = "test support")]

mod common;

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
};

use bartizan_memory::MemoryStore;
use bartizan_pin::{Backends, PinBackendLayer};
use bartizan_resume::ResumeSessionLayer;
use bartizan_session::ValidateSessionLayer;
use bytes::Bytes;
use common::Flaky;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
const RESULT: &str =
    r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{}}}"#;

/// This once failed: a DELETE whose mark could not be written still removed the record, so another replica that was
/// moving the session left one behind that could not be ended.
#[tokio::test(start_paused = true)]
async fn a_delete_that_cannot_be_noted_ends_nothing_and_can_be_sent_again() {
    let store = Flaky { inner: MemoryStore::new(), cannot_replace: Arc::default() };
    let server = service_fn(async |request: Request<_>| {
        let (head, body) = request.into_parts();
        let body: Bytes = BodyExt::collect(body).await.unwrap_or_default().to_bytes();
        let mut response = Response::new(Full::<Bytes>::from(RESULT));
        if head.method == Method::POST && body == INITIALIZE {
            response.headers_mut().insert("mcp-session-id", "session".parse().unwrap());
        }
        Ok::<_, Infallible>(response)
    });
    let backends = Backends::new(["http://a:1".parse().unwrap()]);
    let pinned = PinBackendLayer::new(backends).layer(server);
    let resume = ResumeSessionLayer::new(store.clone());
    let service = ValidateSessionLayer::mcp(store.clone()).layer(resume.layer(pinned));

    let opening = Request::post("/mcp").body(Full::from(INITIALIZE)).unwrap();
    assert_eq!(service.clone().oneshot(opening).await.unwrap().status(), 200);
    let delete = || {
        let request = Request::delete("/mcp").header("mcp-session-id", "session");
        service.clone().oneshot(request.body(Full::<Bytes>::default()).unwrap())
    };
    store.cannot_replace.store(true, Ordering::Relaxed);
    assert_eq!(delete().await.unwrap().status(), 503);
    assert_eq!(store.inner.len(), 1);
    store.cannot_replace.store(false, Ordering::Relaxed);
    assert_eq!(delete().await.unwrap().status(), 200);
    assert_eq!(store.inner.len(), 0);
}
