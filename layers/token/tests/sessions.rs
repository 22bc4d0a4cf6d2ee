//! Two replicas that share only a ring of keys, in front of a server that keeps sessions.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bartizan_core::{
    Answer, Backend, GuardBody, Key, Principal, Record, Route, Session, SessionStore,
    store::{Inserted, RecordVersion, Replaced},
};
use bartizan_memory::MemoryStore;
use bartizan_session::ValidateSessionLayer;
use bartizan_token::{KeyRing, TokenStore};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use tokio::time::timeout;
use tower::{Layer, ServiceExt, service_fn};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
const BACKEND: &str = "http://10.0.0.7:9001";
const UPSTREAM_ID: &str = "0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f";

fn keys() -> KeyRing {
    KeyRing::new(1, &[7; 32]).unwrap()
}

/// What the backend got.
type Journal = Arc<Mutex<Vec<(Method, Option<String>, Option<String>)>>>;

/// Sends a request through a separate replica.
async fn send<E: SessionStore>(
    store: &TokenStore<E>,
    journal: &Journal,
    request: Request<Full<Bytes>>,
) -> (u16, HeaderMap) {
    let journal = Arc::clone(journal);
    let backend = service_fn(move |request: Request<_>| {
        let id = request.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        let pinned = Session::of(&request)
            .and_then(|session| session.record().backend().map(ToString::to_string));
        journal.lock().unwrap().push((request.method().clone(), id, pinned));
        // The backend names the session in every response.
        let mut response = Response::new(GuardBody::<Full<Bytes>>::refused(Bytes::new()));
        response.headers_mut().insert("mcp-session-id", UPSTREAM_ID.parse().unwrap());
        response.extensions_mut().insert(BACKEND.parse::<Backend>().unwrap());
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let layer = ValidateSessionLayer::mcp(store.clone());
    let response = layer.layer(backend).oneshot(request).await.unwrap();
    (response.status().as_u16(), response.headers().clone())
}

fn request(method: Method, id: Option<&str>, body: &'static str) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri("/mcp");
    if let Some(id) = id {
        request = request.header("mcp-session-id", id);
    }
    request.body(Full::from(body)).unwrap()
}

fn id(headers: &HeaderMap) -> &str {
    headers["mcp-session-id"].to_str().unwrap()
}

#[tokio::test]
async fn any_replica_with_the_keys_serves_the_session_and_the_ids_stay_apart() {
    let journal = Journal::default();
    let (a, b) = (TokenStore::new(keys()), TokenStore::new(keys()));
    let (status, headers) = send(&a, &journal, request(Method::POST, None, INITIALIZE)).await;
    let token = id(&headers).to_owned();
    assert_eq!((status, token.len()), (200, 148));
    assert!(!token.contains("0a1b2c3d"));
    for store in [&a, &b] {
        let (status, headers) =
            send(store, &journal, request(Method::POST, Some(&token), "{}")).await;
        assert_eq!((status, id(&headers)), (200, token.as_str()), "the client's own id comes back");
    }
    let seen = journal.lock().unwrap().clone();
    let inside = (Method::POST, Some(UPSTREAM_ID.to_owned()), Some(BACKEND.to_owned()));
    assert_eq!(seen, [(Method::POST, None, None), inside.clone(), inside]);

    // The backend's id, a changed token and a token of other keys are all unknown.
    let mut changed = token.clone().into_bytes();
    changed[40] ^= 1;
    let other = TokenStore::new(KeyRing::new(1, &[9; 32]).unwrap());
    for (store, id) in
        [(&a, UPSTREAM_ID), (&a, str::from_utf8(&changed).unwrap()), (&other, &token)]
    {
        assert_eq!(send(store, &journal, request(Method::POST, Some(id), "{}")).await.0, 404);
    }
    let mut stolen = request(Method::POST, Some(&token), "{}");
    Principal::new("i", "mallory").attach(&mut stolen);
    assert_eq!(send(&a, &journal, stolen).await.0, 404);
    assert_eq!(journal.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn what_was_seen_of_a_token_is_what_it_is_until_it_ends() {
    let (route, shared) = (Route::default(), MemoryStore::new());
    let store = TokenStore::new(keys()).remembering_ends(shared.clone());
    let record = Record::new(Record::IDLE, Record::LIFETIME);
    let opened = Key::new(&route, None, UPSTREAM_ID.as_bytes());
    let Inserted::Inserted(session) = store.insert_if_absent(opened, record).wait().await.unwrap()
    else {
        panic!("it has a token")
    };
    let (key, seen) = (session.key(), session.version());
    let forgetful = TokenStore::new(keys());
    assert!(!forgetful.remove_if_unchanged(key, seen).wait().await.unwrap(), "it cannot end it");
    assert!(!store.remove_if_unchanged(key, seen.next()).wait().await.unwrap());
    assert!(!store.remove_if_unchanged(opened, seen).wait().await.unwrap(), "not a token");
    assert!(store.get(key).wait().await.unwrap().is_some() && shared.is_empty());
    assert!(store.remove_if_unchanged(key, seen).wait().await.unwrap());
    assert!(!store.remove_if_unchanged(key, seen).wait().await.unwrap(), "it has ended before");
    assert!(store.get(key).wait().await.unwrap().is_none());
}

#[tokio::test]
async fn an_end_is_remembered_where_there_is_a_store_for_it() {
    for remembers in [false, true] {
        let journal = Journal::default();
        let shared = MemoryStore::new();
        let replicas = [0, 1].map(|_| TokenStore::new(keys()).remembering_ends(shared.clone()));
        let plain = TokenStore::new(keys());
        let (_, headers) = send(&plain, &journal, request(Method::POST, None, INITIALIZE)).await;
        let token = id(&headers).to_owned();
        let delete = request(Method::DELETE, Some(&token), "");
        let after = request(Method::POST, Some(&token), "{}");
        let status = if remembers {
            assert_eq!(send(&replicas[0], &journal, delete).await.0, 200);
            assert_eq!(shared.len(), 1, "ends, and nothing else");
            send(&replicas[1], &journal, after).await.0
        } else {
            assert_eq!(send(&plain, &journal, delete).await.0, 200, "it ends at the backend");
            send(&plain, &journal, after).await.0
        };
        assert_eq!(status, if remembers { 404 } else { 200 });
    }
}

/// Tokens use wall-clock time, and the clocks of replicas may differ.
#[tokio::test(start_paused = true)]
async fn an_end_outlasts_its_token_where_clocks_differ() {
    let (route, ends) = (Route::default(), MemoryStore::new());
    let store = TokenStore::new(keys()).remembering_ends(ends);
    let record = Record::new(Duration::from_secs(60), Duration::from_secs(60));
    let opened = store.insert_if_absent(Key::new(&route, None, b"id"), record).wait().await;
    let Ok(Inserted::Inserted(session)) = opened else { panic!("{opened:?}") };
    assert!(store.get(session.key()).wait().await.unwrap().is_some());
    store.remove(session.key()).wait().await.unwrap();
    for _ in 0..3 {
        assert!(store.get(session.key()).wait().await.unwrap().is_none());
        // The store's clock advances, and the wall clock stands still.
        tokio::time::advance(Duration::from_secs(30)).await;
    }
}

/// Ends are remembered by the exact text of the token.
#[tokio::test]
async fn a_token_has_one_spelling() {
    let (store, route) = (TokenStore::new(keys()), Route::default());
    for length in 1..=3 {
        let id = vec![b'a'; length];
        let record = Record::new(Record::IDLE, Record::LIFETIME);
        let opened = store.insert_if_absent(Key::new(&route, None, &id), record).wait().await;
        let Ok(Inserted::Inserted(session)) = opened else { panic!("{opened:?}") };
        let token = str::from_utf8(session.id()).unwrap();
        let is_live = async |token: &str| {
            let key = Key::new(&route, None, token.as_bytes());
            store.get(key).wait().await.unwrap().is_some()
        };
        assert!(is_live(token).await);
        let (rest, _) = token.split_at(token.len() - 1);
        for last in (0x21..0x7f_u8).map(char::from).filter(|last| !token.ends_with(*last)) {
            assert!(!is_live(&format!("{rest}{last}")).await, "{last}");
        }
        for other in [format!("{token}="), format!("{token}=="), format!("{token}A"), rest.into()] {
            assert!(!is_live(&other).await, "{length}");
        }
    }
}

#[tokio::test]
async fn a_token_lives_as_long_as_it_says() {
    let (store, route) = (TokenStore::new(keys()), Route::default());
    let open = |lifetime| {
        let record = Record::new(Duration::from_secs(60), lifetime);
        match store.insert_if_absent(Key::new(&route, None, b"id"), record) {
            Answer::Now(Ok(Inserted::Inserted(session))) => session,
            other => panic!("{other:?}"),
        }
    };
    let get = |session: &Session| match store.get(session.key()) {
        Answer::Now(found) => found.unwrap(),
        Answer::Later(_) => panic!("it is read at once"),
    };
    assert!(get(&open(Duration::from_secs(60))).is_some());
    assert!(get(&open(Duration::ZERO)).is_none());
    let session = open(Duration::from_secs(60));
    let moved = store.replace(session.key(), RecordVersion::FIRST, session.record().clone());
    assert!(matches!(moved, Answer::Now(Ok(Replaced::Changed(_)))));
}

#[tokio::test]
async fn an_id_that_is_too_long_for_a_token_is_refused_when_the_session_opens() {
    let (store, route) = (TokenStore::new(keys()), Route::default());
    let record = || Record::new(Record::IDLE, Record::LIFETIME);
    let fits = |length| {
        let id = vec![b'a'; length];
        matches!(store.insert_if_absent(Key::new(&route, None, &id), record()), Answer::Now(Ok(_)))
    };
    assert!(fits(700) && !fits(720));
}

const SOON: Duration = Duration::from_secs(5);

/// A stream of the session waits for its end in the same process.
#[tokio::test]
async fn an_end_reaches_those_who_wait_for_it_here() {
    let shared = MemoryStore::new();
    let plain = TokenStore::new(keys());
    let replicas = [0, 1].map(|_| TokenStore::new(keys()).remembering_ends(shared.clone()));
    let route = Route::default();
    let record = || Record::new(Record::IDLE, Record::LIFETIME);
    let insert = plain.insert_if_absent(Key::new(&route, None, b"backend's"), record());
    let Inserted::Inserted(opened) = insert.wait().await.unwrap() else { panic!("is inserted") };
    let key = opened.key();
    let get = plain.get(key).wait().await.unwrap().unwrap();
    let ended = get.ended();
    plain.remove(key).wait().await.unwrap();
    timeout(SOON, ended).await.expect("a stream of this process learns of it");
    // Another replica learns of the end when the session is next looked up.
    let elsewhere = replicas[1].get(key).wait().await.unwrap().unwrap();
    replicas[0].remove(key).wait().await.unwrap();
    assert!(!elsewhere.is_ended());
    assert!(replicas[1].get(key).wait().await.unwrap().is_none());
    timeout(SOON, elsewhere.ended()).await.expect("here, too");
}

/// However many sessions there are, and however long it was not asked for.
#[tokio::test]
async fn an_end_reaches_a_stream_that_is_one_of_many() {
    let (store, route) = (TokenStore::new(keys()), Route::default());
    let open = async |id: u32| {
        let record = Record::new(Record::IDLE, Record::LIFETIME);
        let id = id.to_string();
        let opened = store.insert_if_absent(Key::new(&route, None, id.as_bytes()), record);
        let Ok(Inserted::Inserted(session)) = opened.wait().await else { panic!("is inserted") };
        store.get(session.key()).wait().await.unwrap().unwrap()
    };
    let mut held = Vec::new();
    for id in 0..3_000 {
        held.push(open(id).await.hold());
        drop(open(id).await);
    }
    let stranger = Principal::new("issuer", "stranger");
    for hold in &held {
        let key = hold.session().key();
        store.remove(Key::new(key.route, Some(&stranger), key.id)).wait().await.unwrap();
        assert!(!hold.session().is_ended(), "another's");
        store.remove(key).wait().await.unwrap();
        assert!(hold.session().is_ended());
        // The token is still good: where no store remembers ends, the backend answers for it.
        assert!(!store.get(key).wait().await.unwrap().unwrap().is_ended());
    }
}
