//! One client session at several gateways.

use std::{sync::Arc, time::Duration};

use bartizan::{
    core::{Key, Route, mcp},
    memory::MemoryStore,
    pin::Backends,
    resume::split::{Gateway as Peer, Gateways, HeaderField, SplitSessionLayer, SplitSessions},
    session::{MintIds, ValidateSessionLayer},
    upstream::Upstream,
};
use bartizan_testkit::{
    CounterServer, Server,
    client::{Answer, INITIALIZE, Raw, call},
    eventually, serve,
    server::boxed,
};
use http::{HeaderName, HeaderValue, Method, Response};
use http_body_util::{BodyExt, Full};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tower::Layer;

use crate::common::Gateway;

struct Federation {
    gateway: Gateway,
    client: Raw,
    gateways: Gateways,
    sessions: SplitSessions,
}

impl Federation {
    /// In front of servers at `origins`, which are named by their index.
    async fn of(origins: &[String]) -> Self {
        let gateways = Gateways::new();
        for (name, origin) in origins.iter().enumerate() {
            gateways.set(&name.to_string(), Peer::new(origin.parse().unwrap()));
        }
        let name = HeaderField::new(HeaderName::from_static("x-gateway"));
        let store = MemoryStore::new();
        let layer = SplitSessionLayer::new(store.clone(), name, gateways.clone())
            .close_timeout(Duration::from_millis(600));
        let sessions = layer.sessions();
        let guard = ValidateSessionLayer::mcp(MintIds::new(store.clone()));
        let service = guard.layer(layer.layer(Upstream::builder().build()));
        let gateway = Gateway::serve(service, store, Backends::new([])).await;
        let client = Raw::new(&gateway.uri());
        Self { gateway, client, gateways, sessions }
    }

    async fn send(&self, gateway: usize, id: Option<&str>, body: String) -> Answer {
        let request = self.client.request(Method::POST, id).header("x-gateway", gateway);
        self.client.send(request.body(Full::from(body)).unwrap()).await
    }

    async fn open(&self, gateway: usize) -> String {
        let answer = self.send(gateway, None, INITIALIZE.to_owned()).await;
        let id = answer.session().unwrap().to_owned();
        let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned();
        assert!(self.send(gateway, Some(&id), initialized).await.status.is_success());
        id
    }

    async fn count(&self, gateway: usize, id: &str) -> Option<i64> {
        let answer = self.send(gateway, Some(id), call(1, "increment")).await;
        assert!(answer.session().is_none_or(|shown| shown == id), "{answer:?}");
        answer.count()
    }
}

