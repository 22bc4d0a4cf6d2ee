//! One client session, several gateways, and two replicas that share a store.
#![allow(clippy::unwrap_used, reason = "test support")]

mod common;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    convert::Infallible,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use bartizan_core::{
    Answer, Backend, Dialect, GuardBody, Key, Reason, Refusal, Route, SessionStore,
    UpstreamFailure, failure::FailureKind,
};
use bartizan_resume::split::{
    Gateway, Gateways, HeaderField, SplitSession, SplitSessionLayer, SplitSessions,
};
use bartizan_session::{MintIds, ValidateSession, ValidateSessionLayer};
use bytes::Bytes;
use common::Flaky;
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::time::{advance, sleep};
use tower::{Layer, Service, ServiceExt};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#;
const RESULT: &str =
    r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{}}}"#;
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Gateways that count the calls of each session, and take a millisecond for a request.
#[derive(Clone, Debug, Default)]
struct World(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    opened: u32,
    /// The sessions, by gateway and id, and how many calls each has had.
    live: BTreeMap<(String, String), u32>,
    down: HashSet<String>,
    /// The gateway that opens no sessions.
    shut: HashSet<String>,
    /// The gateway that refuses to end a session.
    keeps: HashSet<String>,
    deletes: u32,
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
        let gateway = Backend::of(&request).unwrap().authority().host().to_owned();
        sleep(Duration::from_millis(1)).await;
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut state = self.0.lock().unwrap();
        if state.down.contains(&gateway) {
            let refusal = Refusal::new(Reason::BackendUnreachable);
            let mut response = refusal.respond(&Dialect::JsonRpc(None));
            response.extensions_mut().insert(UpstreamFailure::new(FailureKind::Refused));
            return Ok(response);
        }
        let id = head.headers.get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        let mut response = Response::new(GuardBody::forwarded(Full::from(RESULT)));
        let Some(id) = id else {
            if state.shut.contains(&gateway) {
                *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
                return Ok(response);
            }
            state.opened += 1;
            let id = format!("theirs-{}", state.opened);
            response.headers_mut().insert("mcp-session-id", id.parse().unwrap());
            state.live.insert((gateway, id), 0);
            return Ok(response);
        };
        let keeps = state.keeps.contains(&gateway);
        let session = (gateway, id);
        if !state.live.contains_key(&session) {
            *response.status_mut() = http::StatusCode::NOT_FOUND;
        } else if head.method == Method::DELETE && keeps {
            *response.status_mut() = http::StatusCode::METHOD_NOT_ALLOWED;
        } else if head.method == Method::DELETE {
            state.deletes += 1;
            state.live.remove(&session);
        } else if body == CALL {
            let count = state.live.entry(session).or_default();
            *count += 1;
            response.headers_mut().insert("x-count", (*count).into());
        }
        Ok(response)
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// How many sessions are open at each gateway.
    fn live(&self) -> HashMap<String, usize> {
        let mut live = HashMap::new();
        self.with(|state| {
            for (gateway, _) in state.live.keys() {
                *live.entry(gateway.clone()).or_default() += 1;
            }
        });
        live
    }
}

/// The world as the innermost service.
impl<B> Service<Request<B>> for World
where
    B: Body<Data = Bytes, Error: std::fmt::Debug> + Send + 'static,
{
    type Response = Response<GuardBody<Full<Bytes>>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(self.clone().respond(request))
    }
}

type Guarded = ValidateSession<SplitSession<World, HeaderField, Flaky>, MintIds<Flaky>>;

/// A process with the stack.
#[derive(Clone)]
struct Replica {
    service: Guarded,
    gateways: Gateways,
    sessions: SplitSessions,
}

impl Replica {
    fn of(world: &World, store: &Flaky) -> Self {
        let gateways = Gateways::new();
        for name in NAMES {
            gateways.set(name, gateway(name));
        }
        let name = HeaderField::new(HeaderName::from_static("x-gateway"));
        let split = SplitSessionLayer::new(store.clone(), name, gateways.clone());
        let sessions = split.sessions();
        let guard = ValidateSessionLayer::mcp(MintIds::new(store.clone()));
        let guard = guard.idle(Duration::from_secs(600));
        Self { service: guard.layer(split.layer(world.clone())), gateways, sessions }
    }

    async fn send(&self, method: Method, gateway: &str, id: Option<&str>) -> Response<()> {
        let mut request =
            Request::builder().method(method).uri("/mcp").header("x-gateway", gateway);
        if let Some(id) = id {
            request = request.header("mcp-session-id", id);
        }
        let body = Full::from(if id.is_none() { INITIALIZE } else { CALL });
        let response = self.service.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        response.map(drop)
    }

    /// Opens a session at `a`.
    async fn open(&self) -> String {
        let response = self.send(Method::POST, "a", None).await;
        response.headers()["mcp-session-id"].to_str().unwrap().to_owned()
    }

