//! Each number of the layer moves by the event that it names, once, and by no other.
#![allow(clippy::unwrap_used, reason = "test support")]

mod common;

use std::time::Duration;

use bartizan_core::{
    Answer, Backend, Key, Reason, Record, Route, SessionStore, UpstreamFailure,
    failure::FailureKind,
    store::{RecordVersion, Replaced},
};
use bartizan_memory::MemoryStore;
use bartizan_session::{MintIds, SessionCounts, ValidateSession, ValidateSessionLayer};
use common::{
    CALL, INITIALIZE, Mood, Moody, ReqBody, Server, live, opened, post, request, send, with,
};
use gauges::Ledger;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt, util::MapFutureLayer};

#[path = "../../../tests/support/gauges.rs"]
mod gauges;

const NOTHING: [String; 0] = [];
const OPENED: [&str; 1] = ["sessions_opened_total 1"];

/// Opens `s1` on `http://b:1`, and answers anything else as the field `x-say` has it.
fn server() -> Server {
    Server::new(|seen| {
        let opens = String::from_utf8_lossy(&seen.body).contains("\"initialize\"");
        let mut response = if opens { opened("s1") } else { Response::new(Full::from("{}")) };
        let say = seen.headers.get("x-say").map_or("", |say| say.to_str().unwrap());
        let extensions = response.extensions_mut();
        extensions.insert("http://b:1".parse::<Backend>().unwrap());
        match say {
            "elsewhere" => drop(extensions.insert("http://b:2".parse::<Backend>().unwrap())),
            "lost" => drop(extensions.insert(Reason::BackendLost)),
            "refused" => {
                extensions.insert(Reason::BackendUnreachable);
                extensions.insert(UpstreamFailure::new(FailureKind::Refused));
            }
            "other-404" => {
                let text = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"no"}}"#;
                *response.body_mut() = Full::from(text);
            }
            _ => {}
        }
        *response.status_mut() = match say {
            "404" | "other-404" | "lost" => StatusCode::NOT_FOUND,
            "500" => StatusCode::INTERNAL_SERVER_ERROR,
            "refused" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::OK,
        };
        response
    })
}

/// A backend that takes 40 s.
fn slow() -> MapFutureLayer<fn(Responding) -> Responding> {
    MapFutureLayer::new(|responding| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(40)).await;
            responding.await
        })
    })
}

type Responding = <Server as Service<Request<ReqBody>>>::Future;
type Guard<T> = ValidateSession<Server, T>;

fn world<T: SessionStore>(store: T) -> (Guard<T>, Ledger<SessionCounts>) {
    let layer = ValidateSessionLayer::mcp(store);
    (layer.layer(server()), Ledger::new(layer.counts()))
}

async fn open<T: SessionStore>(service: &Guard<T>) {
    assert_eq!(send(service, post(None, INITIALIZE)).await.status(), 200);
}

async fn ask<T: SessionStore>(service: &Guard<T>, method: Method, say: &'static str) -> u16 {
    let request = with(request(method, Some("s1"), CALL), "x-say", say);
    send(service, request).await.status().as_u16()
}

/// One end, of which the duration is told as well.
fn one(cause: &str) -> [String; 2] {
    [
        format!("session_duration_seconds{{cause={cause}}} 1"),
        format!("sessions_ended_total{{cause={cause}}} 1"),
    ]
}

#[tokio::test]
async fn a_session_is_opened_when_the_store_has_it() {
    let (service, mut ledger) = world(MemoryStore::builder().max_sessions(1).build());
    open(&service).await;
    assert_eq!(ledger.moved(), OPENED);
    // The same one, named again; calls; what the layer refuses.
    open(&service).await;
    assert_eq!(ask(&service, Method::POST, "").await, 200);
    assert_eq!(send(&service, post(Some("stranger"), CALL)).await.status(), 404);
    assert_eq!(send(&service, post(None, CALL)).await.status(), 400);
    assert_eq!(ledger.moved(), NOTHING);
    for insert in [Mood::Failing, Mood::Stuck] {
        let (service, mut ledger) = world(Moody { insert: Some(insert), ..Moody::new() });
        assert_eq!(send(&service, post(None, INITIALIZE)).await.status(), 503);
        assert_eq!(ledger.moved(), NOTHING);
    }
}

