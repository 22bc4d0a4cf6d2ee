//! The body that is kept for another attempt also serves refusals of inner layers, because it contains the id.
#![allow(clippy::unwrap_used, reason = "test support")]

use std::convert::Infallible;

use bartizan_core::{
    Backend, Dialect, GuardBody, Reason, Refusal, UpstreamFailure, failure::FailureKind,
};
use bartizan_memory::MemoryStore;
use bartizan_pin::{Backends, PinBackendLayer};
use bartizan_resume::ResumeSessionLayer;
use bartizan_session::ValidateSessionLayer;
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use tower::{Layer, ServiceExt, service_fn};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
const RESULT: &str =
    r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{}}}"#;

/// Opens a session, and fails with anything else: after it has read as many frames as `x-reads` says.
async fn fails<B>(request: Request<B>) -> Result<Response<GuardBody<Full<Bytes>>>, Infallible>
where
    B: Body<Data = Bytes> + Unpin,
{
    assert!(Backend::of(&request).is_some());
    let (head, mut body) = request.into_parts();
    let Some(reads) = head.headers.get("x-reads") else {
        let _ = body.collect().await;
        let mut response = Response::new(GuardBody::forwarded(Full::from(RESULT)));
        response.headers_mut().insert("mcp-session-id", "s1".parse().unwrap());
        return Ok(response);
    };
    let reads: usize = reads.to_str().unwrap().parse().unwrap();
    for _ in 0..reads {
        let _ = body.frame().await;
    }
    let (reason, kind) = match head.headers.contains_key("x-unreachable") {
        true => (Reason::BackendUnreachable, FailureKind::Dns),
        false => (Reason::ConnectionTerminated, FailureKind::Terminated),
    };
    let mut response = Refusal::new(reason).respond(&Dialect::JsonRpc(None));
    response.extensions_mut().insert(UpstreamFailure::new(kind));
    Ok(response)
}

fn body(frames: &[&'static str]) -> UnsyncBoxBody<Bytes, Infallible> {
    let frames: Vec<_> = frames.iter().map(|text| Ok(Frame::data(Bytes::from(*text)))).collect();
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

/// The answer to a call whose body arrives in two frames, if `keeps` bytes of it are kept.
async fn called(keeps: usize, fields: &[&str]) -> String {
    let store = MemoryStore::new();
    let backends = Backends::new(["http://a:1".parse().unwrap()]);
    let service = |layer: ResumeSessionLayer<MemoryStore>| {
        let pinned = PinBackendLayer::new(backends.clone()).layer(service_fn(fails));
        ValidateSessionLayer::mcp(store.clone()).layer(layer.layer(pinned))
    };
    let opening = Request::post("/mcp").body(body(&[INITIALIZE])).unwrap();
    // The whole opening is kept; otherwise the session could not be resumed.
    let opened = service(ResumeSessionLayer::new(store.clone())).oneshot(opening).await.unwrap();
    assert_eq!(opened.headers()["mcp-session-id"], "s1");
    let mut call = Request::post("/mcp").header("mcp-session-id", "s1");
    for field in fields {
        let (name, value) = field.split_once(": ").unwrap();
        call = call.header(name, value);
    }
    let frames = [r#"{"jsonrpc":"2.0","method":"x","#, r#""id":"y"}"#];
    let layer = ResumeSessionLayer::new(store.clone()).keep_limit(keeps);
    let refusal = service(layer).oneshot(call.body(body(&frames)).unwrap()).await.unwrap();
    let text = refusal.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(text.into()).unwrap()
}

#[tokio::test]
async fn a_refusal_has_the_id_of_a_request_that_was_sent_if_all_of_it_was_kept() {
    for (fields, keeps, has_id) in [
        // Two frames, and the end.
        (&["x-reads: 3"][..], 1024, true),
        (&["x-reads: 3"], 16, false),
        // It may still be in flight, and another attempt would cut it off.
        (&["x-reads: 1"], 1024, false),
        (&["x-reads: 0"], 1024, false),
        (&["x-reads: 0", "x-unreachable: 1"], 1024, true),
        // An unread body is still complete, whatever its size.
        (&["x-reads: 0", "x-unreachable: 1"], 16, true),
    ] {
        let text = called(keeps, fields).await;
        assert!(text.contains(r#""error""#), "{text}");
        assert_eq!(text.contains(r#","id":"y","#), has_id, "{fields:?} {keeps}: {text}");
    }
}
