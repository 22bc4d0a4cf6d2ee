//! What happens to sessions that the store evicts, and to openings beyond the cap.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test support")]

mod common;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bartizan_core::{ClientAddr, Passage, Reason, client::Evidence, passage::Work};
use bartizan_memory::MemoryStore;
use bartizan_session::{MintIds, ValidateSessionLayer};
use common::{CALL, INITIALIZE, Seen, Server, opened, post, send};
use http::{Method, Request, Response};
use http_body_util::Full;
use tower::{Layer, ServiceExt};

/// Opens `s0`, `s1`, `s2`, … for each `initialize`.
fn server() -> Server {
    let next = AtomicUsize::new(0);
    Server::new(move |seen| {
        let opens = String::from_utf8_lossy(&seen.body).contains("\"initialize\"");
        if !opens {
            return Response::new(Full::from("ok"));
        }
        opened(&format!("s{}", next.fetch_add(1, Ordering::Relaxed)))
    })
}

fn deletes(server: &Server) -> Vec<Seen> {
    let mut journal = server.journal();
    journal.retain(|seen| seen.method == Method::DELETE);
    journal
}

fn id(seen: &Seen) -> &str {
    seen.headers["mcp-session-id"].to_str().unwrap()
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_never_comes_back_makes_room_and_whoever_does_stays() {
    for mints in [false, true] {
        let (store, server) = (MemoryStore::builder().max_sessions(4).build(), server());
        let layer = ValidateSessionLayer::mcp(MintIds::new(store.clone()).only_if(mints));
        let service = layer.layer(server.clone());
        let first = send(&service, post(None, INITIALIZE)).await;
        let own = first.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        drop(first);
        let call = || {
            let mut call = post(None, CALL);
            call.headers_mut().insert("mcp-session-id", own.parse().unwrap());
            call
        };
        assert_eq!(send(&service, call()).await.status(), 200);
        for _ in 0..20 {
            let mut flood = post(None, INITIALIZE);
            flood.headers_mut().insert("authorization", "Bearer secret".parse().unwrap());
            assert_eq!(send(&service, flood).await.status(), 200);
        }
        settle().await;
        assert_eq!(send(&service, call()).await.status(), 200, "mints: {mints}");
        let deletes = deletes(&server);
        let ids: Vec<_> = deletes.iter().map(id).collect();
        let expected: Vec<_> = (1..=17).map(|n| format!("s{n}")).collect();
        assert_eq!(ids, expected, "as the backend knows them, mints: {mints}");
        for seen in &deletes {
            assert!(!seen.headers.contains_key("authorization"), "nobody's credentials");
            assert!(seen.work == Work::Pinned && seen.has_session);
        }
        assert_eq!(store.len(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_backend_delays_no_opening() {
    let (store, server) = (MemoryStore::builder().max_sessions(2).build(), server());
    let slow = server.clone();
    let slow = tower::service_fn(move |request: Request<common::ReqBody>| {
        let slow = slow.clone();
        async move {
            if request.method() == Method::DELETE {
                std::future::pending::<()>().await;
            }
            slow.oneshot(request).await
        }
    });
    let service = ValidateSessionLayer::mcp(store.clone()).layer(slow);
    let begun = tokio::time::Instant::now();
    for _ in 0..200 {
        assert_eq!(send(&service, post(None, INITIALIZE)).await.status(), 200);
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn sessions_of_other_protocols_are_not_evicted() {
    let (store, server) = (MemoryStore::builder().max_sessions(2).build(), server());
    let name = http::HeaderName::from_static("mcp-session-id");
    let service = ValidateSessionLayer::header(name, store.clone()).layer(server.clone());
    for expected in [200, 200, 503] {
        assert_eq!(send(&service, post(None, INITIALIZE)).await.status(), expected);
        tokio::time::advance(Duration::from_secs(120)).await;
    }
    assert!(deletes(&server).is_empty());
}

/// Two hundred clients at once, most of which disconnect.
#[tokio::test(start_paused = true)]
async fn openings_in_flight_count_before_the_backend_is_called() {
    let (store, server) = (MemoryStore::builder().max_sessions(5).build(), server());
    let behind = server.clone();
    let slow = tower::service_fn(move |request: Request<common::ReqBody>| {
        let behind = behind.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            behind.oneshot(request).await
        }
    });
    let service = ValidateSessionLayer::mcp(store.clone()).layer(slow);
    let mut openings = tokio::task::JoinSet::new();
    for n in 0..200 {
        let service = service.clone();
        openings.spawn(async move {
            let opening = service.oneshot(post(None, INITIALIZE));
            let within = Duration::from_millis(if n % 2 == 0 { 100 } else { 1_000 });
            tokio::time::timeout(within, opening).await.ok().map(|answer| answer.unwrap().status())
        });
    }
    let answers = openings.join_all().await;
    let refused = answers.iter().flatten().filter(|status| **status == 503).count();
    assert_eq!((refused, server.calls() - deletes(&server).len()), (195, 5));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(5 - deletes(&server).len(), store.len(), "whose client left was ended");
    assert!(store.len() < 5);
    // The places are free again.
    assert_eq!(send(&service, post(None, INITIALIZE)).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_client_has_as_many_as_it_may_by_its_address() {
    let store = MemoryStore::builder().max_sessions_per_client(2).build();
    let (server, layer) = (server(), ValidateSessionLayer::mcp(store.clone()));
    let service = layer.layer(server.clone());
    let from = |ip: &str, evidence: Evidence, trusts_peer: bool| {
        let mut request = post(None, INITIALIZE);
        ClientAddr::new(ip.parse().unwrap(), None, evidence).attach(&mut request);
        Passage::with(&mut request, |passage| passage.set_trusts_peer(trusts_peer));
        request
    };
    let expect = async |request: Request<_>, status: u16| {
        let response = send(&service, request).await;
        assert_eq!(response.status(), status);
        let full = Reason::of(&response) == Some(Reason::TooManySessions);
        assert_eq!(full, status == 503);
        response.headers().get("mcp-session-id").cloned()
    };
    let (peer, forwarded) = (Evidence::Peer, Evidence::Forwarded);
    let first = expect(from("192.0.2.7", peer, false), 200).await.unwrap();
    expect(from("192.0.2.7", forwarded, true), 200).await;
    let calls = server.calls();
    expect(from("192.0.2.7", peer, false), 503).await;
    assert_eq!(server.calls(), calls, "the backend is not called");
    expect(from("192.0.2.8", peer, false), 200).await;
    // A /64 is one client.
    expect(from("2001:db8::1", peer, false), 200).await;
    expect(from("2001:db8::2:1", peer, false), 200).await;
    expect(from("2001:db8::3", peer, false), 503).await;
    expect(from("2001:db8:0:1::3", peer, false), 200).await;
    // A trusted proxy that does not name a client, and a request from an unknown peer.
    for _ in 0..5 {
        expect(from("10.0.0.1", peer, true), 200).await;
        expect(post(None, INITIALIZE), 200).await;
    }
    // A session that ends makes room.
    let mut delete = common::request(Method::DELETE, None, "");
    delete.headers_mut().insert("mcp-session-id", first);
    assert_eq!(send(&service, delete).await.status(), 200);
    expect(from("192.0.2.7", peer, false), 200).await;
}
