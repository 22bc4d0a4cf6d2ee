//! A DELETE and a resume at the same time, and many of both: over the layers, with backends that take their
//! time.

use std::{
    collections::HashSet,
    convert::Infallible,
    future::ready,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bartizan::{
    core::{Backend, Dialect, GuardBody, Reason, Refusal, UpstreamFailure, failure::FailureKind},
    memory::MemoryStore,
    pin::{Backends, PinBackendLayer},
    resume::{ResumeCounts, ResumeSessionLayer},
    session::{MintIds, ValidateSessionLayer},
};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::{Layer, Service, ServiceExt, service_fn};

const NAMES: [&str; 3] = ["http://a:1", "http://b:1", "http://c:1"];
const RESULT: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s","version":"0"}}}"#;

/// Backends that lose sessions on demand.
#[derive(Clone, Debug, Default)]
struct World {
    state: Arc<Mutex<State>>,
    chance: Arc<AtomicU64>,
    is_slow: bool,
    /// How many of ten times a session is refused.
    refuses: u64,
}

#[derive(Debug, Default)]
struct State {
    down: HashSet<String>,
    live: HashSet<(String, String)>,
    opened: u64,
}

impl World {
    fn draw(&self) -> u64 {
        let step = |state: u64| {
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
        };
        let last =
            self.chance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |s| Some(step(s)));
        step(last.unwrap()) >> 33
    }

    async fn respond<B>(
        self,
        request: Request<B>,
    ) -> Result<Response<GuardBody<Full<Bytes>>>, Infallible>
    where
        B: Body<Data = Bytes>,
        B::Error: std::fmt::Debug,
    {
        let backend = Backend::of(&request).unwrap().id().to_string();
        let id = request.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        let method = request.method().clone();
        if self.is_slow {
            sleep(Duration::from_millis(self.draw() % 5)).await;
        }
        if self.state.lock().unwrap().down.contains(&backend) {
            let mut response =
                Refusal::new(Reason::BackendUnreachable).respond(&Dialect::JsonRpc(None));
            response.extensions_mut().insert(UpstreamFailure::new(FailureKind::Refused));
            return Ok(response);
        }
        let body = request.into_body().collect().await.unwrap().to_bytes();
        if self.is_slow {
            sleep(Duration::from_millis(self.draw() % 5)).await;
        }
        let response = self.answer(&backend, id, &method, &body);
        if self.is_slow {
            sleep(Duration::from_millis(self.draw() % 5)).await;
        }
        Ok(response)
    }

    fn answer(
        &self,
        backend: &str,
        id: Option<String>,
        method: &Method,
        body: &[u8],
    ) -> Response<GuardBody<Full<Bytes>>> {
        let mut state = self.state.lock().unwrap();
        let mut response = Response::new(GuardBody::forwarded(Full::from("{}")));
        let Some(id) = id else {
            if self.draw() % 10 < self.refuses {
                *response.status_mut() = http::StatusCode::BAD_REQUEST;
                return response;
            }
            state.opened += 1;
            let id = format!("{}-{}", &backend[7..8], state.opened);
            response.headers_mut().insert("mcp-session-id", id.parse().unwrap());
            state.live.insert((backend.to_owned(), id));
            *response.body_mut() = GuardBody::forwarded(Full::from(RESULT));
            assert!(String::from_utf8_lossy(body).contains("\"initialize\""));
            return response;
        };
        let session = (backend.to_owned(), id.clone());
        if !state.live.contains(&session) {
            *response.status_mut() = http::StatusCode::NOT_FOUND;
        } else if *method == Method::DELETE {
            state.live.remove(&session);
        } else {
            response.headers_mut().insert("mcp-session-id", id.parse().unwrap());
        }
        response
    }

    /// Kills the backends that hold a session.
    fn kill_homes(&self) {
        let mut state = self.state.lock().unwrap();
        let homes: Vec<_> = state.live.drain().map(|(backend, _)| backend).collect();
        state.down = homes.into_iter().collect();
    }

    fn live(&self) -> usize {
        self.state.lock().unwrap().live.len()
    }
}