    /// The count that a call returned, or the status of its refusal.
    async fn call(&self, gateway: &str, id: &str) -> Result<u32, u16> {
        let response = self.send(Method::POST, gateway, Some(id)).await;
        let count = response.headers().get("x-count");
        count
            .and_then(|count| count.to_str().unwrap().parse().ok())
            .ok_or(response.status().as_u16())
    }

    async fn delete(&self, id: &str) -> u16 {
        self.send(Method::DELETE, "a", Some(id)).await.status().as_u16()
    }
}

fn gateway(name: &str) -> Gateway {
    Gateway::new(format!("http://{name}:1").parse().unwrap())
}

fn two() -> (World, Flaky, Replica, Replica) {
    let (world, store) = (World::default(), Flaky::default());
    let (one, other) = (Replica::of(&world, &store), Replica::of(&world, &store));
    (world, store, one, other)
}

async fn a_moment() {
    sleep(Duration::from_millis(100)).await;
}

#[tokio::test(start_paused = true)]
async fn two_replicas_in_turn_have_one_session_at_each_gateway() {
    let (world, _, one, other) = two();
    let id = one.open().await;
    for n in 1..=100 {
        let replica = if n % 2 == 0 { &one } else { &other };
        for name in NAMES {
            assert_eq!(replica.call(name, &id).await, Ok(n), "{name}");
        }
    }
    assert_eq!(world.with(|state| (state.opened, state.live.len())), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn of_two_replicas_that_open_at_the_same_time_one_wins_a_thousand_times() {
    let (world, store, one, other) = two();
    let mut raced = 0;
    for _ in 0..1_000 {
        let id = one.open().await;
        let before = world.with(|state| state.opened);
        // All three at once, from both replicas: the record changes during each of them.
        let calls = NAMES[1..].iter().flat_map(|name| [(&one, name), (&other, name)]);
        let calls = calls.map(|(replica, name)| replica.call(name, &id));
        let counts = futures_util::future::join_all(calls).await;
        let expected: HashSet<_> = [Ok(1), Ok(2)].into();
        for pair in counts.chunks(2) {
            assert_eq!(pair.iter().copied().collect::<HashSet<_>>(), expected, "{counts:?}");
        }
        raced += world.with(|state| state.opened) - before - 3;
        a_moment().await;
        let expected: HashMap<_, _> = NAMES.map(|name| (name.to_owned(), 1)).into();
        assert_eq!(world.live(), expected, "the loser ends what it opened");
        assert_eq!(one.delete(&id).await, 200);
        a_moment().await;
        assert_eq!((world.live().len(), store.inner.len()), (0, 0));
    }
    assert_eq!(raced, 3_000, "each time both had opened one");
}

#[tokio::test(start_paused = true)]
async fn the_loss_of_one_is_the_loss_of_no_other_and_is_made_good_once() {
    let (world, _, one, other) = two();
    let id = one.open().await;
    for replica in [&one, &other] {
        for name in NAMES {
            replica.call(name, &id).await.unwrap();
        }
    }
    // `a` is where the client opened its own.
    for (name, n) in [("b", 3), ("a", 4)] {
        world.with(|state| state.live.retain(|(gateway, _), _| gateway != name));
        let (first, second) = tokio::join!(one.call(name, &id), other.call(name, &id));
        assert_eq!(HashSet::from([first, second]), HashSet::from([Ok(1), Ok(2)]), "{name}");
        a_moment().await;
        assert_eq!(world.live()[name], 1);
        for untouched in ["c", "d"] {
            assert_eq!(one.call(untouched, &id).await, Ok(n), "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_one_that_cannot_be_opened_again_is_struck_off_the_list_and_no_other() {
    let (world, store, one, other) = two();
    let id = one.open().await;
    for name in NAMES {
        one.call(name, &id).await.unwrap();
    }
    let list = || {
        let route = Route::default();
        let key = Key::new(&route, None, id.as_bytes());
        let Answer::Now(Ok(Some(session))) = store.get(key) else { panic!("it is there") };
        session.record().field("split").unwrap().len()
    };
    let before = list();
    world.with(|state| {
        state.live.retain(|(gateway, _), _| gateway != "b");
        state.shut.insert("b".to_owned());
    });
    assert_eq!(other.call("b", &id).await, Err(503));
    assert!(list() < before && list() > before / 2, "{} of {before}", list());
    assert_eq!((one.call("b", &id).await, one.call("c", &id).await), (Err(503), Ok(2)));
    world.with(|state| state.shut.clear());
    assert_eq!((one.call("b", &id).await, other.call("b", &id).await), (Ok(1), Ok(2)));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_only_away_stays_listed() {
    let (world, _, one, other) = two();
    let id = one.open().await;
    assert_eq!(one.call("b", &id).await, Ok(1));
    world.with(|state| state.down.insert("b".to_owned()));
    for _ in 0..5 {
        assert_eq!((one.call("b", &id).await, other.call("b", &id).await), (Err(503), Err(503)));
        advance(Duration::from_secs(6)).await;
    }
    world.with(|state| state.down.clear());
    assert_eq!((other.call("b", &id).await, one.call("b", &id).await), (Ok(2), Ok(3)));
}

#[tokio::test(start_paused = true)]
async fn a_delete_at_any_replica_ends_all_of_them_whoever_opened_them() {
    let (world, store, one, other) = two();
    let id = one.open().await;
    for name in ["b", "c"] {
        one.call(name, &id).await.unwrap();
    }
    other.call("d", &id).await.unwrap();
    let third = Replica::of(&world, &store);
    // Its own gateway keeps it, so nothing has ended.
    world.with(|state| state.keeps.insert("a".to_owned()));
    assert_eq!(third.delete(&id).await, 405);
    a_moment().await;
    assert_eq!((world.live().len(), one.call("b", &id).await), (4, Ok(2)));
    world.with(|state| state.keeps.clear());
    assert_eq!(third.delete(&id).await, 200);
    a_moment().await;
    assert_eq!((world.live().len(), store.inner.len()), (0, 0));
    assert_eq!(world.with(|state| state.deletes), 4, "each once");
    assert_eq!(one.call("b", &id).await, Err(404));
}

#[tokio::test(start_paused = true)]
async fn a_delete_and_an_opening_elsewhere_leave_nothing_behind() {
    for wait_us in (0..6_000).step_by(250) {
        let (world, store, one, other) = two();
        let id = one.open().await;
        let delete = async {
            sleep(Duration::from_micros(wait_us)).await;
            one.delete(&id).await
        };
        let (called, deleted) = tokio::join!(other.call("b", &id), delete);
        assert!(matches!(called, Ok(1) | Err(404)), "{wait_us}: {called:?}");
        assert_eq!(deleted, 200);
        a_moment().await;
        assert_eq!((world.live(), store.inner.len()), (HashMap::new(), 0), "{wait_us}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_expires_is_ended_and_what_another_replica_uses_is_not() {
    let (world, store, one, other) = two();
    let id = one.open().await;
    assert_eq!((one.call("b", &id).await, other.call("b", &id).await), (Ok(1), Ok(2)));
    // The idle time is ten minutes; for fifteen minutes the session is used at only one replica.
    for n in 3..=17 {
        advance(Duration::from_secs(60)).await;
        assert_eq!(other.call("b", &id).await, Ok(n));
        one.send(Method::POST, "c", Some("unknown")).await;
        let probe = one.open().await;
        one.call("a", &probe).await.unwrap();
        a_moment().await;
        assert_eq!(one.delete(&probe).await, 200);
    }
    assert_eq!((one.call("b", &id).await, other.call("b", &id).await), (Ok(18), Ok(19)));
    // The session is no longer used and expires; both replicas find out with their next sweep.
    advance(Duration::from_secs(700)).await;
    for replica in [&one, &other] {
        let probe = replica.open().await;
        replica.call("c", &probe).await.unwrap();
        a_moment().await;
        assert_eq!(replica.delete(&probe).await, 200);
    }
    a_moment().await;
    assert!(!world.live().contains_key("b"), "{:?}", world.live());
    assert!(one.sessions.snapshot().is_empty() && other.sessions.snapshot().is_empty());
    assert_eq!(store.inner.sweep() + store.inner.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_store_did_not_take_is_ended_and_the_client_told() {
    let (world, store, one, other) = two();
    let id = one.open().await;
    store.cannot_replace.store(true, Ordering::Relaxed);
    assert_eq!(one.call("b", &id).await, Err(503));
    a_moment().await;
    assert!(!world.live().contains_key("b"));
    // It has ended at its own gateway, and the DELETE can be repeated.
    assert_eq!(one.delete(&id).await, 503);
    store.cannot_replace.store(false, Ordering::Relaxed);
    assert_eq!(other.delete(&id).await, 404);
    assert_eq!(store.inner.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn replicas_that_reach_a_gateway_in_two_ways_take_nothing_from_each_other() {
    let (world, _, one, other) = two();
    let id = one.open().await;
    assert_eq!((one.call("b", &id).await, other.call("b", &id).await), (Ok(1), Ok(2)));
    let secret = HeaderValue::from_static("Bearer secret");
    one.gateways.set("b", gateway("b").credentials(secret.clone()));
    a_moment().await;
    for n in 1..=5 {
        assert_eq!((one.call("b", &id).await, other.call("b", &id).await), (Ok(n), Ok(n)));
    }
    other.gateways.set("b", gateway("b").credentials(secret));
    a_moment().await;
    assert_eq!((other.call("b", &id).await, one.call("b", &id).await), (Ok(6), Ok(7)));
    assert_eq!(world.live()["b"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_list_is_bounded_and_what_is_listed_goes_on() {
    let (_, _, one, other) = two();
    for n in 0..70 {
        for replica in [&one, &other] {
            replica.gateways.set(&n.to_string(), gateway(&format!("g{n}")));
        }
    }
    let id = one.open().await;
    for n in 0..70 {
        let expected = if n < 64 { Ok(1) } else { Err(503) };
        assert_eq!(one.call(&n.to_string(), &id).await, expected, "{n}");
    }
    assert_eq!((other.call("63", &id).await, other.call("a", &id).await), (Ok(2), Ok(1)));
}
