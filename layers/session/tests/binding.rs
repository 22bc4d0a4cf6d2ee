//! A session that was opened without a principal belongs to the first principal that its backend accepts in it.
#![allow(clippy::unwrap_used, reason = "test support")]

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

use bartizan_core::{Key, Passage, Reason, Route, Session, SessionStore};
use bartizan_memory::MemoryStore;
use bytes::Bytes;
use common::{
    CALL, INITIALIZE, Mood, Moody, Server, by, guard, live, opened, post, request, send, text,
};
use http::{Method, Request, Response};
use http_body_util::Full;
use tower::Service;

/// `request` by a caller who may bind a session.
fn binding(request: Request<Full<Bytes>>, subject: &str) -> Request<Full<Bytes>> {
    let mut request = by(request, subject);
    Passage::with(&mut request, |passage| passage.set_may_bind(true));
    request
}

fn call(subject: &str) -> Request<Full<Bytes>> {
    binding(post(Some("s1"), CALL), subject)
}

/// Opens `s1` for each `initialize`, and answers anything else with the configured status.
fn answering(status: &Arc<AtomicU16>) -> Server {
    let status = Arc::clone(status);
    Server::new(move |seen| {
        if seen.body == INITIALIZE {
            return opened("s1");
        }
        let mut response = Response::new(Full::from("ok"));
        *response.status_mut() = status.load(Ordering::SeqCst).try_into().unwrap();
        response
    })
}

fn record(store: &impl SessionStore) -> Session {
    let route = Route::default();
    let found = store.get(Key::new(&route, None, b"s1"));
    let bartizan_core::Answer::Now(found) = found else { unreachable!() };
    found.unwrap().unwrap()
}

#[tokio::test]
async fn the_first_caller_that_is_accepted_owns_the_session() {
    for late in [None, Some(Mood::Late)] {
        let store = Moody { get: late, insert: late, remove: late, ..Moody::new() };
        let status = Arc::new(AtomicU16::new(200));
        let server = answering(&status);
        let service = guard(&store, &server);
        assert_eq!(send(&service, post(None, INITIALIZE)).await.status(), 200);
        assert_eq!(send(&service, post(Some("s1"), CALL)).await.status(), 200);
        // Only a 2xx answer binds the session.
        for refused in [401, 403, 500, 302] {
            status.store(refused, Ordering::SeqCst);
            assert_eq!(send(&service, call("mallory")).await.status(), refused);
        }
        status.store(202, Ordering::SeqCst);
        assert_eq!(send(&service, post(Some("s1"), CALL)).await.status(), 202);
        let held = record(&store.inner);

        assert_eq!(send(&service, call("alice")).await.status(), 202);
        let calls = server.calls();
        let stranger = || binding(post(Some("zz"), CALL), "alice");
        let unknown = text(send(&service, stranger()).await).await;
        for subject in [None, Some("mallory")] {
            for method in [Method::POST, Method::GET, Method::DELETE] {
                let request = request(method.clone(), Some("s1"), CALL);
                let request = match subject {
                    Some(subject) => binding(request, subject),
                    None => request,
                };
                let response = send(&service, request).await;
                assert_eq!(Reason::of(&response), Some(Reason::UnknownSession), "{subject:?}");
                if method == Method::POST {
                    assert_eq!(text(response).await, unknown, "looks like any unknown id");
                }
            }
        }
        assert_eq!(server.calls(), calls);
        assert!(!held.is_ended(), "its open streams stay open");
        assert_eq!(send(&service, call("alice")).await.status(), 202);
        let delete = binding(request(Method::DELETE, Some("s1"), ""), "alice");
        assert_eq!(send(&service, delete).await.status(), 202);
        assert_eq!(send(&service, call("alice")).await.status(), 404);
        assert!(held.is_ended());
    }
}

#[tokio::test]
async fn a_caller_without_leave_neither_finds_nor_binds_a_session() {
    let (store, server) = (MemoryStore::new(), Server::mcp());
    let service = guard(&store, &server);
    live(&store, "s1").await;
    assert_eq!(send(&service, by(post(Some("s1"), CALL), "alice")).await.status(), 404);
    assert_eq!(send(&service, post(Some("s1"), CALL)).await.status(), 200);
    assert_eq!(record(&store).record().field("owner"), None);
}

#[tokio::test]
async fn of_several_at_once_one_wins() {
    let (store, server) = (MemoryStore::new(), Server::mcp());
    let mut service = guard(&store, &server);
    live(&store, "s1").await;
    // All requests have found the session before the first is answered.
    let calls = ["alice", "bob", "carol", "alice"].map(|name| service.call(call(name)));
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [200, 404, 404, 200]);
    assert_eq!(send(&service, call("alice")).await.status(), 200);
    assert_eq!(send(&service, call("bob")).await.status(), 404);
}

#[tokio::test]
async fn a_record_that_changes_meanwhile_is_bound_all_the_same_and_keeps_the_change() {
    let store = MemoryStore::new();
    live(&store, "s1").await;
    let meanwhile = store.clone();
    let server = Server::new(move |_| {
        let session = record(&meanwhile);
        let changed = session.record().clone().with_field("another", b"change");
        let _ = meanwhile.replace(session.key(), session.version(), changed);
        Response::new(Full::from("ok"))
    });
    let service = guard(&store, &server);
    assert_eq!(send(&service, call("alice")).await.status(), 200);
    assert_eq!(record(&store).record().field("another"), Some(&b"change"[..]));
    assert_eq!(send(&service, call("bob")).await.status(), 404);
}

#[tokio::test]
async fn if_the_store_cannot_be_told_a_later_answer_binds() {
    let mut store = Moody::new();
    live(&store.inner, "s1").await;
    store.insert = Some(Mood::Failing);
    let server = Server::mcp();
    assert_eq!(send(&guard(&store, &server), call("alice")).await.status(), 200);
    store.insert = None;
    assert_eq!(send(&guard(&store, &server), call("bob")).await.status(), 200);
    assert_eq!(send(&guard(&store, &server), call("alice")).await.status(), 404);
}

/// A store that cannot answer must not count as one without the session.
#[tokio::test]
async fn a_store_that_fails_is_503_for_a_caller_who_may_bind_too() {
    let store = Moody { get: Some(Mood::Failing), ..Moody::new() };
    live(&store.inner, "s1").await;
    let response = send(&guard(&store, &Server::mcp()), call("alice")).await;
    assert_eq!(Reason::of(&response), Some(Reason::StoreUnavailable));
}

#[tokio::test]
async fn a_session_that_opens_in_the_course_of_one_that_was_bound_is_its_owners() {
    let store = MemoryStore::new();
    live(&store, "s1").await;
    let server = Server::new(|seen| {
        if seen.method == Method::GET { opened("s2") } else { Response::new(Full::from("ok")) }
    });
    let service = guard(&store, &server);
    assert_eq!(send(&service, call("alice")).await.status(), 200);
    let names_another = binding(request(Method::GET, Some("s1"), ""), "alice");
    assert_eq!(send(&service, names_another).await.headers()["mcp-session-id"], "s2");
    // The other callers first: they may not bind the session.
    assert_eq!(send(&service, post(Some("s2"), CALL)).await.status(), 404);
    for (subject, status) in [("bob", 404), ("alice", 200)] {
        let shown = binding(post(Some("s2"), CALL), subject);
        assert_eq!(send(&service, shown).await.status(), status, "{subject}");
    }
}