fn stack(
    world: &World,
    memory: &MemoryStore,
) -> (
    impl Service<
        Request<Full<Bytes>>,
        Response = Response<impl Body<Data = Bytes, Error: std::fmt::Debug> + Send>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + std::fmt::Debug
    + Send
    + 'static,
    ResumeCounts,
) {
    let store = MintIds::new(memory.clone());
    // These names do not resolve, so background checks find nothing.
    let backends = Backends::new(NAMES.map(|name| name.parse().unwrap()))
        .connect_by(|_| ready(Err(FailureKind::ConnectionLimit)));
    let world = world.clone();
    let upstream = service_fn(move |request| world.clone().respond(request));
    let resume = ResumeSessionLayer::new(store.clone());
    let counts = resume.counts();
    let inner = resume.layer(PinBackendLayer::new(backends).layer(upstream));
    (ValidateSessionLayer::mcp(store).layer(inner), counts)
}

fn request(method: Method, session: Option<&str>, body: &'static str) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri("/mcp");
    if let Some(id) = session {
        request = request.header("mcp-session-id", id);
    }
    request.body(Full::from(body)).unwrap()
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#;

async fn send<S, R>(service: &S, request: Request<Full<Bytes>>) -> (u16, Option<String>)
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible> + Clone,
    R: Body<Error: std::fmt::Debug>,
{
    let (head, body) = service.clone().oneshot(request).await.unwrap().into_parts();
    body.collect().await.unwrap();
    let id = head.headers.get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
    (head.status.as_u16(), id)
}

async fn open<S, R>(service: &S) -> String
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible> + Clone,
    R: Body<Error: std::fmt::Debug>,
{
    let (status, id) =
        send(service, request(Method::POST, None, bartizan_testkit::client::INITIALIZE)).await;
    assert_eq!(status, 200);
    id.unwrap()
}

#[tokio::test(start_paused = true)]
async fn nothing_lives_after_a_delete_that_raced_a_resume() {
    for replicas in 1..=2 {
        let world = World { is_slow: true, ..World::default() };
        let store = MemoryStore::new();
        let (services, counts): (Vec<_>, Vec<_>) =
            (0..replicas).map(|_| stack(&world, &store)).unzip();
        let any = || services[world.draw() as usize % replicas].clone();
        let mut ends = [0; 2];
        for _ in 0..1_000 {
            world.state.lock().unwrap().down.clear();
            let id = open(&any()).await;
            world.kill_homes();
            let mut calls = JoinSet::new();
            for _ in 0..3 {
                let (service, id, wait) = (any(), id.clone(), world.draw() % 20);
                calls.spawn(async move {
                    sleep(Duration::from_millis(wait)).await;
                    let call = request(Method::POST, Some(&id), CALL);
                    let (status, shown) = send(&service, call).await;
                    assert!([200, 404].contains(&status), "{status}");
                    assert!(shown.is_none_or(|shown| shown == id));
                });
            }
            sleep(Duration::from_millis(world.draw() % 20)).await;
            let (status, _) = send(&any(), request(Method::DELETE, Some(&id), "")).await;
            // 404 if the backend has been unreachable for too long for this replica: the session has also ended.
            assert!((200..300).contains(&status) || status == 404, "{status}");
            // From here on, and for requests that were in flight.
            let (after, _) = send(&any(), request(Method::POST, Some(&id), CALL)).await;
            assert_eq!((after, store.len()), (404, 0));
            calls.join_all().await;
            assert_eq!(store.len(), 0);
            // What was opened and not used is ended.
            sleep(Duration::from_secs(1)).await;
            assert_eq!(world.live(), 0);
            ends[usize::from(status == 204)] += 1;
        }
        let resumed: u64 = counts.iter().map(ResumeCounts::resumed).sum();
        println!(
            "{replicas}: DELETE came after {} and before {}, {resumed} resumed",
            ends[0], ends[1]
        );
        assert!(ends.iter().all(|count| *count > 50), "both orders were met: {ends:?}");
    }
}

/// Requests that meet the same loss all continue with one session, or none does.
#[tokio::test(start_paused = true)]
async fn whoever_gives_up_and_whoever_goes_on_are_of_one_mind() {
    for replicas in 1..=2 {
        let world = World { is_slow: true, refuses: 6, ..World::default() };
        let store = MemoryStore::new();
        let (services, _): (Vec<_>, Vec<_>) = (0..replicas).map(|_| stack(&world, &store)).unzip();
        let any = || services[world.draw() as usize % replicas].clone();
        let mut ends = [0; 2];
        for _ in 0..500 {
            world.state.lock().unwrap().down.clear();
            let id = loop {
                let opening = request(Method::POST, None, bartizan_testkit::client::INITIALIZE);
                if let (200, Some(id)) = send(&any(), opening).await {
                    break id;
                }
            };
            world.kill_homes();
            let mut calls = JoinSet::new();
            for _ in 0..6 {
                let (service, id, wait) = (any(), id.clone(), world.draw() % 60);
                calls.spawn(async move {
                    sleep(Duration::from_millis(wait)).await;
                    send(&service, request(Method::POST, Some(&id), CALL)).await.0
                });
            }
            let statuses = calls.join_all().await;
            sleep(Duration::from_secs(1)).await;
            let lives = statuses.contains(&200);
            let expected = if lives { 200 } else { 404 };
            assert!(statuses.iter().all(|status| *status == expected), "{statuses:?}");
            assert_eq!(
                (world.live(), store.len()),
                (usize::from(lives), usize::from(lives)),
                "{statuses:?}"
            );
            if lives {
                let delete = request(Method::DELETE, Some(&id), "");
                assert_eq!(send(&any(), delete).await.0, 200);
            }
            ends[usize::from(lives)] += 1;
        }
        println!("{replicas}: {} given up, {} resumed", ends[0], ends[1]);
        assert!(ends.iter().all(|count| *count > 50), "both were met: {ends:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn clients_that_leave_at_any_point_leave_one_session_and_nothing_under_way() {
    let world = World { is_slow: true, ..World::default() };
    let store = MemoryStore::new();
    let (service, counts) = stack(&world, &store);
    for round in 1..=500 {
        let id = open(&service).await;
        world.kill_homes();
        let mut calls = JoinSet::new();
        for n in 0..10 {
            let (service, id) = (service.clone(), id.clone());
            let (wait, patience) = (world.draw() % 5, world.draw() % 40);
            calls.spawn(async move {
                sleep(Duration::from_millis(wait)).await;
                let call = send(&service, request(Method::POST, Some(&id), CALL));
                // The first one most often leads.
                let patience = if n == 9 { 10_000 } else { patience };
                timeout(Duration::from_millis(patience), call).await.ok()
            });
        }
        let answers = calls.join_all().await;
        assert!(answers.iter().flatten().all(|(status, _)| *status == 200), "{answers:?}");
        assert!(answers.iter().any(Option::is_some), "one of them waits for it");
        sleep(Duration::from_secs(1)).await;
        assert_eq!((world.live(), store.len(), counts.resumed()), (1, 1, round));
        assert!(format!("{service:?}").contains("under_way: 0"));
        assert_eq!(send(&service, request(Method::DELETE, Some(&id), "")).await.0, 200);
        assert_eq!((world.live(), store.len()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_loss_that_is_met_late_opens_nothing_more() {
    let world = World { is_slow: true, ..World::default() };
    let store = MemoryStore::new();
    let (service, counts) = stack(&world, &store);
    for round in 1..=100 {
        let id = open(&service).await;
        world.kill_homes();
        let mut calls = JoinSet::new();
        for _ in 0..20 {
            let (service, id, wait) = (service.clone(), id.clone(), world.draw() % 20);
            calls.spawn(async move {
                sleep(Duration::from_millis(wait)).await;
                send(&service, request(Method::POST, Some(&id), CALL)).await.0
            });
        }
        assert!(calls.join_all().await.into_iter().all(|status| status == 200));
        assert_eq!((world.state.lock().unwrap().opened, counts.resumed()), (2 * round, round));
        assert_eq!(send(&service, request(Method::DELETE, Some(&id), "")).await.0, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn cycles_and_resumes_leave_nothing_behind() {
    let world = World::default();
    let store = MemoryStore::new();
    let (service, counts) = stack(&world, &store);
    for cycle in 0..100_000 {
        if cycle == 20_000 {
            println!("{} KiB resident after 20,000 cycles", resident_kib());
        }
        let id = open(&service).await;
        assert_eq!(send(&service, request(Method::POST, Some(&id), CALL)).await.0, 200);
        assert_eq!(send(&service, request(Method::DELETE, Some(&id), "")).await.0, 200);
    }
    assert_eq!((store.len(), world.live(), counts.resumed()), (0, 0, 0));
    let id = open(&service).await;
    println!("{} KiB resident after 100,000", resident_kib());
    for _ in 0..10_000 {
        world.kill_homes();
        assert_eq!(
            send(&service, request(Method::POST, Some(&id), CALL)).await,
            (200, Some(id.clone()))
        );
    }
    assert_eq!((store.len(), world.live(), counts.resumed()), (1, 1, 10_000));
    assert!(format!("{service:?}").contains("under_way: 0"));
    println!("{} KiB resident after 10,000 resumes", resident_kib());
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or_default()
}
