//! Sessions that outlive their backends, with two gateways over one Redis and each option.

use std::time::Duration;

use bartizan_testkit::{
    CounterServer, Recorder, RedisServer, Script,
    client::{INITIALIZE, Raw},
    eventually,
};
use http::StatusCode;
use serde_json::json;
use tokio::task::JoinSet;

use crate::fixtures::{Gateway, PATIENCE};

fn uris(servers: &[CounterServer]) -> Vec<String> {
    servers.iter().map(CounterServer::uri).collect()
}

/// How many times `method` reached any of `servers`.
fn saw(servers: &[CounterServer], method: &str) -> usize {
    let entries = servers.iter().flat_map(CounterServer::journal);
    entries.filter(|entry| entry.rpc_method().as_deref() == Some(method)).count()
}

fn deletes(servers: &[CounterServer]) -> usize {
    let entries = servers.iter().flat_map(CounterServer::journal);
    entries.filter(|entry| entry.method == http::Method::DELETE).count()
}

/// How many live records the store holds. Records of ended sessions begin with another letter.
fn live_records(redis: &RedisServer) -> usize {
    let keys = redis.cli(&["--scan"]);
    keys.lines().filter(|key| redis.cli(&["GETRANGE", key, "0", "0"]).trim() == "R").count()
}

