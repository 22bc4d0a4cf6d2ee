//! The behaviour of rmcp's server and clients; the table in `counter` has the same rows.

use std::time::Duration;

use bartizan_testkit::{
    CounterServer,
    client::{Answer, INITIALIZE, Raw, call, call_with, connect, connect_modern, increment},
    eventually,
};
use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(10);
const MODERN: &str = "2026-07-28";

/// `increment` as a request of the modern era.
fn modern(meta: bool) -> String {
    let meta = if meta {
        json!({
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        })
    } else {
        json!({})
    };
    let params = json!({"name": "increment", "arguments": {}, "_meta": meta});
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}).to_string()
}

/// Sends a request with more header fields.
#[allow(clippy::expect_used, reason = "a helper of tests")]
async fn send(
    raw: &Raw,
    method: Method,
    session: Option<&str>,
    fields: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let mut request = raw.request(method, session);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    raw.send(request.body(Full::new(body.into())).expect("a request")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_count_separately() {
    let server = CounterServer::start().await;
    let one = connect(&server.endpoint()).await.unwrap();
    let two = connect(&server.endpoint()).await.unwrap();
    for expected in 1..=3 {
        assert_eq!(increment(&one).await.unwrap(), expected);
    }
    assert_eq!(increment(&two).await.unwrap(), 1);
    assert_eq!(server.initializes(), 2);
    one.cancel().await.unwrap();
    two.cancel().await.unwrap();
    eventually("each client ended its session", PATIENCE, || async {
        server.journal().iter().filter(|entry| entry.method == Method::DELETE).count() == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_driven_by_hand_reaches_every_tool() {
    let server = CounterServer::start().await;
    let raw = Raw::new(&server.uri());
    let id = raw.initialize().await;
    assert_eq!(raw.increment(&id).await.count(), Some(1));
    let echo = raw.call(Some(&id), 2, "echo", &json!({"text": "\"hé\""})).await;
    assert_eq!((echo.tool_text().as_deref(), &echo.message()["id"]), (Some("\"hé\""), &json!(2)));
    let slept = raw.call(Some(&id), 3, "sleep", &json!({"ms": 1})).await;
    assert_eq!(slept.tool_text().as_deref(), Some("slept"));
    let failed = raw.call(Some(&id), 4, "fail", &json!({})).await;
    assert_eq!((failed.status.as_u16(), &failed.result()["isError"]), (200, &json!(true)));
    // The handshake is an `initialize` without the id and a notification with it.
    assert_eq!(server.with_session(&id).len(), 5);
    assert_eq!((server.journal().len(), server.initializes()), (6, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_streams_until_it_is_deleted() {
    let server = CounterServer::start().await;
    let raw = Raw::new(&server.uri());
    let id = raw.initialize().await;
    let mut stream = raw.get_stream(&id).await.unwrap();
    assert_eq!(stream.status(), 200);
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let first = stream.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "data: \nid: 0\nretry: 3000\n\n", "an event without a message");
    assert_eq!(raw.delete(Some(&id)).await.status, 202);
    let rest = tokio::time::timeout(PATIENCE, stream.into_body().collect()).await;
    assert!(rest.is_ok(), "the stream ends with its session");
    eventually("it is unknown now", PATIENCE, || async { raw.increment(&id).await.status == 404 })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_must_be_known_except_to_be_deleted() {
    let server = CounterServer::start().await;
    let raw = Raw::new(&server.uri());
    let unknown = Some("unknown");
    for answer in [
        raw.post(unknown, call(1, "increment")).await,
        raw.post(unknown, INITIALIZE).await,
        raw.get(unknown).await,
    ] {
        assert_eq!(
            (answer.status.as_u16(), &*answer.text()),
            (404, "Not Found: Session not found")
        );
        assert!(!answer.headers.contains_key("content-type"));
    }
    assert_eq!(raw.delete(unknown).await.status, 202);
    for answer in
        [raw.post(None, call(1, "increment")).await, raw.get(None).await, raw.delete(None).await]
    {
        let text = answer.text();
        assert_eq!((answer.status.as_u16(), &*text), (400, "Bad Request: Session ID is required"));
        assert!(!answer.headers.contains_key("content-type"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_handshake_changes_nothing() {
    let server = CounterServer::start().await;
    let raw = Raw::new(&server.uri());
    let id = raw.initialize().await;
    assert_eq!(raw.increment(&id).await.count(), Some(1));
    let again = raw.post(Some(&id), INITIALIZE).await;
    assert_eq!((again.status.as_u16(), again.session()), (200, None));
    assert_eq!(again.result()["protocolVersion"], "2025-06-18");
    assert_eq!(raw.increment(&id).await.count(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_single_message_is_415() {
    let server = CounterServer::start().await;
    let raw = Raw::new(&server.uri());
    for body in ["nonsense", "[]", r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#] {
        let answer = raw.post(None, body).await;
        assert_eq!((answer.status.as_u16(), answer.headers.get("content-type")), (415, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_modern_era_has_no_sessions() {
    let server = CounterServer::start().await;
    let client = connect_modern(&server.endpoint()).await.unwrap();
    assert_eq!(increment(&client).await.unwrap(), 1);
    assert_eq!(increment(&client).await.unwrap(), 1, "each call meets a new instance");
    assert_eq!(server.initializes(), 0);
    assert!(server.journal().iter().all(|entry| entry.session().is_none()));

    let raw = Raw::new(&server.uri());
    let fields =
        [("mcp-protocol-version", MODERN), ("mcp-method", "tools/call"), ("mcp-name", "increment")];
    let id = raw.initialize().await;
    assert_eq!(raw.increment(&id).await.count(), Some(1));
    for session in [None, Some("unknown"), Some(&*id)] {
        let answer = send(&raw, Method::POST, session, &fields, modern(true)).await;
        assert_eq!((answer.status.as_u16(), answer.count()), (200, Some(1)), "{}", answer.text());
        assert!(answer.session().is_none());
    }
    assert_eq!(raw.increment(&id).await.count(), Some(2), "the session was not called");

    // Each of the headers is needed, and so is the metadata.
    for missing in 0..fields.len() {
        let mut rest = fields.to_vec();
        rest.remove(missing);
        let answer = send(&raw, Method::POST, None, &rest, modern(true)).await;
        let code = &answer.message()["error"]["code"];
        assert_eq!((answer.status.as_u16(), code), (400, &json!(-32020)), "{missing}");
    }
    let answer = send(&raw, Method::POST, None, &fields, modern(false)).await;
    let code = &answer.message()["error"]["code"];
    assert_eq!((answer.status.as_u16(), code), (400, &json!(-32602)));

    for method in [Method::GET, Method::DELETE] {
        let answer = send(&raw, method, Some(&id), &fields[..1], "").await;
        assert_eq!(answer.status, 405);
        assert_eq!(answer.headers["allow"], "POST");
    }
    assert_eq!(raw.increment(&id).await.count(), Some(3), "the session was not ended");

    // A handshake belongs to the legacy era, whatever version it names.
    let answer = raw.post(None, INITIALIZE.replace("2025-06-18", MODERN)).await;
    let version = answer.result()["protocolVersion"].take();
    assert!(answer.session().is_some());
    assert_eq!((answer.status.as_u16(), version), (200, json!("2025-11-25")));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_loopback_names_are_hosts() {
    let server = CounterServer::start().await;
    let raw = Raw::new(&server.uri());
    for (name, value, status) in [
        ("host", "localhost:1", 200),
        ("host", "[::1]", 200),
        ("host", "backend.example", 403),
        ("origin", "http://elsewhere.example", 200),
    ] {
        let answer = send(&raw, Method::POST, None, &[(name, value)], INITIALIZE).await;
        assert_eq!(answer.status, status, "{name}: {value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_refuses_and_breaks_off_what_runs() {
    let mut server = CounterServer::start().await;
    let raw = Raw::new(&server.uri());
    let id = raw.initialize().await;
    let stream = raw.get_stream(&id).await.unwrap();
    let body = call_with(8, "sleep", &json!({"ms": 600_000}));
    let request = raw.request(Method::POST, Some(&id)).body(Full::from(body)).unwrap();
    let asleep = tokio::spawn({
        let raw = raw.clone();
        async move {
            raw.open(request)
                .await?
                .into_body()
                .collect()
                .await
                .map_err(Into::<Box<dyn std::error::Error + Send + Sync>>::into)
        }
    });
    eventually("the call has arrived", PATIENCE, || async {
        server
            .with_session(&id)
            .iter()
            .any(|entry| entry.rpc_method().as_deref() == Some("tools/call"))
    })
    .await;
    server.kill().await;
    let refused = TcpStream::connect(server.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(stream.into_body().collect().await.is_err(), "broken off, not ended");
    assert!(asleep.await.unwrap().is_err());

    // The same port, and nothing remembered.
    let addr = server.addr();
    server.restart_empty().await;
    assert_eq!(server.addr(), addr);
    assert_eq!(raw.increment(&id).await.status, 404);
    let id = raw.initialize().await;
    assert_eq!(raw.increment(&id).await.count(), Some(1));
    assert_eq!(server.initializes(), 2, "the journal goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_server_closes_its_port() {
    let server = CounterServer::start().await;
    let addr = server.addr();
    drop(server);
    eventually("the port is closed", PATIENCE, || async {
        TcpStream::connect(addr).await.is_err()
    })
    .await;
}
