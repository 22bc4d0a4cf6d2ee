//! The limit for all records together, and sessions for which there is no room.
#![allow(clippy::unwrap_used, reason = "test support")]

mod common;

use bartizan_core::Backend;
use bartizan_memory::MemoryStore;
use bartizan_pin::{Backends, PinBackendLayer};
use bartizan_resume::{
    ResumeSessionLayer,
    split::{Gateway, Gateways, HeaderField, SplitSessionLayer},
};
use bartizan_session::ValidateSessionLayer;
use bytes::Bytes;
use common::{World, delete, open, post};
use http::{HeaderName, Request};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};

/// What is recorded of a session that [`open`] opens, in bytes: `initialize`, the version, the capabilities.
const ONE: usize = 58 + 2 + 10 + 4 + 2 + 2;

#[tokio::test(start_paused = true)]
async fn sessions_that_find_no_room_open_and_end_with_their_backend_and_the_others_are_resumed() {
    let (world, store) = (World::default(), MemoryStore::new());
    let [a, b]: [Backend; 2] = ["http://a:1", "http://b:1"].map(|uri| uri.parse().unwrap());
    let backends = Backends::new([a.clone()]);
    let resume = ResumeSessionLayer::new(store.clone()).total_record_limit(3 * ONE);
    let counts = resume.counts();
    let upstream = service_fn(move |request| world.clone().respond(request));
    let pinned = PinBackendLayer::new(backends.clone()).layer(upstream);
    let service = ValidateSessionLayer::mcp(store.clone()).layer(resume.layer(pinned));
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(open(&service).await);
    }
    assert_eq!((counts.unrecorded(), store.len()), (7, 10), "all are open");
    for id in &ids {
        assert_eq!(post(&service, id).await, 200);
    }
    // Sessions that end make room, exactly once: for three of four.
    for id in ids.drain(..3) {
        assert_eq!(delete(&service, &id).await, 200);
    }
    let mut later = Vec::new();
    for _ in 0..4 {
        later.push(open(&service).await);
    }
    assert_eq!(counts.unrecorded(), 8);
    // Their backend is removed, and another one is added.
    backends.add(b);
    assert!(backends.remove(a.id()));
    let mut left = Vec::new();
    for id in ids.iter().chain(&later) {
        left.push(post(&service, id).await);
    }
    let expected = [vec![404; 7], vec![200; 3], vec![404]].concat();
    assert_eq!((left, counts.resumed(), store.len()), (expected, 3, 3));
    // Those that have moved count as before.
    assert!(!open(&service).await.is_empty());
    assert_eq!(counts.unrecorded(), 9);
}

#[tokio::test(start_paused = true)]
async fn the_default_has_room() {
    let (world, store) = (World::default(), MemoryStore::new());
    let backends = Backends::new(["http://a:1".parse().unwrap()]);
    let resume = ResumeSessionLayer::new(store.clone());
    let counts = resume.counts();
    let upstream = service_fn(move |request| world.clone().respond(request));
    let pinned = PinBackendLayer::new(backends).layer(upstream);
    let service = ValidateSessionLayer::mcp(store.clone()).layer(resume.layer(pinned));
    for _ in 0..1_000 {
        open(&service).await;
    }
    assert_eq!((counts.unrecorded(), store.len()), (0, 1_000));
}

#[tokio::test(start_paused = true)]
async fn a_session_of_a_split_that_finds_no_room_works_where_it_was_opened_and_nowhere_else() {
    for (limit, elsewhere) in [(0, 503), (ONE, 200)] {
        let (world, store) = (World::default(), MemoryStore::new());
        let gateways = Gateways::new();
        for (name, origin) in [("a", "http://a:1"), ("b", "http://b:1")] {
            gateways.set(name, Gateway::new(origin.parse().unwrap()));
        }
        let name = HeaderField::new(HeaderName::from_static("x-gateway"));
        let split = SplitSessionLayer::new(store.clone(), name, gateways);
        let split = split.total_record_limit(limit);
        let upstream = service_fn(move |request| world.clone().respond(request));
        let service = ValidateSessionLayer::mcp(store.clone()).layer(split.layer(upstream));
        let at = |gateway: &str, id: Option<&str>| {
            let mut request = Request::post("/mcp").header("x-gateway", gateway);
            if let Some(id) = id {
                request = request.header("mcp-session-id", id);
            }
            let body = if id.is_some() { "{}" } else { INITIALIZE };
            service.clone().oneshot(request.body(Full::<Bytes>::from(body)).unwrap())
        };
        let opened = at("a", None).await.unwrap();
        let id = opened.headers()["mcp-session-id"].to_str().unwrap();
        assert_eq!(at("a", Some(id)).await.unwrap().status(), 200);
        assert_eq!(at("b", Some(id)).await.unwrap().status(), elsewhere);
        assert_eq!(at("a", Some(id)).await.unwrap().status(), 200);
    }
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
