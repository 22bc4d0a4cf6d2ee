//! rmcp's counters, killed.

use std::time::Duration;

use bartizan::{ReverseProxyStack, memory::MemoryStore, pin::Backends, upstream::Upstream};
use bartizan_testkit::{CounterServer, client::Raw, eventually};
use http_body_util::BodyExt;
use tokio::task::JoinSet;
use tower::Layer;

use crate::{
    common::{Gateway, resuming},
    scripted::{Opening, Scripted},
};

fn uris(servers: &[CounterServer]) -> Vec<String> {
    servers.iter().map(CounterServer::uri).collect()
}

/// Which server holds the only session.
fn home(servers: &[CounterServer]) -> usize {
    servers.iter().position(|server| server.initializes() > 0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_backend_is_killed_goes_on_at_another_with_the_same_id() {
    let mut servers = CounterServer::start_many(2).await;
    let (gateway, counts) = resuming(&uris(&servers), |layer| layer).await;
    let client = Raw::new(&gateway.uri());
    let id = client.initialize().await;
    assert_eq!(client.increment(&id).await.count(), Some(1));
    let lost = home(&servers);
    servers[lost].kill().await;
    let answer = client.increment(&id).await;
    assert_eq!(answer.count(), Some(1), "a new counter: {answer:?}");
    assert_eq!(client.increment(&id).await.count(), Some(2));
    assert!(answer.session().is_none_or(|shown| shown == id));
    let other = &servers[1 - lost];
    assert_eq!(other.initializes(), 1);
    assert!(other.with_session(&id).is_empty(), "the backend knows it by its own id");
    assert_eq!((counts.resumed(), gateway.store.len()), (1, 1));
    assert_eq!(client.delete(Some(&id)).await.status, 202);
    assert_eq!((client.increment(&id).await.status.as_u16(), gateway.store.len()), (404, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_requests_at_once_resume_their_session_once() {
    let mut servers = CounterServer::start_many(3).await;
    let (gateway, counts) = resuming(&uris(&servers), |layer| layer).await;
    let client = Raw::new(&gateway.uri());
    let id = client.initialize().await;
    let lost = home(&servers);
    servers[lost].kill().await;
    let mut calls = JoinSet::new();
    for n in 0..50 {
        let (client, id) = (client.clone(), id.clone());
        let nothing = serde_json::json!({});
        calls.spawn(async move { client.call(Some(&id), n, "increment", &nothing).await });
    }
    let answers = calls.join_all().await;
    let mut numbers: Vec<_> = answers.iter().filter_map(|answer| answer.count()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=50).collect::<Vec<_>>(), "all on one new session");
    assert!(answers.iter().all(|answer| answer.session().is_none_or(|shown| shown == id)));
    let entries: Vec<_> = servers.iter().flat_map(CounterServer::journal).collect();
    let saw = |method: &str| {
        entries.iter().filter(|entry| entry.rpc_method().as_deref() == Some(method)).count()
    };
    // The client's own, and one more.
    assert_eq!((saw("initialize"), saw("notifications/initialized")), (2, 2));
    assert_eq!((counts.resumed(), gateway.store.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_survives_one_loss_after_the_other() {
    let mut servers = CounterServer::start_many(3).await;
    let (gateway, counts) = resuming(&uris(&servers), |layer| layer).await;
    let client = Raw::new(&gateway.uri());
    let id = client.initialize().await;
    assert_eq!(client.increment(&id).await.count(), Some(1));
    for losses in 1..=2 {
        let holds = |server: &CounterServer| {
            let journal = server.journal();
            journal.last().is_some_and(|entry| entry.rpc_method().as_deref() == Some("tools/call"))
        };
        let lost = servers.iter().position(holds).unwrap();
        let mut lost = servers.remove(lost);
        lost.kill().await;
        assert_eq!(client.increment(&id).await.count(), Some(1), "loss {losses}");
        assert_eq!(client.increment(&id).await.count(), Some(2), "loss {losses}");
        assert_eq!(counts.resumed(), losses);
    }
    assert_eq!(gateway.store.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_its_memory_opens_the_session_again() {
    let mut servers = CounterServer::start_many(1).await;
    let (gateway, counts) = resuming(&uris(&servers), |layer| layer).await;
    let client = Raw::new(&gateway.uri());
    let id = client.initialize().await;
    assert_eq!(client.increment(&id).await.count(), Some(1));
    servers[0].restart_empty().await;
    assert_eq!(client.increment(&id).await.count(), Some(1));
    assert_eq!(client.increment(&id).await.count(), Some(2));
    assert_eq!(counts.resumed(), 1);
    // Without another backend, the session is unchanged.
    servers[0].kill().await;
    let answer = client.increment(&id).await;
    assert_eq!((answer.status.as_u16(), gateway.store.len()), (503, 1));
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(answer.message()["id"], 7, "the request's id is echoed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_of_a_lost_backend_ends_and_is_opened_again_without_its_last_event() {
    let (mut one, other) =
        (Scripted::start(Opening::Good).await, Scripted::start(Opening::Good).await);
    let (gateway, _) = resuming(&[one.uri()], |layer| layer).await;
    let client = Raw::new(&gateway.uri());
    let id = client.initialize().await;
    gateway.backends.add(other.uri().parse().unwrap());
    let mut stream = client.get_stream(&id).await.unwrap().into_body();
    assert!(stream.frame().await.unwrap().is_ok());
    one.server.kill().await;
    assert!(stream.frame().await.is_none(), "the end, and no error");
    let reopen = || {
        let request = client.request(http::Method::GET, Some(&id)).header("last-event-id", "7");
        client.open(request.body(Default::default()).unwrap())
    };
    // By the request that meets the loss, and by a later one.
    for _ in 0..2 {
        let response = reopen().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["mcp-session-id"], id.as_str());
    }
    let gets = other.seen().into_iter().filter(|seen| seen.method == http::Method::GET);
    let gets: Vec<_> = gets.collect();
    assert_eq!(gets.len(), 2);
    assert!(gets.iter().all(|seen| !seen.headers.contains_key("last-event-id")));
    let deleted = client.delete(Some(&id)).await;
    assert_eq!(deleted.status, 200);
    eventually("it is ended there", Duration::from_secs(5), || async { other.live() == 0 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_met_the_loss_is_known_to_come_from_the_new_backend() {
    let (mut one, other) =
        (Scripted::start(Opening::Good).await, Scripted::start(Opening::Good).await);
    let (store, backends) = (MemoryStore::new(), Backends::new([one.uri().parse().unwrap()]));
    let stack = ReverseProxyStack::mcp(store.clone(), backends.clone()).resume(|layer| layer);
    let streams = stack.open_streams();
    let gateway = Gateway::serve(stack.layer(Upstream::builder().build()), store, backends).await;
    let client = Raw::new(&gateway.uri());
    let id = client.initialize().await;
    gateway.backends.add(other.uri().parse().unwrap());
    one.server.kill().await;
    let mut stream = client.get_stream(&id).await.unwrap().into_body();
    assert!(stream.frame().await.unwrap().is_ok());
    let on = |backend: &Scripted| backend.uri().parse().unwrap();
    assert_eq!(streams.end_all_on(&on(&one)), 0, "it has nothing to do with that one any more");
    assert_eq!(streams.list()[0].backend(), Some(&on(&other)));
    assert_eq!(streams.end_all_on(&on(&other)), 1);
    assert!(stream.frame().await.is_none());
}