/// Waits only for the store, because a missing backend is what these tests are about.
async fn until_ready(gateway: &Gateway) {
    let ready = || async {
        let told = gateway.readiness().await;
        told.is_some_and(|(_, text)| !text.contains("session store"))
    };
    eventually("the gateway is ready", PATIENCE, ready).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_that_meet_a_loss_at_once_go_on_with_one_session() {
    let redis = RedisServer::start().await;
    let mut servers = CounterServer::start_many(3).await;
    let store = format!("--store={}", redis.url());
    let args = [&*store, "--on-lost=resume"];
    let (a, b) = (
        Gateway::with_admin(&uris(&servers), &args).await,
        Gateway::with_admin(&uris(&servers), &args).await,
    );
    for gateway in [&a, &b] {
        until_ready(gateway).await;
    }
    let clients = [Raw::new(&a.uri()), Raw::new(&b.uri())];
    let mut losers = 0;
    for round in 0..5 {
        let before = (saw(&servers, "initialize"), deletes(&servers));
        let id = clients[round % 2].initialize().await;
        for client in &clients {
            assert!(client.increment(&id).await.count().is_some());
        }
        // The id is the backend's own, so the backend can be recognised by it.
        let knows = |server: &CounterServer| !server.with_session(&id).is_empty();
        let lost = servers.iter().position(knows).unwrap();
        servers[lost].kill().await;
        let mut calls = JoinSet::new();
        for n in 0..50 {
            let (client, id) = (clients[n % 2].clone(), id.clone());
            let n = u32::try_from(n).unwrap();
            calls.spawn(async move { client.call(Some(&id), n, "increment", &json!({})).await });
        }
        let answers = calls.join_all().await;
        let mut numbers: Vec<_> = answers.iter().filter_map(|answer| answer.count()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=50).collect::<Vec<_>>(), "one session: {answers:?}");
        assert!(answers.iter().all(|answer| answer.session().is_none_or(|shown| shown == id)));
        // At most three: the client's own, the one that won, and one that the other gateway opened
        // and ends.
        let opened = saw(&servers, "initialize") - before.0;
        assert!((2..=3).contains(&opened), "{opened}");
        let orphans = opened - 2;
        losers += orphans;
        let ended = || async { deletes(&servers) - before.1 == orphans };
        eventually("the orphan is ended", Duration::from_secs(5), ended).await;
        // Both gateways know where it is.
        for client in &clients {
            assert!(client.increment(&id).await.count() > Some(50));
        }
        assert_eq!(live_records(&redis), 1);
        servers[lost].restart_empty().await;
        assert_eq!(clients[0].delete(Some(&id)).await.status, 202);
    }
    println!("{losers} of 5 losses were met by both gateways at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_not_to_be_resumed_ends() {
    let mut servers = CounterServer::start_many(2).await;
    let gateway = Gateway::before(&uris(&servers), &[]).await;
    let client = Raw::new(&gateway.uri());
    let id = client.initialize().await;
    let lost = servers.iter().position(|server| server.initializes() > 0).unwrap();
    servers[lost].kill().await;
    assert_eq!(client.increment(&id).await.status, 503, "by default nothing is resumed");
    assert_eq!(servers[1 - lost].initializes(), 0);
}

/// Two servers that share their state know each other's sessions.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_servers_that_share_their_state_moves_as_it_is() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                  mcp-session-id: shared\r\ncontent-length: 2\r\n\r\n{}";
    let server = async || Recorder::with(Script::Respond(answer.into())).await;
    let servers = [server().await, server().await];
    let gateway =
        Gateway::before(&servers.each_ref().map(Recorder::uri), &["--on-lost=repin"]).await;
    let client = Raw::new(&gateway.uri());
    assert_eq!(client.post(None, INITIALIZE).await.session(), Some("shared"));
    let (lost, other): (Vec<_>, Vec<_>) =
        servers.into_iter().partition(|server| server.requests() > 0);
    let [other] = &other[..] else { panic!("one server opened it") };
    drop(lost);
    let status = async || client.increment("shared").await.status;
    // A pooled connection may be closed just as it is used: 502, and the request is not sent again.
    let first = loop {
        match status().await {
            StatusCode::BAD_GATEWAY => {}
            status => break status,
        }
    };
    assert_eq!(first, 503, "it may be back in a moment");
    eventually("the session has moved", PATIENCE, async || status().await == 200).await;
    assert_eq!((status().await.as_u16(), other.requests()), (200, 2));
    assert!(!other.text().contains("initialize"), "no handshake");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_the_gateways_own_are_all_that_a_client_sees() {
    let mut servers = CounterServer::start_many(2).await;
    let gateway = Gateway::before(&uris(&servers), &["--mint-ids", "--on-lost=resume"]).await;
    let client = Raw::new(&gateway.uri());
    let (a, b) = (client.initialize().await, client.initialize().await);
    for expected in 1..=5 {
        assert_eq!(client.increment(&a).await.count(), Some(expected));
    }
    for expected in 1..=3 {
        let answer = client.increment(&b).await;
        assert_eq!(answer.count(), Some(expected));
        assert!(answer.session().is_none_or(|shown| shown == b));
    }
    for server in &servers {
        let of_clients = |entry: &bartizan_testkit::counter::Entry| {
            let fields = format!("{:?}{:?}", entry.headers, entry.body);
            fields.contains(&a) || fields.contains(&b)
        };
        assert!(!server.journal().iter().any(of_clients), "nothing of a client's id inside");
    }
    for server in &mut servers {
        server.restart_empty().await;
    }
    assert_eq!(client.increment(&a).await.count(), Some(1), "resumed under the same id");
    assert_eq!(client.delete(Some(&a)).await.status, 202);
    assert_eq!(client.increment(&a).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_that_a_session_was_resumed_and_at_no_level_whose() {
    for mints in [&["--mint-ids"][..], &[]] {
        let mut servers = CounterServer::start_many(2).await;
        let args = [&["--on-lost=resume", "--log=trace"], mints].concat();
        let mut gateway = Gateway::before(&uris(&servers), &args).await;
        let client = Raw::new(&gateway.uri());
        let id = client.initialize().await;
        assert_eq!(client.increment(&id).await.count(), Some(1));
        for server in &mut servers {
            server.restart_empty().await;
        }
        let increment = async || {
            let secret = http::HeaderValue::from_static("Bearer of-the-caller");
            let body = bartizan_testkit::client::call(1, "increment");
            let request = client.request(http::Method::POST, Some(&id));
            client.send(request.header("authorization", secret).body(body.into()).unwrap()).await
        };
        assert_eq!(increment().await.count(), Some(1));
        assert_eq!(client.increment("nobody's").await.status, 404);
        for server in &mut servers {
            server.kill().await;
        }
        assert_eq!(increment().await.status, 503);
        assert_eq!(client.delete(Some(&id)).await.status, 204);

        gateway.process.terminate().await;
        let mut log = Vec::new();
        while log.last().is_none_or(|line: &String| !line.contains("stopped")) {
            log.push(gateway.process.error_line_with("").await);
        }
        let with = |text: &str| log.iter().filter(|line| line.contains(text)).collect::<Vec<_>>();
        let resumed = with("session resumed");
        assert!(resumed.len() == 1 && resumed[0].contains("INFO"), "{resumed:?}");
        assert_eq!(with("session could not be resumed").len(), 1);
        let entries: Vec<_> = servers.iter().flat_map(CounterServer::journal).collect();
        let ids = entries.iter().filter_map(|entry| entry.session());
        for secret in ids.chain([&*id, "nobody's", "of-the-caller", "clientInfo"]) {
            assert!(with(secret).is_empty(), "{secret}: {:?}", with(secret));
        }
    }
}

#[tokio::test]
async fn resuming_is_for_mcp() {
    let output = crate::fixtures::command()
        .args(["--listen=127.0.0.1:0", "--backend=http://127.0.0.1:1", "--on-lost=resume"])
        .arg("--session-header=x-session")
        .output()
        .await
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--session-header"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_recorded_is_sealed_and_keys_rotate() {
    let redis = RedisServer::start().await;
    let mut servers = CounterServer::start_many(2).await;
    let origins = uris(&servers);
    let store = format!("--store={}", redis.url());
    let gateway = async |keys: &[&str]| {
        let args = [&[&*store, "--on-lost=resume"], keys].concat();
        let gateway = Gateway::with_admin(&origins, &args).await;
        until_ready(&gateway).await;
        gateway
    };
    let shows = |what: &str| {
        let keys = redis.cli(&["--scan"]);
        keys.lines().any(|key| redis.cli(&["GET", key]).contains(what))
    };
    let dir = tempfile::tempdir().unwrap();
    let keys = |name: &str, text: &str| {
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        format!("--record-keys={}", file.display())
    };
    let (old, new) = (format!("1 {}\n", "11".repeat(32)), format!("2 {}\n", "22".repeat(32)));
    let (before, after) = (keys("before", &old), keys("after", &format!("{new}{old}")));

    let first = gateway(&[&before]).await;
    let id = Raw::new(&first.uri()).initialize().await;
    assert!(live_records(&redis) == 1 && !shows("clientInfo"));
    drop(first);
    // The next release seals with another key, and resumes sessions that this one recorded.
    let second = gateway(&[&after]).await;
    let server = servers.iter().position(|server| !server.with_session(&id).is_empty());
    servers[server.unwrap()].kill().await;
    assert_eq!(Raw::new(&second.uri()).increment(&id).await.count(), Some(1));
    assert!(live_records(&redis) == 1 && !shows("clientInfo"));

    let open = gateway(&[]).await;
    Raw::new(&open.uri()).initialize().await;
    assert!(shows("clientInfo"), "without keys, it is there to be read");
}
