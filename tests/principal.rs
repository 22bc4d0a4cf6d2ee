//! The owners of sessions, through the whole stack, with a service that simulates backends that verify tokens.
#![allow(clippy::unwrap_used, reason = "test support")]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bartizan::{
    ReverseProxyStack,
    core::{GuardBody, Passage, PeerAddr, Reason, store::NoStore},
    forwarded::TrustedPeers,
    memory::MemoryStore,
    pin::{Backends, key::NoKey},
    principal::NamePrincipalLayer,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, service_fn};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"i","method":"initialize","params":{}}"#;
const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{}}"#;

// The payloads are {"iss":"i","sub":"alice","n":1}, the same with 2, and {"iss":"i","sub":"bob","n":1}.
const ALICE: &str = "Bearer e30.eyJpc3MiOiJpIiwic3ViIjoiYWxpY2UiLCJuIjoxfQ.one";
const REFRESHED: &str = "Bearer e30.eyJpc3MiOiJpIiwic3ViIjoiYWxpY2UiLCJuIjoyfQ.two";
const BOB: &str = "Bearer e30.eyJpc3MiOiJpIiwic3ViIjoiYm9iIiwibiI6MX0.three";

type Stack = ReverseProxyStack<MemoryStore, NoKey, NoStore, NamePrincipalLayer>;

fn stack(layer: NamePrincipalLayer) -> Stack {
    let backends = Backends::new(["http://a:1".parse().unwrap()]);
    ReverseProxyStack::mcp(MemoryStore::new(), backends)
        .forwarded(|layer| layer.trust(TrustedPeers::networks(["10.0.0.0/8".parse().unwrap()])))
        .auth(layer)
}

/// Opens a session for each `initialize`. A call needs credentials that are not `forged`, and is answered with events;
/// a GET is always answered with events.
async fn respond<B>(
    number: usize,
    request: Request<B>,
) -> Result<Response<GuardBody<Full<Bytes>>>, Infallible>
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut response = Response::new(GuardBody::forwarded(Full::from("data: ok\n\n")));
    let credentials = head.headers.get("authorization").or(head.headers.get("x-user"));
    let is_forged =
        |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).contains("forged");
    if body == INITIALIZE {
        let id = format!("session-{number}").parse().unwrap();
        response.headers_mut().insert("mcp-session-id", id);
    } else if body == CALL || head.method == Method::GET {
        response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
        if body == CALL && credentials.is_none_or(is_forged) {
            *response.status_mut() = http::StatusCode::UNAUTHORIZED;
        }
    }
    Ok(response)
}

/// A service with the stack over such a backend, and how many requests the backend got.
macro_rules! serve {
    ($layer:expr) => {{
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let service = stack($layer).layer(service_fn(move |request| {
            respond(counted.fetch_add(1, Ordering::SeqCst), request)
        }));
        (service, calls)
    }};
}

