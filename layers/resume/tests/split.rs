//! Gateways that fail and sessions that end during other operations.
#![allow(clippy::unwrap_used, reason = "test support")]

use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bartizan_core::{
    Backend, Dialect, GuardBody, Key, Reason, Refusal, Route, SessionStore, UpstreamFailure,
    failure::FailureKind,
};
use bartizan_memory::MemoryStore;
use bartizan_pin::{Backends, PinBackendLayer};
use bartizan_resume::split::{
    Gateway, Gateways, HeaderField, NameGateway, PathSegment, SplitSessionLayer, SplitSessions,
};
use bartizan_session::{MintIds, ValidateSessionLayer};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, advance, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#;
const RESULT: &str =
    r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{}}}"#;

/// The gateways `a` and `b`, which take a millisecond for a request, and for one that is `x-slow` a second.
#[derive(Clone, Debug, Default)]
struct World(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    down: HashSet<String>,
    live: HashSet<(String, String)>,
    opened: u32,
    /// Whether an unknown session is a bad request, as some servers have it.
    says_400: bool,
    /// The gateway that never answers `initialized`.
    mute: HashSet<String>,
    listened: Vec<HeaderMap>,
    /// Which gateways got DELETE, and on which path.
    deleted: Vec<(String, String)>,
}

impl World {
    async fn respond<B>(
        self,
        request: Request<B>,
    ) -> Result<Response<GuardBody<Full<Bytes>>>, Infallible>
    where
        B: Body<Data = Bytes>,
        B::Error: std::fmt::Debug,
    {
        let origin = Backend::of(&request).unwrap().id().to_string();
        let is_slow = request.headers().contains_key("x-slow");
        sleep(Duration::from_millis(if is_slow { 1_000 } else { 1 })).await;
        if self.0.lock().unwrap().down.contains(&origin) {
            let refusal = Refusal::new(Reason::BackendUnreachable);
            let mut response = refusal.respond(&Dialect::JsonRpc(None));
            response.extensions_mut().insert(UpstreamFailure::new(FailureKind::Refused));
            return Ok(response);
        }
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let is_mute = self.0.lock().unwrap().mute.contains(&origin);
        if is_mute && body.windows(11).any(|bytes| bytes == b"initialized") {
            std::future::pending::<()>().await;
        }
        let id = head.headers.get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        let mut state = self.0.lock().unwrap();
        let mut response = Response::new(GuardBody::forwarded(Full::from(RESULT)));
        let Some(id) = id else {
            state.opened += 1;
            let id = format!("theirs-{}", state.opened);
            response.headers_mut().insert("mcp-session-id", id.parse().unwrap());
            state.live.insert((origin, id));
            return Ok(response);
        };
        let session = (origin, id);
        if !state.live.contains(&session) && state.says_400 {
            *response.status_mut() = http::StatusCode::BAD_REQUEST;
            *response.body_mut() = GuardBody::forwarded(Full::from("Invalid session ID"));
        } else if !state.live.contains(&session) {
            *response.status_mut() = http::StatusCode::NOT_FOUND;
        } else if head.method == Method::DELETE {
            state.live.remove(&session);
            state.deleted.push((session.0, head.uri.path().to_owned()));
        } else if head.method == Method::GET {
            state.listened.push(head.headers);
        }
        Ok(response)
    }

    fn live(&self) -> usize {
        self.0.lock().unwrap().live.len()
    }
}

fn stack(
    world: &World,
    store: &MemoryStore,
) -> (
    impl Service<
        Request<Full<Bytes>>,
        Response = Response<impl Body<Data = Bytes> + use<>>,
        Error = Infallible,
    > + Clone
    + use<>,
    SplitSessions,
) {
    named_by(HeaderField::new(HeaderName::from_static("x-gateway")), world, store)
}

fn named_by<N: NameGateway>(
    names: N,
    world: &World,
    store: &MemoryStore,
) -> (
    impl Service<
        Request<Full<Bytes>>,
        Response = Response<impl Body<Data = Bytes> + use<N>>,
        Error = Infallible,
    > + Clone
    + use<N>,
    SplitSessions,
) {
    let (gateways, origins) = (Gateways::new(), ["http://a:1", "http://b:1"]);
    for (name, origin) in ["a", "b"].into_iter().zip(origins) {
        gateways.set(name, Gateway::new(origin.parse().unwrap()));
    }
    let world = world.clone();
    let upstream = service_fn(move |request| world.clone().respond(request));
    let backends = Backends::new(origins.map(|origin| origin.parse().unwrap()));
    let split = SplitSessionLayer::new(store.clone(), names, gateways);
    let sessions = split.sessions();
    let inner = split.layer(PinBackendLayer::new(backends).layer(upstream));
    (ValidateSessionLayer::mcp(MintIds::new(store.clone())).layer(inner), sessions)
}

