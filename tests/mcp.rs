//! Real MCP clients and servers (rmcp) with the stack between them, both eras.

mod common;

use std::{sync::Arc, time::Duration};

use bartizan_testkit::{
    CounterServer,
    client::{Raw, call, connect, connect_modern, increment},
    eventually,
};
use common::Gateway;
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_sessions_counts_on_its_own_backend() {
    let servers = CounterServer::start_many(3).await;
    let uris: Vec<_> = servers.iter().map(CounterServer::uri).collect();
    let gateway = Gateway::mcp(uris.iter().map(String::as_str)).await;
    let client = Raw::new(&gateway.uri());
    let at_once = Arc::new(Semaphore::new(50));
    let mut sessions = JoinSet::new();
    for _ in 0..200 {
        let (client, at_once) = (client.clone(), Arc::clone(&at_once));
        sessions.spawn(async move {
            let _turn = at_once.acquire().await.unwrap();
            let id = client.initialize().await;
            let mut counts = Vec::new();
            for _ in 0..10 {
                counts.push(client.increment(&id).await.count());
            }
            counts
        });
    }
    while let Some(counts) = sessions.join_next().await {
        let expected: Vec<_> = (1..=10).map(Some).collect();
        assert_eq!(counts.unwrap(), expected);
    }
    let opened: Vec<_> = servers.iter().map(CounterServer::initializes).collect();
    assert_eq!(opened.iter().sum::<usize>(), 200, "no session was opened twice");
    assert!(opened.iter().all(|count| *count > 20), "{opened:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rmcp_clients_keep_their_sessions_and_two_may_share_one() {
    let servers = CounterServer::start_many(2).await;
    let uris: Vec<_> = servers.iter().map(CounterServer::uri).collect();
    let gateway = Gateway::mcp(uris.iter().map(String::as_str)).await;
    let (one, two) =
        (connect(&gateway.endpoint()).await.unwrap(), connect(&gateway.endpoint()).await.unwrap());
    for expected in 1..=5 {
        assert_eq!(increment(&one).await.unwrap(), expected);
        assert_eq!(increment(&two).await.unwrap(), expected);
    }
    // Two raw clients with one id count together.
    let (a, b) = (Raw::new(&gateway.uri()), Raw::new(&gateway.uri()));
    let id = a.initialize().await;
    for (client, expected) in [(&a, 1), (&b, 2), (&a, 3), (&b, 4)] {
        assert_eq!(client.increment(&id).await.count(), Some(expected));
    }
    one.cancel().await.unwrap();
    two.cancel().await.unwrap();
    // A client that disconnects properly ends its session.
    let store = gateway.store.clone();
    eventually("both sessions are gone", Duration::from_secs(5), || async { store.len() == 1 })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn modern_requests_are_balanced_and_untouched_beside_sessions() {
    let servers = CounterServer::start_many(2).await;
    let uris: Vec<_> = servers.iter().map(CounterServer::uri).collect();
    let gateway = Gateway::mcp(uris.iter().map(String::as_str)).await;
    let raw = Raw::new(&gateway.uri());
    let id = raw.initialize().await;
    let modern = connect_modern(&gateway.endpoint()).await.unwrap();
    for expected in 1..=20 {
        // No session: each call counts from one.
        assert_eq!(increment(&modern).await.unwrap(), 1);
        assert_eq!(raw.increment(&id).await.count(), Some(expected));
    }
    let is_modern = |entry: &&bartizan_testkit::counter::Entry| {
        entry.headers.get("mcp-protocol-version").is_some_and(|version| version == "2026-07-28")
    };
    for server in &servers {
        let journal = server.journal();
        let calls: Vec<_> = journal.iter().filter(is_modern).collect();
        assert!(calls.len() > 2, "balanced: {}", calls.len());
        assert!(calls.iter().all(|entry| entry.session().is_none()));
    }
    assert_eq!(gateway.store.len(), 1);

    // The same request, directly and through the stack, is equal byte for byte, except for the fields that a proxy
    // adds.
    let body = r#"{"jsonrpc" : "2.0", "id": 9007199254740993,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    let seen = |client: Raw| async move {
        let request = client
            .request(http::Method::POST, None)
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/list")
            .header("mcp-param-region", "=?base64?SGVsbG8=?=")
            .header("x-unknown", " kept ")
            .body(http_body_util::Full::from(body));
        assert_eq!(client.send(request.unwrap()).await.status, 200);
    };
    let journaled = |servers: &[CounterServer]| {
        let all = servers.iter().flat_map(CounterServer::journal);
        let mut entries: Vec<_> = all.filter(|entry| entry.body == body).collect();
        let mut entry = entries.pop().unwrap();
        entry.headers.remove("host");
        let marks =
            ["via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-hop-count"];
        let marked = marks.map(|mark| entry.headers.remove(mark).is_some());
        assert!(marked == [marked[0]; 5], "all of them or none: {marked:?}");
        (entry.method, entry.target, entry.headers, entry.body)
    };
    let direct = CounterServer::start().await;
    seen(Raw::new(&direct.uri())).await;
    seen(raw.clone()).await;
    assert_eq!(journaled(&servers), journaled(&[direct]));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_backend_dies_its_sessions_end_and_no_other() {
    let mut servers = CounterServer::start_many(3).await;
    let uris: Vec<_> = servers.iter().map(CounterServer::uri).collect();
    let gateway = Gateway::mcp(uris.iter().map(String::as_str)).await;
    let client = Raw::new(&gateway.uri());
    let mut sessions = Vec::new();
    while servers.iter().any(|server| server.initializes() == 0) || sessions.len() < 12 {
        sessions.push(client.initialize().await);
    }
    let of_first: Vec<_> = servers[0]
        .journal()
        .iter()
        .filter_map(|entry| entry.session().map(str::to_owned))
        .collect();
    let (lost, kept): (Vec<_>, Vec<_>) = sessions.into_iter().partition(|id| of_first.contains(id));
    servers[0].kill().await;
    let killed = Instant::now();

    let mut expected = 0;
    let mut statuses = Vec::new();
    eventually("the lost sessions are 404", Duration::from_secs(10), || {
        expected += 1;
        let (client, lost, kept) = (client.clone(), lost.clone(), kept.clone());
        let at = expected;
        let statuses = &mut statuses;
        let round = async move {
            for id in &kept {
                assert_eq!(client.increment(id).await.count(), Some(at));
            }
            let id = client.initialize().await;
            assert_eq!(client.increment(&id).await.count(), Some(1), "new ones open elsewhere");
            let mut answers = Vec::new();
            for id in &lost {
                answers.push(client.increment(id).await);
            }
            answers
        };
        let answers = futures_block(round);
        statuses.extend(answers.iter().map(|answer| answer.status.as_u16()));
        let over = answers.iter().all(|answer| answer.status == 404);
        async move { over }
    })
    .await;
    assert!(killed.elapsed() >= Duration::from_secs(5), "not before the time");
    // A connection that was open when the backend died breaks once; from then on it is refused.
    assert!(statuses.iter().all(|status| [502, 503, 404].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&503));

    servers[0].restart_empty().await;
    for id in &lost {
        assert_eq!(client.increment(id).await.status, 404);
    }
    let before = servers[0].initializes();
    let (client, server) = (client.clone(), &servers[0]);
    eventually("new sessions use it again", Duration::from_secs(30), || {
        let client = client.clone();
        async move {
            client.initialize().await;
            server.initializes() > before
        }
    })
    .await;
}

/// Runs a round to its end inside a synchronous closure.
fn futures_block<F: Future>(round: F) -> F::Output {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(round))
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_the_backend_never_sees() {
    let server = CounterServer::start().await;
    let gateway = Gateway::mcp([server.uri().as_str()]).await;
    let client = Raw::new(&gateway.uri());
    let id = client.initialize().await;
    assert_eq!(client.delete(Some(&id)).await.status, 202);
    let before = server.journal().len();
    for ended in [id.as_str(), "unknown"] {
        let answer = client.post(Some(ended), call(7, "increment")).await;
        assert_eq!(answer.status, 404);
        assert_eq!(
            answer.text(),
            r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32001,"message":"Session not found"}}"#
        );
        assert_eq!(client.get(Some(ended)).await.status, 404);
        assert_eq!(client.delete(Some(ended)).await.status, 404);
    }
    assert_eq!(client.post(None, call(7, "increment")).await.status, 400);
    assert_eq!(client.get(None).await.status, 405);
    assert_eq!(client.delete(None).await.status, 400);
    assert_eq!(client.post(Some("a b"), call(7, "increment")).await.status, 400);
    assert_eq!(server.journal().len(), before);
}
