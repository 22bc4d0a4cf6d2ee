//! Each row of the crate's table for responses, positive and negative: what is stored, what is
//! removed, and what is sent to the backend.
//!
//! `tests/ROWS.md` explains the names of rows.
#![allow(clippy::unwrap_used, reason = "test support")]

mod common;

use std::time::Duration;

use bartizan_core::{
    Answer, Backend, Key, Reason, Record, Route, SessionStore, UpstreamFailure, Work,
    failure::FailureKind,
    session::Additions,
    store::{Inserted, RecordVersion, Replaced},
};
use bartizan_memory::MemoryStore;
use bartizan_session::MintIds;
use common::{
    CALL, INITIALIZE, Mood, Moody, Server, guard, is_live, live, opened, post, request, send, text,
    with,
};
use http::{Method, Response, StatusCode};
use http_body_util::Full;

/// Answers DELETE with `status`, and anything else with a session on `backend`.
fn server_on(backend: &'static str, status: u16) -> Server {
    Server::new(move |seen| {
        let mut response = opened("s1");
        if seen.method == Method::DELETE {
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
        }
        response.extensions_mut().insert(backend.parse::<Backend>().unwrap());
        response
    })
}

#[tokio::test]
async fn a_new_session_is_in_the_store_before_its_response_leaves() {
    for mood in [None, Some(Mood::Late)] {
        let store = Moody { insert: mood, ..Moody::new() };
        let service = guard(&store, &server_on("http://b:1", 200));
        let response = send(&service, post(None, INITIALIZE)).await; // SD-1
        assert_eq!(response.headers()["mcp-session-id"], "s1");
        assert!(is_live(&store.inner, "s1").await, "{mood:?}");
        assert_eq!(send(&service, post(Some("s1"), CALL)).await.status(), 200);
    }
}

#[tokio::test]
async fn what_layers_inside_leave_is_stored_with_the_session() {
    let store = MemoryStore::new();
    let server = Server::new(|_| {
        let mut response = opened("s1");
        Additions::leave(response.extensions_mut(), "x", b"kept");
        response
    });
    let service = guard(&store, &server);
    let response = send(&service, post(None, INITIALIZE)).await;
    assert!(response.extensions().get::<Additions>().is_none(), "it goes no further");
    let route = Route::default();
    let found = store.get(Key::new(&route, None, b"s1")).wait().await.unwrap().unwrap();
    assert_eq!(found.record().field("x"), Some(&b"kept"[..]));
}

#[tokio::test]
async fn a_minted_id_is_all_that_a_client_sees_and_the_backends_all_that_a_backend_does() {
    let store = MintIds::new(MemoryStore::new());
    let server = server_on("http://b:1", 200);
    let service = guard(&store, &server);
    let response = send(&service, post(None, INITIALIZE)).await;
    let id = response.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    assert_ne!(id, "s1");
    // The server names its session on every response, and so does the guard.
    let answer = send(&service, post(Some(&id), CALL)).await;
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["mcp-session-id"].as_bytes()),
        (200, id.as_bytes())
    );
    assert_eq!(server.journal()[1].headers["mcp-session-id"], "s1");
    assert_eq!(send(&service, post(Some("s1"), CALL)).await.status(), 404, "it is nobody's here");
    let delete = send(&service, request(Method::DELETE, Some(&id), "")).await;
    assert_eq!(delete.status(), 200);
    assert_eq!(server.journal()[2].headers["mcp-session-id"], "s1");
    assert_eq!(send(&service, post(Some(&id), CALL)).await.status(), 404);
}

