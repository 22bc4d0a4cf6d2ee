//! A refusal in a live session has the id of the request that it refuses, because the client waits for an answer with
//! that id.

use std::time::Duration;

use bartizan_testkit::{CounterServer, RedisServer, client::Raw, eventually, raw};

use tokio::time::Instant;

use crate::fixtures::{Gateway, PATIENCE};

/// Ids of both types, as written in the body.
const IDS: [&str; 2] = ["41", r#""a\u002db""#];

fn call(id: &str) -> String {
    // As the TypeScript SDK writes it: the id comes last.
    format!(r#"{{"method":"tools/list","params":{{"id":0}},"jsonrpc":"2.0","id":{id}}}"#)
}

/// The expected refusal, with or without an id.
fn error(id: Option<&str>, code: i32, message: &str) -> String {
    let id = id.map(|id| format!(r#""id":{id},"#)).unwrap_or_default();
    format!(r#"{{"jsonrpc":"2.0",{id}"error":{{"code":{code},"message":"{message}"}}}}"#)
}

const UNREACHABLE: (i32, &str) = (-32603, "The backend of this session cannot be reached");
const NOT_FOUND: (i32, &str) = (-32001, "Session not found");

async fn is_refused_with_id(
    client: &Raw,
    session: &str,
    status: u16,
    (code, message): (i32, &str),
) {
    for id in IDS {
        let answer = client.post(Some(session), call(id)).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.text(), error(Some(id), code, message));
    }
}

/// A gateway, a session, and a way to stop its server.
async fn ended(args: &[&str]) -> (Gateway, Raw, String) {
    let mut servers = CounterServer::start_many(1).await;
    let gateway = Gateway::before(&[servers[0].uri()], args).await;
    let client = Raw::new(&gateway.uri());
    let session = client.initialize().await;
    servers[0].kill().await;
    // Not over the connection that breaks.
    let unreachable = async || client.post(Some(&session), call("1")).await.status == 503;
    eventually("its connections are gone", PATIENCE, unreachable).await;
    (gateway, client, session)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_refuses_connections_is_503_and_then_404_with_the_id() {
    for on_lost in ["fail", "repin"] {
        let args = [&*format!("--on-lost={on_lost}"), "--lost-after=2s"];
        let (_gateway, client, session) = ended(&args).await;
        is_refused_with_id(&client, &session, 503, UNREACHABLE).await;
        if on_lost == "repin" {
            continue;
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        // This ends the session: only its last request is refused by the layer that knows the backend.
        let answer = client.post(Some(&session), call(IDS[1])).await;
        assert_eq!(answer.text(), error(Some(IDS[1]), NOT_FOUND.0, NOT_FOUND.1));
        is_refused_with_id(&client, &session, 404, NOT_FOUND).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_cannot_be_resumed_is_refused_with_the_id() {
    let (_gateway, client, session) = ended(&["--on-lost=resume"]).await;
    let answer = client.post(Some(&session), call("7")).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.message()["id"], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_this_replica_does_not_know_is_503_and_then_404_with_the_id() {
    let redis = RedisServer::start().await;
    let servers = CounterServer::start_many(2).await;
    let (store, settle) = (format!("--store={}", redis.url()), "--settle=3s");
    let knows = Gateway::before(&[servers[0].uri()], &[&store, settle]).await;
    let lacks = Gateway::before(&[servers[1].uri()], &[&store, settle]).await;
    let session = Raw::new(&knows.uri()).initialize().await;
    let client = Raw::new(&lacks.uri());
    let unknown = (-32603, "The backend of this session is not known here yet");
    is_refused_with_id(&client, &session, 503, unknown).await;
    let not_here = async || client.post(Some(&session), call("1")).await.status == 404;
    eventually("the client gets 404", PATIENCE, not_here).await;
    is_refused_with_id(&client, &session, 404, NOT_FOUND).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_id_is_refused_without_and_nothing_holds_a_refusal() {
    let (gateway, _, session) = ended(&[]).await;
    let without = error(None, UNREACHABLE.0, UNREACHABLE.1);
    let large = call("1").replace("tools/list", &"x".repeat(64 * 1024));
    for body in [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(),
        format!("[{}]", call("1")),
        large,
        "{".to_owned(),
        String::new(),
    ] {
        // A separate connection, because one with an unread body is closed.
        let client = Raw::new(&gateway.uri());
        let begun = Instant::now();
        let answer = client.post(Some(&session), body).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (503, without.clone()));
        assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    }
    // A body of which nothing arrives, or only half; and one that is sent only after
    // `100 Continue`.
    let head = |fields: &str| {
        format!(
            "POST /mcp HTTP/1.1\r\nhost: {}\r\nmcp-session-id: {session}\r\n\
             content-type: application/json\r\n{fields}\r\n\r\n",
            gateway.address
        )
    };
    for bytes in [
        head("content-length: 64"),
        head("content-length: 64") + &call("1")[..32],
        head("transfer-encoding: chunked") + "a\r\n{\"jsonrpc",
    ] {
        let begun = Instant::now();
        let reply = raw::exchange(gateway.address, bytes.as_bytes(), Duration::from_secs(3)).await;
        assert!(reply.text().ends_with(&without), "{}", reply.text());
        assert!(reply.closed || begun.elapsed() < Duration::from_secs(5));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
    let waits = format!("expect: 100-continue\r\ncontent-length: {}", call("41").len());
    let expecting = head(&waits) + &call("41");
    let reply =
        raw::exchange(gateway.address, expecting.as_bytes(), Duration::from_millis(500)).await;
    assert!(reply.text().ends_with(&error(Some("41"), UNREACHABLE.0, UNREACHABLE.1)));
}
