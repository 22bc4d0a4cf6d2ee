//! Each row of the crate's table for requests, positive and negative, over `MemoryStore`.
//!
//! `tests/ROWS.md` explains the names of rows.

mod common;

use bartizan_core::{Reason, Work};
use bartizan_memory::MemoryStore;
use bartizan_session::{Sessionless, ValidateSessionLayer};
use bytes::Bytes;
use common::{CALL, INITIALIZE, Server, by, guard, is_live, live, post, request, send, text, with};
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use tower::Layer;

const MODERN: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
const MODERN_2099: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2099-01-01"}}}"#;
const VERSION: &str = "mcp-protocol-version";

#[tokio::test]
async fn a_malformed_id_is_refused_on_every_method_and_no_other_is() {
    let (store, server) = (MemoryStore::new(), Server::mcp());
    let service = guard(&store, &server);
    let long = |bytes: usize| "a".repeat(bytes).into_bytes();
    let mut malformed: Vec<Vec<Vec<u8>>> = vec![
        vec![vec![]],                                      // SV-7
        vec![b" ".to_vec()],                               // SV-8
        vec![b"\t".to_vec()],                              // SV-8
        vec![b" \t ".to_vec()],                            // SV-8
        vec![b"ab cd".to_vec()],                           // SV-9
        vec![b"ab\tcd".to_vec()],                          // SV-10
        vec![b"caf\xc3\xa9".to_vec()],                     // SV-13
        vec![b"\xff".to_vec()],                            // SV-13
        vec![b"\x80abc".to_vec()],                         // SV-13
        vec![b"a".to_vec(), b"b".to_vec()],                // SV-15
        vec![b"a".to_vec(), b"a".to_vec()],                // SV-16
        vec![b"a".to_vec(), b"".to_vec()],                 // SV-15
        vec![b"".to_vec(), b"a".to_vec()],                 // SV-15
        vec![b"a".to_vec(), b"b".to_vec(), b"c".to_vec()], // SV-15
        vec![long(1025)],                                  // SV-18
        vec![long(8000)],                                  // SV-18
    ];
    // A space or a high byte at each of several places.
    for at in 1..8 {
        let mut id = b"abcdefghi".to_vec();
        id[at] = b' ';
        malformed.push(vec![id.clone()]);
        id[at] = 0xa0;
        malformed.push(vec![id]);
    }
    malformed.push(vec![b"a, b".to_vec()]);
    malformed.push(vec![b"id=1; x".to_vec()]);
    malformed.push(vec!["１".as_bytes().to_vec()]);
    assert_eq!(malformed.len(), 33);
    for lines in &malformed {
        for method in [Method::POST, Method::GET, Method::DELETE] {
            let mut request = request(method.clone(), None, CALL);
            for line in lines {
                let value = HeaderValue::from_bytes(line).unwrap();
                request.headers_mut().append("mcp-session-id", value);
            }
            let response = send(&service, request).await;
            assert_eq!(Reason::of(&response), Some(Reason::MalformedSessionId), "{lines:?}");
            assert_eq!(response.status(), 400);
            let text = text(response).await;
            // The id of a POST is echoed; the session id never is.
            assert_eq!(text.contains(r#""id":7"#), method == Method::POST, "{text}");
            assert!(text.contains("-32600") && !text.contains("null"), "{text}");
        }
    }
    assert_eq!(server.calls(), 0);
    let all: String = (0x21..=0x7e_u8).map(char::from).collect();
    // SV-1 to SV-6, SV-11, SV-17
    for valid in ["1868a90c-7c3e-4c5a-9f0e-0a1b2c3d4e5f", "!", "~", &all, "a.b.c", "a,b", " abc "] {
        live(&store, valid.trim()).await;
        assert_eq!(send(&service, post(Some(valid), CALL)).await.status(), 200, "{valid}");
    }
    let longest = "a".repeat(1024);
    live(&store, &longest).await;
    assert_eq!(send(&service, post(Some(&longest), CALL)).await.status(), 200);
}

#[tokio::test]
async fn an_id_that_is_not_found_is_404_with_the_request_id_echoed() {
    let (store, server) = (MemoryStore::new(), Server::mcp());
    let service = guard(&store, &server);
    live(&store, "abc").await;
    let response = send(&service, post(Some("ABC"), CALL)).await; // SD-6, SV-19
    assert_eq!(response.status(), 404);
    let expected =
        r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32001,"message":"Session not found"}}"#;
    assert_eq!(text(response).await, expected);
    for method in [Method::GET, Method::DELETE] {
        let response = send(&service, request(method, Some("x"), "")).await; // SD-12, SD-18
        assert_eq!(response.status(), 404);
        assert!(!text(response).await.contains("\"id\""));
    }
    for body in ["", "nonsense", r#"{"jsonrpc":"2.0","method":"notifications/x"}"#, "[]"] {
        let response = send(&service, post(Some("x"), body)).await;
        assert_eq!(response.status(), 404);
        assert!(!text(response).await.contains("\"id\""), "{body}");
    }
    // The id is only in the query, which does not count (SV-21).
    let query = Request::post("/mcp?mcp-session-id=abc").body(Full::from(CALL)).unwrap();
    assert_eq!(send(&service, query).await.status(), 400);
    assert_eq!(server.calls(), 0);
}