#[tokio::test]
async fn when_the_store_refuses_the_client_gets_503_and_the_backend_a_delete() {
    for (mood, reason) in
        [(Mood::Failing, Reason::StoreUnavailable), (Mood::Stuck, Reason::StoreUnavailable)]
    {
        tokio::time::pause();
        let store = Moody { insert: Some(mood), ..Moody::new() };
        let server = server_on("http://b:1", 200);
        let service = guard(&store, &server);
        let opening = with(post(None, INITIALIZE), "authorization", "Bearer t");
        let opening = with(with(opening, "te", "trailers"), "trailer", "x-checksum");
        let opening = with(opening, "content-type", "application/json");
        let response = send(&service, opening).await;
        assert_eq!(Reason::of(&response), Some(reason), "{mood:?}");
        assert_eq!(
            (response.status().as_u16(), response.headers()["retry-after"].as_bytes()),
            (503, &b"1"[..])
        );
        assert!(!response.headers().contains_key("mcp-session-id"));
        assert!(text(response).await.contains(r#""id":"i""#));
        let journal = server.journal();
        assert_eq!(journal.len(), 2);
        let orphan = &journal[1];
        assert_eq!(orphan.method, Method::DELETE);
        assert_eq!(orphan.headers["mcp-session-id"], "s1");
        assert_eq!(orphan.headers["authorization"], "Bearer t");
        for name in ["content-length", "content-type", "te", "trailer"] {
            assert!(!orphan.headers.contains_key(name), "{name}");
        }
        assert_eq!(orphan.backend.as_ref().unwrap().as_str(), "http://b:1");
        assert_eq!((orphan.work, orphan.body.len()), (Work::Pinned, 0));
        tokio::time::resume();
    }
}

#[tokio::test]
async fn an_id_that_two_backends_give_is_not_handed_out_twice() {
    let store = MemoryStore::new();
    let first = guard(&store, &server_on("http://b:1", 200));
    assert_eq!(send(&first, post(None, INITIALIZE)).await.status(), 200);
    // The same backend may name its session again.
    assert_eq!(send(&first, post(None, INITIALIZE)).await.status(), 200);
    let server = server_on("http://b:2", 200);
    let refused = send(&guard(&store, &server), post(None, INITIALIZE)).await;
    assert_eq!(Reason::of(&refused), Some(Reason::InvalidResponse));
    assert_eq!(server.journal()[1].method, Method::DELETE);
    assert!(is_live(&store, "s1").await, "the first session lives on");
}

/// When a session has moved, its old backend may give the old id to another client.
#[tokio::test]
async fn an_id_by_which_a_moved_session_is_known_is_not_handed_out_again() {
    let store = MemoryStore::new();
    let route = Route::default();
    let record = Record::new(Record::IDLE, Record::LIFETIME)
        .with_backend("http://b:1".parse().unwrap())
        .with_upstream_id("s2".parse().unwrap());
    let moved = store.insert_if_absent(Key::new(&route, None, b"s1"), record);
    assert!(matches!(moved.wait().await, Ok(Inserted::Inserted(_))));
    let server = server_on("http://b:1", 200);
    let refused = send(&guard(&store, &server), post(None, INITIALIZE)).await;
    assert_eq!(Reason::of(&refused), Some(Reason::InvalidResponse), "it is another session");
    assert!(!refused.headers().contains_key("mcp-session-id"));
    let orphan = &server.journal()[1];
    assert_eq!(
        (&orphan.method, orphan.headers["mcp-session-id"].as_bytes()),
        (&Method::DELETE, &b"s1"[..])
    );
}

#[tokio::test]
async fn no_response_shows_a_backends_id_where_ids_are_minted() {
    for (method, status) in [
        (Method::POST, 200),
        (Method::POST, 400),
        (Method::POST, 404),
        (Method::POST, 500),
        (Method::GET, 200),
        (Method::GET, 405),
        (Method::DELETE, 200),
        (Method::DELETE, 404),
        (Method::DELETE, 405),
    ] {
        // Its own session, or an unknown one.
        for named in ["s1", "other"] {
            let server = Server::new(move |seen| {
                if !seen.headers.contains_key("mcp-session-id") {
                    return opened("s1");
                }
                let mut response = opened(named);
                response.headers_mut().append("mcp-session-id", "other".parse().unwrap());
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                response
            });
            let service = guard(&MintIds::new(MemoryStore::new()), &server);
            let response = send(&service, post(None, INITIALIZE)).await;
            let id = response.headers()["mcp-session-id"].to_str().unwrap().to_owned();
            let response = send(&service, request(method.clone(), Some(&id), CALL)).await;
            let shown: Vec<_> = response.headers().get_all("mcp-session-id").iter().collect();
            assert!(
                shown.iter().all(|shown| *shown != "s1" && *shown != "other"),
                "{method} {status} {named}: {shown:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_no_id_is_not_handed_out() {
    for bad in ["", "a b", "a\tb"] {
        let server = Server::new(move |_| opened(bad));
        let response = send(&guard(&MemoryStore::new(), &server), post(None, INITIALIZE)).await;
        assert_eq!(Reason::of(&response), Some(Reason::InvalidResponse), "{bad:?}"); // SV-22
        assert!(!response.headers().contains_key("mcp-session-id"));
    }
    // An error that names a session opens none.
    let store = MemoryStore::new();
    let server = Server::new(|_| {
        let mut response = opened("s1");
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    });
    let response = send(&guard(&store, &server), post(None, INITIALIZE)).await;
    assert_eq!(response.status(), 400);
    assert!(!response.headers().contains_key("mcp-session-id"));
    assert!(!is_live(&store, "s1").await);
    // No id, no session (SD-21).
    let plain = Server::new(|_| Response::new(Full::from("ok")));
    assert_eq!(send(&guard(&store, &plain), post(None, INITIALIZE)).await.status(), 200);
    assert_eq!(store.len(), 0);
}

#[tokio::test]
async fn delete_ends_a_session_when_the_backend_says_so() {
    for (status, ends) in [
        (200, true), // SD-14
        (202, true),
        (204, true),
        (404, true),  // SD-16
        (405, false), // SD-15
        (500, false),
        (503, false),
        (400, false),
    ] {
        for mood in [None, Some(Mood::Late)] {
            let store = Moody { remove: mood, ..Moody::new() };
            live(&store.inner, "s1").await;
            let service = guard(&store, &server_on("http://b:1", status));
            let response = send(&service, request(Method::DELETE, Some("s1"), "")).await;
            assert_eq!(response.status(), status);
            assert_eq!(is_live(&store.inner, "s1").await, !ends, "{status} {mood:?}");
        }
    }
}

#[tokio::test]
async fn delete_ends_a_session_whose_backend_is_unreachable() {
    let store = MemoryStore::new();
    live(&store, "s1").await;
    let failing = |kind| {
        Server::new(move |_| {
            let mut response = Response::new(Full::from("no"));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response.extensions_mut().insert(UpstreamFailure::new(kind));
            response
        })
    };
    // The DELETE may have been processed, so the backend is asked again.
    let reset = guard(&store, &failing(FailureKind::Terminated));
    let response = send(&reset, request(Method::DELETE, Some("s1"), "")).await;
    assert_eq!(response.status(), 503);
    assert!(is_live(&store, "s1").await);
    let refused = guard(&store, &failing(FailureKind::Refused));
    // Any other method keeps it.
    assert_eq!(send(&refused, post(Some("s1"), CALL)).await.status(), 503);
    assert!(is_live(&store, "s1").await);
    let response = send(&refused, request(Method::DELETE, Some("s1"), "")).await;
    assert_eq!(response.status(), 204);
    assert_eq!(text(response).await, "");
    assert!(!is_live(&store, "s1").await);
}

#[tokio::test]
async fn the_backends_own_404_ends_a_session_and_other_errors_do_not() {
    for status in [404_u16, 400, 405, 409, 500, 502, 503, 504] {
        for method in [Method::POST, Method::GET] {
            let store = MemoryStore::new();
            live(&store, "s1").await;
            let server = Server::new(move |_| {
                let mut response = Response::new(Full::from("own words"));
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                response
            });
            let response = send(&guard(&store, &server), request(method, Some("s1"), CALL)).await; // SD-13
            assert_eq!(response.status(), status);
            assert_eq!(text(response).await, "own words");
            assert_eq!(is_live(&store, "s1").await, status != 404, "{status}");
        }
    }
}

/// A late answer of the old backend is about the record that its request saw.
#[tokio::test]
async fn a_404_of_the_backend_that_a_session_has_left_does_not_end_it() {
    for moves in [true, false] {
        let store = MemoryStore::new();
        live(&store, "s1").await;
        let table = store.clone();
        let server = Server::new(move |_| {
            if moves {
                // Another request moves it while this 404 is on its way.
                let (route, record) =
                    (Route::default(), Record::new(Record::IDLE, Record::LIFETIME));
                let record = record.with_backend("http://b:2".parse().unwrap());
                let key = Key::new(&route, None, b"s1");
                let replaced = table.replace(key, RecordVersion::FIRST, record);
                assert!(matches!(replaced, Answer::Now(Ok(Replaced::Replaced(_)))));
            }
            let mut response = Response::new(Full::from("not here"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        });
        let response = send(&guard(&store, &server), post(Some("s1"), CALL)).await;
        assert_eq!(response.status(), 404, "passed on");
        assert_eq!(is_live(&store, "s1").await, moves);
    }
}

#[tokio::test]
async fn a_session_that_was_moved_is_bound_to_its_new_backend() {
    for mood in [None, Some(Mood::Late)] {
        let store = Moody { insert: mood, ..Moody::new() };
        let opener = guard(&store, &server_on("http://b:1", 200));
        assert_eq!(send(&opener, post(None, INITIALIZE)).await.status(), 200);
        let mover = guard(&store, &server_on("http://b:2", 200));
        assert_eq!(send(&mover, post(Some("s1"), CALL)).await.status(), 200);
        let route = Route::default();
        let key = Key::new(&route, None, b"s1");
        let session = SessionStore::get(&store.inner, key).wait().await;
        let session = session.unwrap().unwrap();
        assert_eq!(session.record().backend().unwrap().as_str(), "http://b:2", "{mood:?}");
    }
}

#[tokio::test]
async fn an_id_that_changes_in_the_course_of_a_session_is_known_too() {
    let store = MemoryStore::new();
    live(&store, "s1").await;
    let server = Server::new(|_| opened("s2"));
    let service = guard(&store, &server);
    assert_eq!(send(&service, post(Some("s1"), CALL)).await.status(), 200);
    assert!(is_live(&store, "s1").await && is_live(&store, "s2").await);
}

#[tokio::test(start_paused = true)]
async fn a_call_in_flight_and_an_open_body_are_use() {
    let store = MemoryStore::new();
    let server = Server::mcp();
    let service = guard(&store, &server);
    live(&store, "s1").await;
    let response = send(&service, post(Some("s1"), CALL)).await;
    let two_hours = Duration::from_secs(2 * 60 * 60);
    tokio::time::advance(two_hours * 2).await;
    assert_eq!(store.sweep(), 0, "the body is still open");
    drop(response);
    // The end of a stream is a use: the idle time starts here, even without a lookup in the
    // meantime.
    let response = send(&service, post(Some("s1"), CALL)).await;
    tokio::time::advance(two_hours - Duration::from_secs(1)).await;
    drop(response);
    tokio::time::advance(two_hours - Duration::from_secs(1)).await;
    assert!(is_live(&store, "s1").await);
    tokio::time::advance(two_hours + Duration::from_secs(1)).await;
    assert_eq!(send(&service, post(Some("s1"), CALL)).await.status(), 404);
}
