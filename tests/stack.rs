//! Order and interaction of the layers, with a service that simulates the backends.
#![allow(clippy::unwrap_used, reason = "test support")]

use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
};

use bartizan::{
    ReverseProxyStack,
    core::{
        Backend, Dialect, GuardBody, Passage, Principal, Reason, Refusal, Session, UpstreamFailure,
        Work, failure::FailureKind,
    },
    memory::MemoryStore,
    pin::{Backends, OnLost, PinBackendLayer},
    session::ValidateSessionLayer,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, layer::layer_fn, service_fn, util::MapRequest};

const A: &str = "http://a:1";
const B: &str = "http://b:1";
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"i","method":"initialize","params":{}}"#;

#[derive(Clone, Debug, Default)]
struct World {
    /// The backends that can be reached.
    up: Arc<Mutex<Vec<&'static str>>>,
    /// Which backend got which method, in which kind of work.
    calls: Arc<Mutex<Vec<(String, Method, Work)>>>,
}

impl World {
    fn with(up: &[&'static str]) -> Self {
        Self { up: Arc::new(Mutex::new(up.to_vec())), calls: Arc::default() }
    }

    fn set_up(&self, up: &[&'static str]) {
        *self.up.lock().unwrap() = up.to_vec();
    }

    fn backends(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|(backend, ..)| backend.clone()).collect()
    }

    /// Opens a session named after the backend for each `initialize`.
    async fn respond<B: Body<Data = Bytes>>(
        self,
        request: Request<B>,
    ) -> Result<Response<GuardBody<Full<Bytes>>>, Infallible>
    where
        B::Error: std::fmt::Debug,
    {
        let passage = Passage::of(&request).cloned().unwrap();
        let backend = passage.backend().unwrap().id().to_string();
        let (head, body) = request.into_parts();
        self.calls.lock().unwrap().push((backend.clone(), head.method, passage.work()));
        if !self.up.lock().unwrap().contains(&backend.as_str()) {
            let reason = match passage.work() {
                Work::Pinned => Reason::BackendUnreachable,
                _ => Reason::ConnectFailed,
            };
            let mut response =
                Refusal::new(reason).respond(passage.dialect().unwrap_or(&Dialect::Problem));
            response.extensions_mut().insert(UpstreamFailure::new(FailureKind::Refused));
            return Ok(response);
        }
        let body = body.collect().await.unwrap().to_bytes();
        let mut response = Response::new(GuardBody::forwarded(Full::from("ok")));
        if body == INITIALIZE {
            let id = format!("session-{}", backend.replace(['/', ':'], ""));
            response.headers_mut().insert("mcp-session-id", id.parse().unwrap());
        }
        Ok(response)
    }
}

macro_rules! stack {
    ($world:expr, $backends:expr) => {
        stack!($world, $backends, OnLost::Fail)
    };
    ($world:expr, $backends:expr, $on_lost:expr) => {{
        let (world, store) = ($world.clone(), MemoryStore::new());
        let stack = ReverseProxyStack::mcp(store.clone(), $backends.clone())
            .pin(|layer| layer.on_lost($on_lost));
        (stack.layer(service_fn(move |request| world.clone().respond(request))), store)
    }};
}

fn post(session: Option<&str>, body: &'static str) -> Request<Full<Bytes>> {
    let mut request = Request::post("/mcp");
    if let Some(id) = session {
        request = request.header("mcp-session-id", id);
    }
    request.body(Full::from(body)).unwrap()
}

async fn send<S, R>(service: &S, request: Request<Full<Bytes>>) -> Response<R>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible> + Clone,
{
    service.clone().oneshot(request).await.unwrap()
}

fn backends() -> Backends {
    // These names do not resolve, so background checks find nothing.
    Backends::new([A, B].map(|origin| origin.parse().unwrap()))
        .connect_by(|_| ready(Err(FailureKind::ConnectionLimit)))
}

#[tokio::test]
async fn an_opening_that_is_refused_opens_elsewhere_and_the_session_stays_there() {
    let world = World::with(&[B]);
    let (service, store) = stack!(world, backends());
    for _ in 0..5 {
        let opened = send(&service, post(None, INITIALIZE)).await;
        assert_eq!(opened.headers()["mcp-session-id"], "session-httpb1");
    }
    assert_eq!(store.len(), 1, "the same id from the same backend is the same session");
    world.set_up(&[A, B]);
    world.calls.lock().unwrap().clear();
    for _ in 0..5 {
        assert_eq!(send(&service, post(Some("session-httpb1"), "{}")).await.status(), 200);
    }
    assert_eq!(world.backends(), vec![B; 5]);
}

#[tokio::test]
async fn a_refusal_touches_no_backend_and_is_the_only_one() {
    let world = World::with(&[A, B]);
    let (service, _) = stack!(world, backends());
    for (request, reason) in [
        (post(Some("unknown"), "{}"), Reason::UnknownSession),
        (post(Some("a b"), "{}"), Reason::MalformedSessionId),
        (post(None, "{}"), Reason::MalformedBody),
    ] {
        let response = send(&service, request).await;
        assert_eq!(Reason::of(&response), Some(reason));
    }
    assert!(world.backends().is_empty());
}

#[tokio::test]
async fn a_session_whose_backend_leaves_is_gone_from_the_store() {
    let world = World::with(&[A, B]);
    let set = backends();
    let (service, store) = stack!(world, set);
    send(&service, post(None, INITIALIZE)).await;
    let home = world.backends().remove(0);
    let id = format!("session-{}", home.replace(['/', ':'], ""));
    set.remove(&home.parse().unwrap());
    let response = send(&service, post(Some(&id), "{}")).await;
    assert_eq!(Reason::of(&response), Some(Reason::BackendLost));
    assert_eq!(store.len(), 0);
    let response = send(&service, post(Some(&id), "{}")).await;
    assert_eq!(Reason::of(&response), Some(Reason::UnknownSession));
}

#[tokio::test]
async fn delete_ends_a_session_whose_backend_is_unreachable() {
    let world = World::with(&[A, B]);
    let (service, store) = stack!(world, backends());
    send(&service, post(None, INITIALIZE)).await;
    let id = format!("session-{}", world.backends()[0].replace(['/', ':'], ""));
    world.set_up(&[]);
    assert_eq!(send(&service, post(Some(&id), "{}")).await.status(), 503);
    assert_eq!(store.len(), 1);
    let delete = Request::delete("/mcp").header("mcp-session-id", &id);
    let response = send(&service, delete.body(Full::default()).unwrap()).await;
    assert_eq!(response.status(), 204);
    assert_eq!(store.len(), 0);
}

#[tokio::test]
async fn a_session_that_moves_anew_is_bound_to_its_new_backend() {
    let world = World::with(&[A, B]);
    let set = backends();
    let (service, _) = stack!(world, set, OnLost::Repin);
    send(&service, post(None, INITIALIZE)).await;
    let home = world.backends().remove(0);
    let id = format!("session-{}", home.replace(['/', ':'], ""));
    set.remove(&home.parse().unwrap());
    assert_eq!(send(&service, post(Some(&id), "{}")).await.status(), 200);
    let moved = world.backends().pop().unwrap();
    assert_ne!(moved, home);
    // The session stays there when the old backend is back.
    set.add(home.parse().unwrap());
    world.calls.lock().unwrap().clear();
    for _ in 0..5 {
        send(&service, post(Some(&id), "{}")).await;
    }
    let calls = world.calls.lock().unwrap().clone();
    assert!(calls.iter().all(|(backend, _, work)| *backend == moved && *work == Work::Pinned));
}

#[tokio::test]
async fn a_layer_of_the_users_own_reads_what_the_others_have_learned() {
    let (store, seen) = (MemoryStore::new(), Arc::new(Mutex::new(Vec::new())));
    let journal = Arc::clone(&seen);
    let world = World::with(&[A]);
    let set = Backends::new([A.parse().unwrap()]);
    let upstream = {
        let world = world.clone();
        service_fn(move |request| world.clone().respond(request))
    };
    let pinned = PinBackendLayer::new(set).layer(upstream);
    // Between the two layers of the stack.
    let own = MapRequest::new(pinned, move |request: Request<_>| {
        let facts = (Principal::of(&request).is_some(), Session::of(&request).is_some());
        journal.lock().unwrap().push((facts, Backend::of(&request).is_some()));
        request
    });
    let service = ValidateSessionLayer::mcp(store).layer(own);
    let by_alice = |mut request| {
        Principal::new("issuer", "alice").attach(&mut request);
        request
    };
    send(&service, by_alice(post(None, INITIALIZE))).await;
    send(&service, by_alice(post(Some("session-httpa1"), "{}"))).await;
    assert_eq!(*seen.lock().unwrap(), [((true, false), false), ((true, true), false)]);
}

/// Authentication is where it can trust what it reads, and where a loop does not reach it.
#[tokio::test]
async fn authentication_is_below_the_guards_and_above_the_sessions() {
    let (world, store) = (World::with(&[A]), MemoryStore::new());
    let asked = Arc::<Mutex<Vec<Option<HeaderValue>>>>::default();
    let journal = Arc::clone(&asked);
    let auth = layer_fn(move |inner| {
        let journal = Arc::clone(&journal);
        MapRequest::new(inner, move |mut request: Request<Full<Bytes>>| {
            journal.lock().unwrap().push(request.headers().get("x-forwarded-for").cloned());
            let name =
                request.headers().get("x-user").map(|user| user.to_str().unwrap().to_owned());
            if let Some(name) = name {
                Principal::new("test", &name).attach(&mut request);
            }
            request
        })
    });
    let stack =
        ReverseProxyStack::mcp(store.clone(), Backends::new([A.parse().unwrap()])).auth(auth);
    let served = world.clone();
    let service = stack.layer(service_fn(move |request| served.clone().respond(request)));

    let with = |mut request: Request<Full<Bytes>>, name: &'static str, value: &'static str| {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        request
    };
    let alice = |session, body| with(post(session, body), "x-user", "alice");
    let spoofed = with(alice(None, INITIALIZE), "x-forwarded-for", "6.6.6.6");
    let opened = send(&service, spoofed).await;
    let id = opened.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    assert_eq!(asked.lock().unwrap().as_slice(), [None], "no peer, so no address");
    assert_eq!(send(&service, alice(Some(&id), "{}")).await.status(), 200);
    assert_eq!(send(&service, post(Some(&id), "{}")).await.status(), 404, "nobody's own");

    // A loop is refused before authentication and without a lookup in the store, in MCP's format.
    let before = asked.lock().unwrap().len();
    let round = send(&service, with(alice(Some(&id), "{}"), "x-hop-count", "10")).await;
    assert_eq!((round.status().as_u16(), Reason::of(&round)), (508, Some(Reason::LoopDetected)));
    assert_eq!(round.headers()["content-type"], "application/json");
    assert_eq!(asked.lock().unwrap().len(), before);
    assert_eq!(world.backends().len(), 2);
}
