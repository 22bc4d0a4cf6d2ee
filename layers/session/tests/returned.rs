//! The refusal of an inner layer gets the id of its request if that layer returns the body, and is not held up.
#![allow(clippy::unwrap_used, reason = "test support")]

mod common;

use std::{convert::Infallible, future::pending, time::Duration};

use bartizan_core::{
    Dialect, GuardBody, Key, Passage, Principal, Reason, Refusal, Route, SessionStore,
    refusal::ReturnedBody,
};
use bartizan_memory::MemoryStore;
use bartizan_session::{PeekedBody, SessionBody, ValidateSessionLayer};
use bytes::Bytes;
use common::{CALL, Mood, Moody, Server, guard, is_live, live};
use futures_util::{FutureExt, StreamExt, stream};
use http::{
    HeaderValue, Method, Request, Response,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};

type Sent = StreamBody<stream::BoxStream<'static, Result<Frame<Bytes>, &'static str>>>;
type Answer<T> = Response<SessionBody<GuardBody<Full<Bytes>>, T>>;

/// An inner layer that refuses each request for `reason`, and returns the body as the layers here do.
fn refusing(
    reason: Reason,
) -> impl Service<
    Request<PeekedBody<Sent>>,
    Response = Response<GuardBody<Full<Bytes>>>,
    Error = Infallible,
    Future = impl Send,
> + Clone
+ Send
+ 'static {
    tower::service_fn(move |request: Request<PeekedBody<Sent>>| async move {
        let dialect = Dialect::of(&request);
        let refusal = Refusal::new(reason).proxy_status("gw", "connection_refused");
        let mut refusal = refusal.respond(&dialect);
        if ReturnedBody::is_wanted(&dialect)
            && let Some(returned) = ReturnedBody::new(request.into_body())
        {
            returned.attach(&mut refusal);
        }
        Ok(refusal)
    })
}

fn whole(text: &str) -> Sent {
    pieces(vec![text], Ends::Well)
}

#[derive(Clone, Copy)]
enum Ends {
    Well,
    Broken,
    Never,
}

fn pieces(pieces: Vec<&str>, ends: Ends) -> Sent {
    let frames: Vec<_> =
        pieces.into_iter().map(|text| Ok(Frame::data(Bytes::from(text.to_owned())))).collect();
    let frames = stream::iter(frames);
    StreamBody::new(match ends {
        Ends::Well => frames.boxed(),
        Ends::Broken => frames.chain(stream::iter([Err("gone")])).boxed(),
        Ends::Never => frames.chain(pending().into_stream()).boxed(),
    })
}

fn in_session(body: Sent) -> Request<Sent> {
    Request::post("/mcp").header("mcp-session-id", "s1").body(body).unwrap()
}

async fn text<T: SessionStore>(response: Answer<T>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.into()).unwrap()
}

/// The answer to `request` in a live session if an inner layer refuses it for `reason`.
async fn answer(reason: Reason, request: Request<Sent>) -> (Answer<MemoryStore>, MemoryStore) {
    let store = MemoryStore::new();
    live(&store, "s1").await;
    let service = ValidateSessionLayer::mcp(store.clone()).layer(refusing(reason));
    (service.oneshot(request).await.unwrap(), store)
}