fn uris(servers: &[CounterServer]) -> Vec<String> {
    servers.iter().map(CounterServer::uri).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_has_a_counter_of_its_own_at_each_gateway_and_shares_none() {
    let servers = CounterServer::start_many(2).await;
    let all = Federation::of(&uris(&servers)).await;
    let (a, b) = (all.open(0).await, all.open(0).await);
    for expected in 1..=5 {
        assert_eq!(all.count(0, &a).await, Some(expected));
    }
    for expected in 1..=3 {
        assert_eq!(all.count(0, &b).await, Some(expected));
        assert_eq!(all.count(1, &a).await, Some(expected), "another gateway, another counter");
    }
    assert_eq!(all.count(0, &a).await, Some(6), "and the first goes on");
    assert_eq!((servers[0].initializes(), servers[1].initializes()), (2, 1));
    for entry in servers.iter().flat_map(CounterServer::journal) {
        let text = format!("{:?}{:?}", entry.headers, entry.body);
        assert!(!text.contains(&a) && !text.contains(&b), "nothing of a client's id");
    }
    let open = all.sessions.snapshot();
    assert_eq!(open.len(), 3);
    assert_eq!(open.iter().filter(|one| one.gateway() == "0").count(), 2);
    // The end of a client session ends it at every gateway, and does not end others.
    let delete = all.client.request(Method::DELETE, Some(&a)).header("x-gateway", 1);
    let ended = all.client.send(delete.body(Full::default()).unwrap()).await;
    assert_eq!(ended.status, 202);
    let deletes = |server: &CounterServer| {
        let journal = server.journal();
        journal.iter().filter(|entry| entry.method == Method::DELETE).count()
    };
    let both = || async { deletes(&servers[0]) == 1 && deletes(&servers[1]) == 1 };
    eventually("both are told", Duration::from_secs(5), both).await;
    assert_eq!(all.sessions.snapshot().len(), 1);
    assert_eq!(all.count(0, &b).await, Some(4));
    assert_eq!(all.send(1, Some(&a), call(1, "increment")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_first_calls_at_once_open_one_session() {
    let servers = CounterServer::start_many(2).await;
    let all = Arc::new(Federation::of(&uris(&servers)).await);
    let id = all.open(0).await;
    let mut calls = JoinSet::new();
    for n in 0..100 {
        let (all, id) = (Arc::clone(&all), id.clone());
        calls.spawn(async move { all.send(1, Some(&id), call(n, "increment")).await.count() });
    }
    let mut counts: Vec<_> = calls.join_all().await.into_iter().flatten().collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=100).collect::<Vec<_>>());
    assert_eq!(servers[1].initializes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_one_session_do_not_wait_for_each_other() {
    let servers = CounterServer::start_many(1).await;
    let all = Arc::new(Federation::of(&uris(&servers)).await);
    let id = all.open(0).await;
    let slow = {
        let (all, id) = (Arc::clone(&all), id.clone());
        let sleep = r#"{"jsonrpc":"2.0","id":99,"method":"tools/call","params":{"name":"sleep","arguments":{"ms":60000}}}"#;
        tokio::spawn(async move { all.send(0, Some(&id), sleep.to_owned()).await })
    };
    let begun = || async {
        let journal = servers[0].journal();
        journal.iter().any(|entry| entry.body.windows(5).any(|bytes| bytes == b"60000"))
    };
    eventually("the slow one is there", Duration::from_secs(5), begun).await;
    assert_eq!(all.count(0, &id).await, Some(1));
    slow.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_forgot_the_session_opens_it_again_and_one_that_is_away_harms_no_other() {
    let mut servers = CounterServer::start_many(2).await;
    let all = Federation::of(&uris(&servers)).await;
    let id = all.open(0).await;
    for _ in 0..2 {
        assert_eq!(all.count(1, &id).await, Some(1));
        assert_eq!(all.count(1, &id).await, Some(2));
        servers[1].restart_empty().await;
    }
    // The client's own, too.
    assert_eq!(all.count(0, &id).await, Some(1));
    servers[0].restart_empty().await;
    assert_eq!(all.count(0, &id).await, Some(1));
    servers[1].kill().await;
    let answer = all.send(1, Some(&id), call(1, "increment")).await;
    assert_eq!(answer.status, 503);
    assert_eq!(all.count(0, &id).await, Some(2));
    assert_eq!(all.gateway.store.len(), 1);
    let nowhere = all.send(7, Some(&id), call(1, "increment")).await;
    assert_eq!(nowhere.status, 503, "a gateway that nobody knows");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_change_of_how_a_gateway_is_reached_ends_its_sessions() {
    let servers = CounterServer::start_many(3).await;
    let all = Federation::of(&uris(&servers)[..2]).await;
    let id = all.open(0).await;
    assert_eq!(all.count(1, &id).await, Some(1));
    let peer = |origin: String| Peer::new(origin.parse().unwrap());
    all.gateways.set("1", peer(servers[1].uri()).label("The second"));
    assert_eq!(all.count(1, &id).await, Some(2), "a new name is no new gateway");
    let secret = || HeaderValue::from_static("Bearer secret");
    all.gateways.set("1", peer(servers[1].uri()).credentials(secret()));
    assert_eq!(all.count(1, &id).await, Some(1), "other credentials");
    assert!(servers[1].journal().iter().any(|entry| entry.headers.contains_key("authorization")));
    assert!(!format!("{:?}", all.gateways).contains("secret"));
    all.gateways.set("1", peer(servers[2].uri()));
    assert_eq!(all.count(1, &id).await, Some(1), "another origin");
    assert_eq!((servers[1].initializes(), servers[2].initializes()), (2, 1));
    // Ended by the operator: those of a gateway, those of a session.
    assert_eq!(all.sessions.evict_gateway("1").await, 1);
    assert_eq!(all.count(1, &id).await, Some(1));
    let route = Route::default();
    assert_eq!(all.sessions.evict_session(Key::new(&route, None, id.as_bytes())).await, 2);
    assert_eq!((all.count(0, &id).await, all.count(1, &id).await), (Some(1), Some(1)));
}

/// Takes its time to end a session, or never does.
async fn draining(takes: Option<Duration>) -> Server {
    const RESULT: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s","version":"0"}}}"#;
    serve(move |request| async move {
        let method = request.method().clone();
        let has_id = request.headers().contains_key(&mcp::SESSION_ID);
        let _ = request.into_body().collect().await;
        if method == Method::DELETE {
            match takes {
                Some(time) => sleep(time).await,
                None => std::future::pending().await,
            }
        }
        let mut response = Response::new(boxed(Full::from(if has_id { "{}" } else { RESULT })));
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        if !has_id {
            response.headers_mut().insert(&mcp::SESSION_ID, HeaderValue::from_static("drains"));
        }
        response
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_ended_at_once_and_one_that_is_stuck_keeps_nobody() {
    let slow = Duration::from_millis(300);
    for (takes, within) in [
        ([Some(slow); 5], Duration::from_millis(900)),
        ([Some(slow), Some(slow), None, Some(slow), Some(slow)], Duration::from_millis(1_200)),
    ] {
        let mut servers = Vec::new();
        for time in takes {
            servers.push(draining(time).await);
        }
        let origins: Vec<_> = servers.iter().map(Server::uri).collect();
        let all = Federation::of(&origins).await;
        let id = all.open(0).await;
        for gateway in 1..5 {
            assert_eq!(all.send(gateway, Some(&id), call(1, "x")).await.status, 200);
        }
        assert_eq!(all.sessions.snapshot().len(), 5);
        let start = Instant::now();
        assert_eq!(all.sessions.close_all().await, 5);
        let took = start.elapsed();
        println!("{took:?} for {takes:?}");
        assert!(took >= slow && took < within, "{took:?}");
        assert!(all.sessions.snapshot().is_empty());
    }
}