#[tokio::test]
async fn an_id_belongs_to_its_principal_and_its_route() {
    let (store, server) = (MemoryStore::new(), Server::mcp());
    let service = guard(&store, &server);
    let opened = send(&service, by(post(None, INITIALIZE), "alice")).await;
    assert_eq!(opened.status(), 200);
    assert_eq!(send(&service, by(post(Some("s1"), CALL), "alice")).await.status(), 200);
    let calls = server.calls();
    let unknown = text(send(&service, by(post(Some("zz"), CALL), "alice")).await).await;
    for (stranger, method) in [
        (Some("bob"), Method::POST), // SD-7
        (Some("bob"), Method::GET),
        (Some("bob"), Method::DELETE),
        (None, Method::POST),
        (None, Method::DELETE),
    ] {
        let mut shown = request(method.clone(), Some("s1"), CALL);
        if let Some(subject) = stranger {
            shown = by(shown, subject);
        }
        let response = send(&service, shown).await;
        assert_eq!(response.status(), 404, "{stranger:?} {method}");
        if method == Method::POST {
            assert_eq!(text(response).await, unknown, "looks like any unknown id");
        }
    }
    let elsewhere = ValidateSessionLayer::mcp(store.clone()).route("b").layer(server.clone());
    assert_eq!(send(&elsewhere, by(post(Some("s1"), CALL), "alice")).await.status(), 404);
    assert_eq!(server.calls(), calls);
    assert_eq!(send(&service, by(post(Some("s1"), CALL), "alice")).await.status(), 200);
    // An anonymous session is not found with a token, either.
    live(&store, "anonymous").await;
    let shown = by(post(Some("anonymous"), CALL), "alice");
    assert_eq!(send(&service, shown).await.status(), 404);
}

#[tokio::test]
async fn a_request_that_needs_a_session_and_shows_none_is_refused_or_forwarded_by_choice() {
    let (store, server) = (MemoryStore::new(), Server::mcp());
    let strict = guard(&store, &server);
    let refused = send(&strict, post(None, CALL)).await; // SD-4, ED-6, ED-7
    assert_eq!(Reason::of(&refused), Some(Reason::MissingSessionId));
    assert!(text(refused).await.contains(r#""id":7"#));
    let get = send(&strict, request(Method::GET, None, "")).await; // SD-10, by design
    assert_eq!(
        (get.status().as_u16(), &get.headers()["allow"]),
        (405, &"POST, DELETE".parse().unwrap())
    );
    let delete = send(&strict, request(Method::DELETE, None, "")).await; // SD-17
    assert_eq!(delete.status(), 400);
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/x"}"#; // ED-14
    assert_eq!(send(&strict, post(None, notification)).await.status(), 400);
    let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#; // ED-15
    assert_eq!(send(&strict, post(None, response)).await.status(), 400);
    assert_eq!(server.calls(), 0);

    let lenient = ValidateSessionLayer::mcp(store).sessionless(Sessionless::Forward);
    let lenient = lenient.layer(server.clone());
    for request in [
        post(None, CALL),
        post(None, notification),
        post(None, "anything"),
        request(Method::GET, None, ""),
        request(Method::DELETE, None, ""),
    ] {
        assert_eq!(send(&lenient, request).await.status(), 200);
    }
    assert_eq!(server.calls(), 5);
    // An id that is sent is still checked.
    assert_eq!(send(&lenient, post(Some("x"), CALL)).await.status(), 404);
}

#[tokio::test]
async fn the_modern_era_has_no_sessions_and_one_method() {
    let (store, server) = (MemoryStore::new(), Server::mcp());
    let service = guard(&store, &server);
    let modern = send(&service, with(post(None, MODERN), VERSION, "2026-07-28")).await; // ED-1
    assert_eq!(modern.status(), 200);
    assert!(!modern.headers().contains_key("mcp-session-id"));
    let seen = server.journal().pop().unwrap();
    assert_eq!((seen.body, seen.work, seen.has_session), (Bytes::from(MODERN), Work::Free, false));
    let spaced = with(post(None, "not even JSON"), VERSION, " 2026-07-28 "); // ED-30, ED-31
    assert_eq!(send(&service, spaced).await.status(), 200);
    for method in [Method::GET, Method::DELETE] {
        let claims = with(request(method, None, ""), VERSION, "2026-07-28"); // ED-22
        let response = send(&service, claims).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &"POST".parse().unwrap())
        );
    }
    // The id decides: neither era lets a stale one pass (unlike ED-23 and ED-24).
    for method in [Method::POST, Method::GET, Method::DELETE] {
        let claims = with(request(method, Some("x"), MODERN), VERSION, "2026-07-28");
        assert_eq!(send(&service, claims).await.status(), 404);
    }
    assert_eq!(server.calls(), 2);
}