fn error(id: &str, reason: Reason) -> String {
    let (code, message) = (reason.rpc_code(), reason.message());
    format!(r#"{{"jsonrpc":"2.0",{id}"error":{{"code":{code},"message":"{message}"}}}}"#)
}

#[tokio::test]
async fn every_refusal_of_a_live_session_has_the_id_of_its_request() {
    for reason in [
        Reason::BackendUnreachable,
        Reason::BackendUnknown,
        Reason::BackendLost,
        Reason::BackendOutOfReach,
        Reason::BackendBusy,
        Reason::ConnectionTerminated,
        Reason::ResponseTimeout,
        Reason::NoBackend,
        Reason::ProtectedField,
    ] {
        for id in ["7", r#""a\"\u2028b""#, "9007199254740993", "-1.5"] {
            // The SDKs put it last or first.
            for call in [
                format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{}}}}"#),
                format!(r#"{{"method":"ping","params":{{"id":1}},"jsonrpc":"2.0","id":{id}}}"#),
            ] {
                let (response, store) = answer(reason, in_session(whole(&call))).await;
                assert_eq!(response.status(), reason.status());
                assert_eq!(Reason::of(&response), Some(reason), "the rest stays");
                assert_eq!(response.headers()["proxy-status"], "gw; error=connection_refused");
                assert!(!ReturnedBody::is_in(&response));
                assert_eq!(text(response).await, error(&format!(r#""id":{id},"#), reason));
                assert_eq!(is_live(&store, "s1").await, reason != Reason::BackendLost);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_no_id_or_does_not_show_it_in_time_is_refused_without() {
    let large =
        format!(r#"{{"jsonrpc":"2.0","id":7,"method":"x","params":"{}"}}"#, "x".repeat(64 * 1024));
    let halves = CALL.split_at(20);
    for (body, at_most_ms) in [
        (whole(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#), 0),
        (whole(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#), 0),
        (whole(r#"{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"m"}}"#), 0),
        (whole(r#"[{"jsonrpc":"2.0","id":7,"method":"ping"}]"#), 0),
        (whole("no JSON"), 0),
        (whole(""), 0),
        (whole(&large), 0),
        (pieces(vec![halves.0], Ends::Broken), 0),
        (pieces(vec![halves.0], Ends::Never), 1_000),
        (pieces(vec![CALL], Ends::Never), 1_000),
        (pieces(vec![], Ends::Never), 1_000),
    ] {
        let begun = Instant::now();
        let (response, _) = answer(Reason::BackendUnreachable, in_session(body)).await;
        assert!(begun.elapsed() <= Duration::from_millis(at_most_ms + 1), "{:?}", begun.elapsed());
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(text(response).await, error("", Reason::BackendUnreachable));
    }
    // The refusal waits that long for the body.
    let late = stream::once(async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        Ok(Frame::data(Bytes::from(CALL)))
    });
    let late = in_session(StreamBody::new(late.boxed()));
    let (response, _) = answer(Reason::BackendUnreachable, late).await;
    assert_eq!(text(response).await, error(r#""id":7,"#, Reason::BackendUnreachable));
}

/// The store is updated first, because the client may send nothing, or disconnect.
#[tokio::test(start_paused = true)]
async fn a_lost_session_ends_before_the_id_is_looked_for() {
    let store = MemoryStore::new();
    live(&store, "s1").await;
    let service = ValidateSessionLayer::mcp(store.clone()).layer(refusing(Reason::BackendLost));
    let mut call = Box::pin(service.oneshot(in_session(pieces(vec![], Ends::Never))));
    assert!(call.as_mut().now_or_never().is_none());
    assert!(!is_live(&store, "s1").await);
}

/// A session that may still be bound takes another path.
#[tokio::test]
async fn a_session_that_is_to_be_bound_is_no_exception() {
    let store = MemoryStore::new();
    live(&store, "s1").await;
    let service =
        ValidateSessionLayer::mcp(store.clone()).layer(refusing(Reason::BackendUnreachable));
    let mut request = in_session(whole(CALL));
    Principal::new("issuer", "alice").attach(&mut request);
    Passage::with(&mut request, |passage| passage.set_may_bind(true));
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(text(response).await, error(r#""id":7,"#, Reason::BackendUnreachable));
    let route = Route::default();
    let found = store.get(Key::new(&route, None, b"s1")).wait().await.unwrap().unwrap();
    assert!(found.record().owner().is_none());
}

#[tokio::test]
async fn a_modern_request_gets_its_id_and_plain_http_keeps_its_form() {
    let refused = |request: Request<Sent>| async {
        let service =
            ValidateSessionLayer::mcp(MemoryStore::new()).layer(refusing(Reason::ConnectFailed));
        service.oneshot(request).await.unwrap()
    };
    let modern = Request::post("/mcp").header("mcp-protocol-version", "2026-07-28");
    let response = refused(modern.body(whole(CALL)).unwrap()).await;
    assert_eq!(text(response).await, error(r#""id":7,"#, Reason::ConnectFailed));
    let plain = Request::post("/other").body(whole(CALL)).unwrap();
    let response = refused(plain).await;
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert!(!text(response).await.contains("jsonrpc"));
}

/// A response of the inner service itself is not changed.
#[tokio::test]
async fn only_a_refusal_is_rendered_again() {
    let store = MemoryStore::new();
    live(&store, "s1").await;
    let inner = tower::service_fn(|request: Request<PeekedBody<Sent>>| async move {
        let mut response = Response::new(Full::<Bytes>::from("its own"));
        *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        ReturnedBody::new(request.into_body()).unwrap().attach(&mut response);
        Ok::<_, Infallible>(response)
    });
    let service = ValidateSessionLayer::mcp(store).layer(inner);
    let response = service.oneshot(in_session(whole(CALL))).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "its own");
}

/// A layer in between may change the format of a refusal, or compress it.
#[tokio::test]
async fn a_refusal_that_is_not_json_any_more_stays_as_it_is() {
    for (name, value) in [(CONTENT_TYPE, "text/html"), (CONTENT_ENCODING, "gzip")] {
        let store = MemoryStore::new();
        live(&store, "s1").await;
        let inner = refusing(Reason::NoBackend).map_response(move |refusal| {
            let mut refusal = refusal.map(|_| Full::<Bytes>::from("its own"));
            refusal.headers_mut().insert(name.clone(), HeaderValue::from_static(value));
            refusal
        });
        let service = ValidateSessionLayer::mcp(store).layer(inner);
        let response = service.oneshot(in_session(whole(CALL))).await.unwrap();
        assert_eq!(Reason::of(&response), Some(Reason::NoBackend));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "its own", "{value}");
    }
}

/// The same bound holds for the refusals of this layer itself.
#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_does_not_hold_a_refusal_of_this_layer() {
    let store = Moody { get: Some(Mood::Failing), ..Moody::new() };
    let service = ValidateSessionLayer::mcp(store).layer(refusing(Reason::NoBackend));
    let begun = Instant::now();
    let request = in_session(pieces(vec![], Ends::Never));
    let response = service.clone().oneshot(request).await.unwrap();
    assert!(begun.elapsed() <= Duration::from_millis(1_001));
    assert_eq!(text(response).await, error("", Reason::StoreUnavailable));
    let response = service.oneshot(in_session(whole(CALL))).await.unwrap();
    assert_eq!(text(response).await, error(r#""id":7,"#, Reason::StoreUnavailable));
}

/// A client's response has the id of a request from the server: an error with that id would seem to be about a request
/// of the client.
#[tokio::test]
async fn an_answer_to_the_server_is_refused_without_its_id() {
    let answer = r#"{"jsonrpc":"2.0","id":7,"result":{}}"#;
    let server = Server::mcp();
    let service = guard(&MemoryStore::new(), &server);
    for session in [Some("unknown"), None] {
        let request = common::request(Method::POST, session, answer);
        let response = common::send(&service, request).await;
        assert!(response.status().is_client_error());
        assert!(!common::text(response).await.contains(r#""id""#), "{session:?}");
    }
}
