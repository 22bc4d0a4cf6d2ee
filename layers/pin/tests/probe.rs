//! Probes: what they find, its effect, and when they end.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test")]

mod common;

use std::{
    collections::HashMap,
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use bartizan_core::{
    Backend, Dialect, GuardBody, Passage, Reason, Refusal, UpstreamFailure, Work,
    failure::FailureKind,
};
use bartizan_pin::{BackendState, Backends, DownCause, PinBackendLayer, Probe};
use bartizan_testkit::{BoxBody, serve, server::boxed};
use bartizan_upstream::Upstream;
use http::{Request, Response};
use http_body_util::Full;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tower::{Layer, ServiceExt, service_fn};

use common::*;

#[derive(Clone, Copy, Debug)]
enum Reply {
    Status(u16),
    Failure(FailureKind),
    Refusal,
    Hang,
}

/// The answers of backends to probes, and the probes they got.
#[derive(Clone, Default)]
struct Replies {
    replies: Arc<Mutex<HashMap<String, Reply>>>,
    probes: Arc<Mutex<Vec<(String, String)>>>,
}

impl Replies {
    fn set(&self, backend: &str, reply: Reply) {
        self.replies.lock().unwrap().insert(backend.to_owned(), reply);
    }

    fn count(&self) -> usize {
        self.probes.lock().unwrap().len()
    }

    async fn answer(
        self,
        request: Request<String>,
    ) -> Result<Response<GuardBody<Body>>, Infallible> {
        assert_eq!(Passage::of(&request).map(Passage::work), Some(Work::Free));
        let backend = Backend::of(&request).unwrap().id().to_string();
        let line = format!("{} {}", request.method(), request.uri());
        self.probes.lock().unwrap().push((backend.clone(), line));
        let reply = self.replies.lock().unwrap().get(&backend).copied();
        let mut response = Response::new(GuardBody::forwarded(Full::default()));
        match reply.unwrap_or(Reply::Status(200)) {
            Reply::Status(status) => *response.status_mut() = status.try_into().unwrap(),
            Reply::Failure(kind) => {
                response.extensions_mut().insert(UpstreamFailure::new(kind));
            }
            Reply::Refusal => {
                let refusal = Refusal::new(Reason::ProtectedField);
                return Ok(refusal.respond(&Dialect::JsonRpc(None)));
            }
            Reply::Hang => pending().await,
        }
        Ok(response)
    }

    fn probe(&self, backends: &Backends, probe: Probe) -> JoinHandle<()> {
        let this = self.clone();
        let service = service_fn(move |request| this.clone().answer(request));
        tokio::spawn(backends.clone().probe(probe, service))
    }
}

fn healthz() -> Probe {
    Probe::get("/healthz").unwrap()
}

fn states(backends: &Backends) -> Vec<(BackendState, Option<DownCause>)> {
    backends.snapshot().iter().map(|one| (one.state(), one.cause())).collect()
}

const READY: (BackendState, Option<DownCause>) = (BackendState::Ready, None);
const OUT: (BackendState, Option<DownCause>) = (BackendState::Down, Some(DownCause::Probe));

#[tokio::test(start_paused = true)]
async fn two_probes_in_a_row_that_fail_take_a_backend_out_and_one_puts_it_back() {
    for reply in [
        Reply::Status(500),
        Reply::Status(404),
        Reply::Hang,
        Reply::Failure(FailureKind::Terminated),
        Reply::Failure(FailureKind::ConnectTimeout),
    ] {
        let (set, replies) = (backends([A, B]), Replies::default());
        let _probing = replies.probe(&set, healthz());
        sleep(Duration::from_secs(12)).await;
        assert_eq!(states(&set), [READY, READY], "{reply:?}");
        replies.set(A, reply);
        let begun = Instant::now();
        while states(&set)[0] == READY {
            sleep(Duration::from_millis(10)).await;
        }
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(4_500), "{reply:?}: one is not enough");
        assert!(took <= Duration::from_secs(13), "{reply:?}: {took:?}");
        assert_eq!(states(&set), [OUT, READY], "{reply:?}");

        // New work goes elsewhere, pinned work is still tried.
        let world = World::default();
        let service = PinBackendLayer::new(set.clone()).layer(world.clone());
        for _ in 0..20 {
            send(&service, request("new")).await;
        }
        assert_eq!(world.backends_called(), vec![B; 20]);
        assert_eq!(send(&service, of_session(A)).await.status(), 200);
        assert_eq!(world.last().backend, A);
        assert_eq!(states(&set), [OUT, READY], "a response in a session is not a probe");

        replies.set(A, Reply::Status(304));
        sleep(Duration::from_secs(6)).await;
        assert_eq!(states(&set), [READY, READY], "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_asks_each_backend_for_the_path_at_every_interval() {
    let (set, replies) = (backends([A, B]), Replies::default());
    let _probing = replies.probe(&set, healthz().interval(Duration::from_secs(1)));
    sleep(Duration::from_millis(1)).await;
    let both = [A, B].map(|name| (name.to_owned(), "GET /healthz".to_owned()));
    assert_eq!(*replies.probes.lock().unwrap(), both, "at once");
    sleep(Duration::from_secs(100)).await;
    let each = replies.count() / 2;
    assert!((91..=112).contains(&each), "{each}");
    // A backend that is added later, and one that is removed.
    set.add(C.parse().unwrap());
    set.remove(&id(A));
    replies.probes.lock().unwrap().clear();
    sleep(Duration::from_secs(10)).await;
    let probes = replies.probes.lock().unwrap();
    assert!(probes.iter().any(|(name, _)| name == C));
    assert!(probes.iter().all(|(name, _)| name != A));
}

#[tokio::test(start_paused = true)]
async fn as_many_probes_count_as_were_asked_for() {
    let (set, replies) = (backends([A, B]), Replies::default());
    let probe = healthz().interval(Duration::from_secs(1)).down_after(4).up_after(3);
    let _probing = replies.probe(&set, probe);
    sleep(Duration::from_millis(10)).await;
    for (reply, before, after) in [(Reply::Status(503), 3_u32, OUT), (Reply::Status(200), 2, READY)]
    {
        replies.set(A, reply);
        let was = states(&set)[0];
        let seen = replies.count() / 2;
        while replies.count() / 2 - seen < usize::try_from(before).unwrap() {
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(states(&set)[0], was);
        sleep(Duration::from_millis(1_200)).await;
        assert_eq!(states(&set)[0], after);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_probe_is_a_refused_connection_and_a_hang_is_not() {
    let (set, replies) = (backends([A, B]), Replies::default());
    replies.set(A, Reply::Failure(FailureKind::Refused));
    replies.set(B, Reply::Hang);
    let probing = replies.probe(&set, healthz().interval(Duration::from_secs(1)));
    sleep(Duration::from_secs(10)).await;
    let [a, b] = [0, 1].map(|index| set.snapshot()[index].failures());
    assert!(a >= 8, "{a}");
    assert_eq!(b, 0);
    // Any response shows that the backend can be reached, but this one does not pass the probe.
    replies.set(A, Reply::Status(500));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(set.snapshot()[0].failures(), 0);
    assert_eq!(states(&set), [OUT, OUT]);
    // All backends are out of service, so one is tried.
    let service = PinBackendLayer::new(set.clone()).layer(World::default());
    assert_eq!(send(&service, request("new")).await.status(), 200);
    probing.abort();
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_the_service_refuses_says_nothing() {
    let (set, replies) = (backends([A]), Replies::default());
    replies.set(A, Reply::Refusal);
    let _probing = replies.probe(&set, healthz());
    sleep(Duration::from_secs(60)).await;
    assert_eq!(states(&set), [READY]);
}

#[tokio::test(start_paused = true)]
async fn probing_ends_with_the_set_and_dropped_it_leaves_no_backend_out() {
    let (set, replies) = (backends([A, B]), Replies::default());
    replies.set(A, Reply::Hang);
    let probing = replies.probe(&set, healthz());
    sleep(Duration::from_secs(20)).await;
    assert_eq!(states(&set), [OUT, READY]);
    probing.abort();
    let _ = probing.await;
    assert_eq!(states(&set), [READY, READY]);
    let probing = replies.probe(&set, healthz());
    sleep(Duration::from_secs(20)).await;
    drop(set);
    let begun = Instant::now();
    probing.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8));
}

/// Over real servers: one that answers, one that accepts and is silent, one that fails.
#[tokio::test]
async fn upstream_carries_probes() {
    let well = serve(async |request: Request<_>| {
        let is_probe = request.uri().path() == "/healthz" && request.headers().contains_key("host");
        let mut response = Response::new(boxed(Body::default()));
        *response.status_mut() = if is_probe { 204 } else { 500 }.try_into().unwrap();
        response
    });
    let failing = serve(async |_| {
        let mut response = Response::new(boxed(Body::default()));
        *response.status_mut() = 503.try_into().unwrap();
        response
    });
    let silent = serve(async |_| pending::<Response<BoxBody>>().await);
    let (well, failing, silent) = (well.await, failing.await, silent.await);
    let set =
        Backends::new([well.uri(), failing.uri(), silent.uri()].map(|uri| uri.parse().unwrap()));
    let times = healthz().interval(Duration::from_millis(100)).timeout(Duration::from_millis(50));
    let probing = tokio::spawn(set.clone().probe(times, Upstream::builder().build()));
    let begun = Instant::now();
    while states(&set) != [READY, OUT, OUT] {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", states(&set));
        sleep(Duration::from_millis(20)).await;
    }
    let service = PinBackendLayer::new(set.clone()).layer(Upstream::builder().build());
    for _ in 0..10 {
        let request = Request::get("/healthz").body(Body::default()).unwrap();
        assert_eq!(service.clone().oneshot(request).await.unwrap().status(), 204);
    }
    probing.abort();
}