#[tokio::test]
async fn a_version_in_the_body_must_be_the_headers() {
    let (store, server) = (MemoryStore::new(), Server::mcp());
    let service = guard(&store, &server);
    for (body, versions) in [
        (MODERN, &[][..]),                       // ED-2
        (MODERN, &["2025-11-25"]),               // ED-3
        (MODERN, &["zzz"]),                      // ED-26
        (MODERN, &["2026-07-28", "2026-07-28"]), // ED-28
        (MODERN, &["2026-07-28,2026-07-28"]),    // ED-32
        (CALL, &["2025-11-25", "2025-11-25"]),   // ED-28
    ] {
        let mut request = post(None, body);
        for version in versions {
            request = with(request, VERSION, version);
        }
        let response = send(&service, request).await;
        assert_eq!(Reason::of(&response), Some(Reason::HeaderMismatch), "{versions:?}");
        let text = text(response).await;
        assert!(text.contains("-32020") && text.contains(r#""id":"#), "{text}");
    }
    // A revision newer than this code is the backend's to refuse (ED-25).
    let newer = with(post(None, MODERN_2099), VERSION, "2099-01-01");
    assert_eq!(server.calls(), 0);
    assert_eq!(send(&service, newer).await.status(), 200);
    let unknown = send(&service, with(post(None, CALL), VERSION, "1.0.0")).await; // ED-27
    assert_eq!(Reason::of(&unknown), Some(Reason::UnknownVersion));
}

#[tokio::test]
async fn other_methods_are_refused_and_options_and_metadata_pass() {
    let (store, server) = (MemoryStore::new(), Server::mcp());
    let service = guard(&store, &server);
    for method in [Method::PUT, Method::PATCH, Method::HEAD, Method::TRACE, Method::CONNECT] {
        let response = send(&service, request(method, Some("x"), "")).await; // SD-23
        assert_eq!(response.status(), 405);
        assert!(response.headers()["allow"].to_str().unwrap().contains("POST"));
    }
    assert_eq!(server.calls(), 0);
    assert_eq!(send(&service, request(Method::OPTIONS, None, "")).await.status(), 200);
    let metadata = Request::get("/.well-known/oauth-protected-resource/mcp");
    let metadata = metadata.body(Full::default()).unwrap(); // X-10
    assert_eq!(send(&service, metadata).await.status(), 200);
}

#[tokio::test]
async fn a_body_without_a_session_is_one_message_within_the_bound() {
    let (store, server) = (MemoryStore::new(), Server::mcp());
    let layer = ValidateSessionLayer::mcp(store).peek_limit(300);
    let service = layer.layer(server.clone());
    for body in ["", "nonsense", "7", r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"initialize"}"#] {
        let response = send(&service, post(None, body)).await;
        assert_eq!(Reason::of(&response), Some(Reason::MalformedBody), "{body}");
        assert!(!text(response).await.contains("\"id\""));
    }
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#;
    let modern = r#"[{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}]"#;
    for (body, version, reason) in [
        (batch, None, Reason::MissingSessionId), // ED-17
        (batch, Some("2025-03-26"), Reason::MissingSessionId), // ED-17
        (batch, Some("2025-06-18"), Reason::BatchNotAllowed), // ED-18
        (batch, Some("2025-11-25"), Reason::BatchNotAllowed), // ED-18
        (modern, None, Reason::BatchNotAllowed), // ED-19
        ("[]", None, Reason::BatchNotAllowed),   // ED-20
    ] {
        let mut request = post(None, body);
        if let Some(version) = version {
            request = with(request, VERSION, version);
        }
        assert_eq!(Reason::of(&send(&service, request).await), Some(reason), "{body} {version:?}");
    }
    let large: &'static str = Box::leak("x".repeat(301).into_boxed_str());
    assert_eq!(send(&service, post(None, large)).await.status(), 413);
    assert_eq!(server.calls(), 0);
    // The body of a live session's request is not read, however large or odd.
}

#[tokio::test]
async fn initialize_opens_a_session_whatever_id_it_shows() {
    let (store, server) = (MemoryStore::new(), Server::mcp());
    let service = guard(&store, &server);
    let response = send(&service, post(Some("stale"), INITIALIZE)).await; // SD-3, by design
    assert_eq!(response.headers()["mcp-session-id"], "s1");
    let seen = server.journal().pop().unwrap();
    assert!(!seen.headers.contains_key("mcp-session-id"), "the stale id is removed");
    assert_eq!((seen.body, seen.work), (Bytes::from(INITIALIZE), Work::Opening));
    assert!(is_live(&store, "s1").await && !is_live(&store, "stale").await);

    let response = send(&service, post(Some("s1"), INITIALIZE)).await; // SD-2
    assert_eq!(response.status(), 200);
    let seen = server.journal().pop().unwrap();
    assert_eq!(seen.headers["mcp-session-id"], "s1");
    assert!(seen.has_session);
}

#[tokio::test]
async fn a_live_session_passes_with_any_body_and_any_claim() {
    let (store, server) = (MemoryStore::new(), Server::mcp());
    let layer = ValidateSessionLayer::mcp(store.clone()).peek_limit(4);
    let service = layer.layer(server.clone());
    live(&store, "s1").await;
    for body in [CALL, "nonsense", "[]", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#] {
        assert_eq!(send(&service, post(Some("s1"), body)).await.status(), 200); // SD-5, SD-8, SD-9
        assert_eq!(server.journal().pop().unwrap().body, body);
    }
    let modern = with(post(Some("s1"), CALL), VERSION, "2026-07-28");
    assert_eq!(send(&service, modern).await.status(), 200);
    let resume = with(request(Method::GET, Some("s1"), ""), "last-event-id", "e/1 2"); // SD-11
    assert_eq!(send(&service, resume).await.status(), 200);
    assert_eq!(server.journal().pop().unwrap().headers["last-event-id"], "e/1 2");
}

#[tokio::test]
async fn past_the_cap_new_sessions_are_refused_and_live_ones_are_not() {
    let store = MemoryStore::builder().max_sessions(1).build();
    let server = Server::mcp();
    let service = guard(&store, &server);
    assert_eq!(send(&service, post(None, INITIALIZE)).await.status(), 200);
    // Confirmed, so it is not evicted.
    assert_eq!(send(&service, post(Some("s1"), CALL)).await.status(), 200);
    let refused = send(&service, post(None, INITIALIZE)).await;
    assert_eq!(Reason::of(&refused), Some(Reason::TooManySessions));
    assert!(refused.headers().contains_key("retry-after"));
    assert!(text(refused).await.contains(r#""id":"i""#));
    assert_eq!(server.calls(), 2);
    assert_eq!(send(&service, post(Some("s1"), CALL)).await.status(), 200);
}

#[tokio::test]
async fn the_header_preset_guards_any_header_and_leaves_the_rest_alone() {
    let (store, server) = (
        MemoryStore::new(),
        Server::new(|seen| {
            let mut response = http::Response::new(Full::from("ok"));
            if seen.method == Method::PUT {
                response.headers_mut().insert("x-session", "h1".parse().unwrap());
            }
            if seen.method == Method::PATCH {
                *response.status_mut() = http::StatusCode::NOT_FOUND;
            }
            response
        }),
    );
    let layer = ValidateSessionLayer::header("x-session".parse().unwrap(), store.clone());
    let service = layer.clone().layer(server.clone());
    assert_eq!(send(&service, request(Method::PUT, None, "open")).await.status(), 200);
    for method in [Method::POST, Method::PATCH, Method::DELETE, Method::GET] {
        let shown = with(request(method.clone(), None, "x"), "x-session", "h1");
        let expected = if method == Method::PATCH { 404 } else { 200 };
        assert_eq!(send(&service, shown).await.status(), expected);
        assert!(is_live(&store, "h1").await, "{method} does not end it");
    }
    let unknown = with(request(Method::GET, None, ""), "x-session", "h2");
    let unknown = send(&service, unknown).await;
    assert_eq!(unknown.status(), 404);
    assert_eq!(unknown.headers()["content-type"], "application/problem+json");
    let grpc = with(with(post(None, ""), "x-session", "h2"), "content-type", "application/grpc");
    let grpc = send(&service, grpc).await;
    assert_eq!(
        (grpc.status().as_u16(), &grpc.headers()["grpc-status"]),
        (200, &"5".parse().unwrap())
    );
    let strict = layer.sessionless(Sessionless::Refuse).layer(server.clone());
    assert_eq!(send(&strict, request(Method::GET, None, "")).await.status(), 400);
}
