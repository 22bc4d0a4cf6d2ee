//! Two gateways over one Redis that see different backends: if one of them does not know or cannot reach a backend,
//! sessions must not end for the other.

use bartizan_testkit::{CounterServer, RedisServer, client::Raw, eventually};

use crate::fixtures::{Gateway, PATIENCE};

/// A replica in front of servers at `origins`, with its sessions in `redis`.
async fn replica(redis: &RedisServer, origins: &[String], args: &[&str]) -> (Gateway, Raw) {
    let store = format!("--store={}", redis.url());
    let args: Vec<_> = [store.as_str()].into_iter().chain(args.iter().copied()).collect();
    let gateway = Gateway::before(origins, &args).await;
    let client = Raw::new(&gateway.uri());
    (gateway, client)
}

/// This once failed: one call at the replica whose list lacks the backend ended the session for all, or restarted its
/// counter.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_lacks_a_backend_ends_none_of_its_sessions() {
    for on_lost in ["fail", "resume"] {
        let redis = RedisServer::start().await;
        let servers = CounterServer::start_many(2).await;
        let args = [&*format!("--on-lost={on_lost}"), "--settle=1s"];
        let (_one, knows) = replica(&redis, &[servers[0].uri()], &args).await;
        let (_other, lacks) = replica(&redis, &[servers[1].uri()], &args).await;
        let id = knows.initialize().await;
        assert_eq!(knows.increment(&id).await.count(), Some(1));

        let answer = lacks.increment(&id).await;
        assert_eq!(answer.status, 503, "{on_lost}: it may become known");
        assert!(answer.headers.contains_key("retry-after"));
        let not_here = async || lacks.increment(&id).await.status == 404;
        eventually("the client gets 404", PATIENCE, not_here).await;
        assert_eq!(servers[1].initializes(), 0, "{on_lost}: nothing is resumed on hearsay");
        assert_eq!(knows.increment(&id).await.count(), Some(2), "{on_lost}");
    }
}

/// The server is gone: every replica can act on that.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_ended_is_found_out_with_little_traffic() {
    let redis = RedisServer::start().await;
    let mut servers = CounterServer::start_many(1).await;
    let args = ["--lost-after=2s"];
    let (_one, client) = replica(&redis, &[servers[0].uri()], &args).await;
    let (_two, other) = replica(&redis, &[servers[0].uri()], &args).await;
    let id = client.initialize().await;
    servers[0].kill().await;
    assert_eq!(client.increment(&id).await.status, 503, "it may be back in a moment");
    // Two calls, 3 s apart: between them, the gateway checks in the background.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(client.increment(&id).await.status, 404);
    assert_eq!(other.increment(&id).await.status, 404, "it is over for all");
}

/// rmcp's server answers 404 in plain text: that is about the session, whichever replica asks
/// first.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_restarted_at_its_address_ends_its_sessions() {
    for on_lost in ["fail", "repin", "resume"] {
        let redis = RedisServer::start().await;
        let mut servers = CounterServer::start_many(1).await;
        let args = [&*format!("--on-lost={on_lost}")];
        let (_one, client) = replica(&redis, &[servers[0].uri()], &args).await;
        let (_two, other) = replica(&redis, &[servers[0].uri()], &args).await;
        let id = client.initialize().await;
        assert_eq!(client.increment(&id).await.count(), Some(1));
        assert_eq!(other.increment(&id).await.count(), Some(2));
        servers[0].restart_empty().await;
        if on_lost == "resume" {
            assert_eq!(other.increment(&id).await.count(), Some(1), "opened again");
            assert_eq!(client.increment(&id).await.count(), Some(2));
            continue;
        }
        assert_eq!(other.increment(&id).await.status, 404, "{on_lost}");
        let over = async || client.increment(&id).await.status == 404;
        eventually("it is over for all", PATIENCE, over).await;
        let id = client.initialize().await;
        assert_eq!(other.increment(&id).await.count(), Some(1), "{on_lost}");
    }
}