#[tokio::test]
async fn a_session_ends_for_one_cause() {
    for (method, say, status, cause) in [
        (Method::DELETE, "", 200, Some("delete")),
        (Method::DELETE, "refused", 204, Some("delete")),
        (Method::DELETE, "500", 500, None),
        (Method::DELETE, "404", 404, Some("backend_404")),
        (Method::POST, "404", 404, Some("backend_404")),
        (Method::GET, "404", 404, Some("backend_404")),
        (Method::POST, "other-404", 404, None),
        (Method::POST, "lost", 404, Some("backend_lost")),
        (Method::POST, "refused", 503, None),
        (Method::POST, "500", 500, None),
        (Method::POST, "", 200, None),
    ] {
        let store = MemoryStore::new();
        let (service, mut ledger) = world(store.clone());
        let mut of_store = Ledger::new(store);
        open(&service).await;
        assert_eq!(ledger.moved(), OPENED);
        assert_eq!(ask(&service, method.clone(), say).await, status, "{method} {say}");
        let expected = cause.map_or_else(Vec::new, |cause| one(cause).to_vec());
        assert_eq!(ledger.moved(), expected, "{method} {say}");
        // Whoever comes later finds nothing, and nothing is counted.
        let again = ask(&service, Method::DELETE, "").await;
        assert_eq!(again, if cause.is_some() { 404 } else { 200 });
        let expected = if cause.is_some() { Vec::new() } else { one("delete").to_vec() };
        assert_eq!(ledger.moved(), expected, "{method} {say}");
        assert_eq!(of_store.moved(), NOTHING, "the store counts what it ends itself");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_deletes_at_once_one_ends_the_session() {
    let layer = ValidateSessionLayer::mcp(MemoryStore::new());
    let mut ledger = Ledger::new(layer.counts());
    let service = layer.layer(slow().layer(server()));
    assert_eq!(send(&service, post(None, INITIALIZE)).await.status(), 200);
    let delete = async || send(&service, request(Method::DELETE, Some("s1"), "")).await.status();
    let all = (delete(), delete(), delete());
    let all = tokio::join!(all.0, all.1, all.2);
    assert_eq!(all, (StatusCode::OK, StatusCode::OK, StatusCode::OK));
    assert_eq!(ledger.moved(), [one("delete").as_slice(), &OPENED.map(str::to_owned)].concat());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_expired_meanwhile_is_not_ended_again() {
    let store = MemoryStore::new();
    let layer = ValidateSessionLayer::mcp(store.clone()).lifetime(Duration::from_secs(60));
    let table = store.clone();
    let server = Server::new(move |seen| {
        if seen.method == Method::DELETE {
            // Its time is up while the request is on its way.
            assert_eq!(table.sweep(), 1);
        }
        opened("s1")
    });
    let (mut ledger, mut of_store) = (Ledger::new(layer.counts()), Ledger::new(store));
    let service = layer.layer(slow().layer(server));
    assert_eq!(send(&service, post(None, INITIALIZE)).await.status(), 200);
    assert_eq!(ledger.moved(), OPENED);
    tokio::time::advance(Duration::from_secs(30)).await;
    let delete = request(Method::DELETE, Some("s1"), "");
    assert_eq!(send(&service, delete).await.status(), 200);
    assert_eq!((ledger.moved(), of_store.moved()), (NOTHING.to_vec(), one("lifetime").to_vec()));
}

#[tokio::test(start_paused = true)]
async fn what_the_store_was_not_told_has_not_ended() {
    for remove in [Mood::Stuck, Mood::Failing] {
        for say in ["", "lost", "404"] {
            let (service, mut ledger) = world(Moody { remove: Some(remove), ..Moody::new() });
            open(&service).await;
            ledger.moved();
            let method = if say.is_empty() { Method::DELETE } else { Method::POST };
            ask(&service, method, say).await;
            assert_eq!(ledger.moved(), NOTHING, "{remove:?} {say}");
        }
    }
}

#[tokio::test]
async fn what_an_old_backend_says_of_a_session_that_has_moved_ends_nothing() {
    let store = MemoryStore::new();
    let table = store.clone();
    let layer = ValidateSessionLayer::mcp(store.clone());
    let server = Server::new(move |_| {
        let (route, record) = (Route::default(), Record::new(Record::IDLE, Record::LIFETIME));
        let record = record.with_backend("http://b:2".parse().unwrap());
        let key = Key::new(&route, None, b"s1");
        let replaced = table.replace(key, RecordVersion::FIRST, record);
        assert!(matches!(replaced, Answer::Now(Ok(Replaced::Replaced(_)))));
        let mut response = Response::new(Full::from("not here"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    });
    live(&store, "s1").await;
    let mut ledger = Ledger::new(layer.counts());
    let service = layer.layer(server);
    assert_eq!(send(&service, post(Some("s1"), CALL)).await.status(), 404);
    assert_eq!(ledger.moved(), NOTHING);
}

#[tokio::test]
async fn a_session_moves_when_its_record_does() {
    let (service, mut ledger) = world(MemoryStore::new());
    open(&service).await;
    assert_eq!(ask(&service, Method::POST, "").await, 200);
    assert_eq!(ledger.moved(), OPENED);
    assert_eq!(ask(&service, Method::POST, "elsewhere").await, 200);
    assert_eq!(ledger.moved(), ["sessions_moved_total 1"]);
    assert_eq!(ask(&service, Method::POST, "elsewhere").await, 200);
    assert_eq!(ledger.moved(), NOTHING, "it is there");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_nobody_gets_is_opened_and_ends_undelivered() {
    let store = Moody { insert: Some(Mood::Slow), ..Moody::new() };
    let (service, mut ledger) = world(MintIds::new(store));
    let opening = service.oneshot(post(None, INITIALIZE));
    let left = tokio::time::timeout(Duration::from_millis(100), opening).await;
    assert!(left.is_err());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(
        ledger.moved(),
        [one("undelivered").as_slice(), &OPENED.map(str::to_owned)].concat()
    );
}