fn request(method: Method, gateway: &str, id: Option<&str>) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri("/mcp").header("x-gateway", gateway);
    if let Some(id) = id {
        request = request.header("mcp-session-id", id);
    }
    request.body(Full::from(if id.is_none() { INITIALIZE } else { CALL })).unwrap()
}

fn with(mut request: Request<Full<Bytes>>, name: &'static str) -> Request<Full<Bytes>> {
    request.headers_mut().insert(name, "7".parse().unwrap());
    request
}

async fn send<S, R>(service: &S, request: Request<Full<Bytes>>) -> u16
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible> + Clone,
{
    service.clone().oneshot(request).await.unwrap().status().as_u16()
}

/// Opens a session at `a`.
async fn open<S, R>(service: &S) -> String
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible> + Clone,
{
    let response = service.clone().oneshot(request(Method::POST, "a", None)).await.unwrap();
    response.headers()["mcp-session-id"].to_str().unwrap().to_owned()
}

async fn call<S, R>(service: &S, gateway: &str, id: &str) -> u16
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible> + Clone,
{
    send(service, request(Method::POST, gateway, Some(id))).await
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_is_away_for_long_ends_no_client_session() {
    let (world, store) = (World::default(), MemoryStore::new());
    let (service, _) = stack(&world, &store);
    let id = open(&service).await;
    assert_eq!(call(&service, "b", &id).await, 200);
    world.0.lock().unwrap().down.insert("http://b:1".to_owned());
    for _ in 0..5 {
        assert_eq!(call(&service, "b", &id).await, 503);
        advance(Duration::from_secs(6)).await;
    }
    assert_eq!((call(&service, "a", &id).await, store.len()), (200, 1));
    world.0.lock().unwrap().down.clear();
    assert_eq!(call(&service, "b", &id).await, 200, "and it is there again");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_at_a_gateway_that_was_called_while_the_session_ended() {
    let (world, store) = (World::default(), MemoryStore::new());
    let (service, sessions) = stack(&world, &store);
    // Either the end is slow and the call opens another session in the meantime, or the call is slow and its session
    // ends during it.
    for slow in [Method::DELETE, Method::POST] {
        let id = open(&service).await;
        assert_eq!(call(&service, "b", &id).await, 200);
        let (mut end, mut called) =
            (request(Method::DELETE, "a", Some(&id)), request(Method::POST, "b", Some(&id)));
        if slow == Method::DELETE {
            end = with(end, "x-slow");
        } else {
            called = with(called, "x-slow");
        }
        let ending = async {
            sleep(Duration::from_millis(10)).await;
            send(&service, end).await
        };
        let calling = async {
            if slow == Method::DELETE {
                sleep(Duration::from_millis(20)).await;
            }
            send(&service, called).await
        };
        let (ended, called) = tokio::join!(ending, calling);
        assert!(ended == 200 && [200, 404].contains(&called), "{slow}: {ended} {called}");
        assert_eq!(call(&service, "b", &id).await, 404);
        sleep(Duration::from_secs(1)).await;
        assert_eq!((world.live(), store.len()), (0, 0), "{slow}");
        assert!(sessions.snapshot().is_empty(), "{slow}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_opened_in_time_is_ended() {
    let (world, store) = (World::default(), MemoryStore::new());
    let (service, sessions) = stack(&world, &store);
    let id = open(&service).await;
    world.0.lock().unwrap().mute.insert("http://b:1".to_owned());
    let begun = Instant::now();
    assert_eq!(call(&service, "b", &id).await, 503);
    assert!(begun.elapsed() <= Duration::from_secs(11), "{:?}", begun.elapsed());
    sleep(Duration::from_secs(1)).await;
    assert_eq!((world.live(), sessions.snapshot().len(), store.len()), (1, 0, 1));
    world.0.lock().unwrap().mute.clear();
    assert_eq!(call(&service, "b", &id).await, 200);
}

#[tokio::test(start_paused = true)]
async fn what_a_session_had_at_gateways_ends_soon_after_it_expired_or_ended_elsewhere() {
    let (world, store) = (World::default(), MemoryStore::new());
    let (service, sessions) = stack(&world, &store);
    let (gone, stays) = (open(&service).await, open(&service).await);
    for id in [&gone, &stays] {
        assert_eq!(call(&service, "b", id).await, 200);
    }
    let route = Route::default();
    let _ = store.remove(Key::new(&route, None, gone.as_bytes()));
    advance(Duration::from_secs(61)).await;
    assert_eq!(call(&service, "b", &stays).await, 200);
    sleep(Duration::from_secs(1)).await;
    // The session of `gone` at `a` was the client's own, and is left to that gateway.
    assert_eq!((sessions.snapshot().len(), world.live()), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_opened_again_is_not_asked_for_the_events_of_another() {
    let (world, store) = (World::default(), MemoryStore::new());
    let (service, _) = stack(&world, &store);
    let id = open(&service).await;
    let listen = || with(request(Method::GET, "b", Some(&id)), "last-event-id");
    assert_eq!(send(&service, listen()).await, 200);
    world.0.lock().unwrap().live.clear();
    assert_eq!(send(&service, listen()).await, 200);
    let listened: Vec<_> = world.0.lock().unwrap().listened.drain(..).collect();
    let kept: Vec<_> = listened.iter().map(|seen| seen.contains_key("last-event-id")).collect();
    assert_eq!(kept, [true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_delete_ends_a_session_that_its_gateway_has_forgotten_however_it_says_so() {
    for says_400 in [false, true] {
        let (world, store) = (World::default(), MemoryStore::new());
        let (service, _) = stack(&world, &store);
        let id = open(&service).await;
        *world.0.lock().unwrap() = State { opened: 1, says_400, ..State::default() };
        assert_eq!(send(&service, request(Method::DELETE, "a", Some(&id))).await, 404);
        assert_eq!(store.len(), 0);
        // Any other request opens it again.
        let id = open(&service).await;
        *world.0.lock().unwrap() = State { opened: 2, says_400, ..State::default() };
        assert_eq!(call(&service, "a", &id).await, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_is_told_of_the_end_by_its_own_path_whichever_one_the_client_named() {
    for named in ["a", "b"] {
        let (world, store) = (World::default(), MemoryStore::new());
        let (service, _) = named_by(PathSegment::new(0), &world, &store);
        let to = |gateway: &str, mut request: Request<Full<Bytes>>| {
            *request.uri_mut() = format!("/{gateway}/mcp").parse().unwrap();
            // The session guard has no endpoints with these names.
            request.headers_mut().insert("accept", "text/event-stream".parse().unwrap());
            request
        };
        let opening = to("a", request(Method::POST, "a", None));
        let opened = service.clone().oneshot(opening).await.unwrap();
        let id = opened.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        for gateway in ["a", "b"] {
            let call = to(gateway, request(Method::POST, gateway, Some(&id)));
            assert_eq!(send(&service, call).await, 200);
        }
        let end = to(named, request(Method::DELETE, named, Some(&id)));
        assert_eq!(send(&service, end).await, 200);
        sleep(Duration::from_secs(1)).await;
        let mut deleted = world.0.lock().unwrap().deleted.clone();
        deleted.sort();
        let expected = [("http://a:1", "/a/mcp"), ("http://b:1", "/b/mcp")];
        let expected = expected.map(|(origin, path)| (origin.to_owned(), path.to_owned()));
        assert_eq!(deleted, expected, "{named}");
        assert_eq!((world.live(), store.len()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_timeout_bounds_the_end_of_sessions_and_keeps_the_handles_of_before() {
    for (timeout, expected) in [(None, 1_000), (Some(Duration::from_millis(100)), 100)] {
        let (world, store) = (World::default(), MemoryStore::new());
        let gateways = Gateways::new();
        let layer = SplitSessionLayer::new(
            store.clone(),
            HeaderField::new(HeaderName::from_static("x-gateway")),
            gateways.clone(),
        );
        let sessions = layer.sessions();
        let layer = match timeout {
            Some(timeout) => layer.close_timeout(timeout),
            None => layer,
        };
        for (name, origin) in [("a", "http://a:1"), ("b", "http://b:1")] {
            gateways.set(name, Gateway::new(origin.parse().unwrap()));
        }
        let upstream = {
            let world = world.clone();
            service_fn(move |request| world.clone().respond(request))
        };
        let guard = ValidateSessionLayer::mcp(MintIds::new(store));
        let service = guard.layer(layer.layer(upstream));
        let id = open(&service).await;
        // Both the opening and the end of the session at `b` are slow.
        let slow = with(request(Method::POST, "b", Some(&id)), "x-slow");
        assert_eq!(send(&service, slow).await, 200);
        let begun = Instant::now();
        assert_eq!(sessions.evict_gateway("b").await, 1);
        assert_eq!(begun.elapsed().as_millis(), expected);
    }
}