fn post(
    session: Option<&str>,
    body: &'static str,
    fields: &[(&'static str, &str)],
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(Method::POST).uri("/mcp");
    if let Some(id) = session {
        request = request.header("mcp-session-id", id);
    }
    let mut request = request.body(Full::from(body)).unwrap();
    for (name, value) in fields {
        let value = HeaderValue::from_str(value).unwrap();
        request.headers_mut().append(HeaderName::from_static(name), value);
    }
    PeerAddr::new("203.0.113.9:1".parse().unwrap()).attach(&mut request);
    request
}

fn by(session: Option<&str>, body: &'static str, credentials: &str) -> Request<Full<Bytes>> {
    match credentials {
        "" => post(session, body, &[]),
        _ => post(session, body, &[("authorization", credentials)]),
    }
}

async fn send<S, R>(service: &S, request: Request<Full<Bytes>>) -> Response<R>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible> + Clone,
{
    service.clone().oneshot(request).await.unwrap()
}

fn session_in(headers: &HeaderMap) -> String {
    headers["mcp-session-id"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_strangers_token_does_not_find_a_session_and_a_refreshed_one_keeps_it() {
    let (service, calls) = serve!(NamePrincipalLayer::jwt());
    let opened = send(&service, by(None, INITIALIZE, ALICE)).await;
    let id = session_in(opened.headers());
    assert_eq!(send(&service, by(Some(&id), CALL, ALICE)).await.status(), 200);
    assert_eq!(send(&service, by(Some(&id), CALL, REFRESHED)).await.status(), 200);

    let before = calls.load(Ordering::SeqCst);
    let unknown = send(&service, by(Some("session-99"), CALL, BOB)).await;
    let unknown = unknown.into_body().collect().await.unwrap().to_bytes();
    let both = post(Some(&id), CALL, &[("authorization", ALICE), ("authorization", BOB)]);
    for stranger in [
        by(Some(&id), CALL, BOB),
        by(Some(&id), CALL, "Bearer opaque"),
        by(Some(&id), CALL, ""),
        by(Some(&id), CALL, " "),
        both,
    ] {
        let refused = send(&service, stranger).await;
        assert_eq!(Reason::of(&refused), Some(Reason::UnknownSession));
        let body = refused.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, unknown, "as any unknown session");
        assert!(String::from_utf8_lossy(&body).contains("-32001"));
    }
    assert_eq!(calls.load(Ordering::SeqCst), before);
    assert_eq!(send(&service, by(Some(&id), CALL, ALICE)).await.status(), 200);
}

#[tokio::test]
async fn a_rotated_opaque_token_is_another_caller() {
    for layer in [NamePrincipalLayer::authorization(), NamePrincipalLayer::jwt()] {
        let (service, _) = serve!(layer);
        let opened = send(&service, by(None, INITIALIZE, "Bearer one")).await;
        let id = session_in(opened.headers());
        assert_eq!(send(&service, by(Some(&id), CALL, "Bearer one")).await.status(), 200);
        assert_eq!(send(&service, by(Some(&id), CALL, "Bearer two")).await.status(), 404);
    }
}

#[tokio::test]
async fn a_client_that_logs_in_later_keeps_its_session_and_others_lose_sight_of_it() {
    for (alice, refreshed, layer) in [
        (ALICE, REFRESHED, NamePrincipalLayer::jwt()),
        ("Bearer one", "Bearer one", NamePrincipalLayer::authorization()),
    ] {
        let (service, _) = serve!(layer);
        let opened = send(&service, by(None, INITIALIZE, "")).await;
        let id = session_in(opened.headers());
        assert_eq!(send(&service, by(Some(&id), CALL, "")).await.status(), 401);
        assert_eq!(send(&service, by(Some(&id), CALL, "Bearer forged")).await.status(), 401);
        let listen = || {
            let mut request = by(Some(&id), "", "");
            *request.method_mut() = Method::GET;
            request
        };
        let mut listening = send(&service, listen()).await.into_body();
        let accepted = send(&service, by(Some(&id), CALL, alice)).await;
        assert_eq!(accepted.status(), 200);
        // The streams of the session stay open: it has not ended.
        for body in [&mut accepted.into_body(), &mut listening] {
            let events = body.collect().await.unwrap().to_bytes();
            assert_eq!(events, "data: ok\n\n");
        }
        for stranger in ["", BOB, "Bearer forged"] {
            let refused = send(&service, by(Some(&id), CALL, stranger)).await;
            assert_eq!(Reason::of(&refused), Some(Reason::UnknownSession), "{stranger}");
        }
        assert_eq!(send(&service, by(Some(&id), CALL, refreshed)).await.status(), 200);
    }
}

#[tokio::test]
async fn a_field_names_the_caller_by_the_word_of_a_trusted_proxy_alone() {
    let layer = NamePrincipalLayer::header(HeaderName::from_static("x-user")).unwrap();
    let (service, _) = serve!(layer);
    let proxied = |session, body, user: &str| {
        let mut request = post(session, body, &[("x-user", user)]);
        PeerAddr::new("10.0.0.1:1".parse().unwrap()).attach(&mut request);
        request
    };
    let opened = send(&service, proxied(None, INITIALIZE, "alice")).await;
    let id = session_in(opened.headers());
    assert_eq!(send(&service, proxied(Some(&id), CALL, "alice")).await.status(), 200);
    assert_eq!(send(&service, proxied(Some(&id), CALL, "bob")).await.status(), 404);
    let spoofed = || post(Some(&id), CALL, &[("x-user", "alice"), ("x_user", "alice")]);
    assert_eq!(send(&service, spoofed()).await.status(), 404);
    // The backend does not get it, either: in a session without an owner, it asks for credentials.
    let opened = send(&service, post(None, INITIALIZE, &[("x-user", "alice")])).await;
    let id = session_in(opened.headers());
    let spoofed = post(Some(&id), CALL, &[("x-user", "alice"), ("x_user", "alice")]);
    assert_eq!(send(&service, spoofed).await.status(), 401);
}

#[tokio::test]
async fn without_a_principal_all_is_as_ever() {
    let (service, _) = serve!(NamePrincipalLayer::none());
    let opened = send(&service, by(None, INITIALIZE, ALICE)).await;
    let id = session_in(opened.headers());
    for token in [ALICE, BOB, "Bearer opaque"] {
        assert_eq!(send(&service, by(Some(&id), CALL, token)).await.status(), 200);
    }
    let mut request = by(Some(&id), CALL, "");
    Passage::with(&mut request, |passage| passage.set_may_bind(true));
    assert_eq!(send(&service, request).await.status(), 401, "reaches the backend");
}
