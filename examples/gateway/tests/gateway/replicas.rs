//! Two gateways over one Redis: either of them serves any session, whatever fails.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bartizan_testkit::{CounterServer, RedisServer, client::Raw, eventually, process::Process};
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep};

use crate::fixtures::{Gateway, PATIENCE};

/// A replica in front of `servers`, with its sessions in `redis`.
async fn replica(redis: &RedisServer, servers: &[CounterServer]) -> Gateway {
    let origins: Vec<_> = servers.iter().map(CounterServer::uri).collect();
    let store = format!("--store={}", redis.url());
    let gateway = Gateway::with_admin(&origins, &[&store]).await;
    ready(&gateway).await;
    gateway
}

async fn ready(gateway: &Gateway) {
    let raw = Raw::new(&gateway.admin_uri());
    eventually("the replica is ready", PATIENCE, || status(&raw, "/readyz", 200)).await;
}

async fn status(raw: &Raw, path: &str, expected: u16) -> bool {
    let request = http::Request::get(raw.endpoint().replace("/mcp", path));
    let answer = raw.try_send(request.body(Default::default()).unwrap()).await;
    answer.is_ok_and(|answer| answer.status == expected)
}

/// Generates pseudo-random numbers, the same in each run.
fn draw(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_sessions_of_one_replica_are_served_by_any() {
    let redis = RedisServer::start().await;
    let servers = CounterServer::start_many(3).await;
    let replicas = [replica(&redis, &servers).await, replica(&redis, &servers).await];
    let clients = [0, 1].map(|at: usize| Raw::new(&replicas[at].uri()));
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(clients[0].initialize().await);
    }
    let stream = clients[0].get_stream(&ids[7]).await.unwrap();
    assert_eq!(stream.status(), 200);

    let mut counts: HashMap<&str, i64> = HashMap::new();
    let mut chance = 1;
    for _ in 0..1_000 {
        // Not in the order in which they were opened, because that could hide that a replica ignores the store.
        let id = &ids[draw(&mut chance) % ids.len()];
        let answer = clients[draw(&mut chance) % 2].increment(id).await;
        let expected = counts.entry(id).or_default();
        *expected += 1;
        assert_eq!(answer.count(), Some(*expected), "{answer:?}");
    }
    assert!(servers.iter().all(|server| server.initializes() > 10), "balanced");
    for server in &servers {
        assert!(server.initializes() < 60, "balanced");
    }

    // A session that ends on one replica has also ended on the other.
    assert!(clients[0].delete(Some(&ids[3])).await.status.is_success());
    let over = async || clients[1].increment(&ids[3]).await.status == 404;
    eventually("the end is known to the other replica", Duration::from_secs(2), over).await;
    // The stream is still open.
    assert!(tokio::time::timeout(Duration::from_millis(200), ended(stream)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_one_replica_ends_when_its_session_is_deleted_by_another() {
    let redis = RedisServer::start().await;
    let servers = CounterServer::start_many(2).await;
    let replicas = [replica(&redis, &servers).await, replica(&redis, &servers).await];
    let clients = [0, 1].map(|at: usize| Raw::new(&replicas[at].uri()));
    let kept = clients[0].initialize().await;
    let mut kept = tokio::spawn(ended(clients[0].get_stream(&kept).await.unwrap()));
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let id = clients[0].initialize().await;
        let stream = tokio::spawn(ended(clients[0].get_stream(&id).await.unwrap()));
        // The other replica uses it as well, and the first one learns of that.
        assert_eq!(clients[1].increment(&id).await.count(), Some(1));
        assert!(!stream.is_finished());
        let deleted = Instant::now();
        assert!(clients[1].delete(Some(&id)).await.status.is_success());
        tokio::time::timeout(Duration::from_secs(1), stream).await.unwrap().unwrap();
        slowest = slowest.max(deleted.elapsed());
    }
    println!("stream ended by a DELETE at another replica: slowest of 20 {slowest:?}");
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut kept).await.is_err());
    // It breaks off when the test ends.
    kept.abort();
}

async fn ended(response: http::Response<hyper::body::Incoming>) {
    let mut body = response.into_body();
    // The stream ends properly, instead of breaking off.
    while let Some(frame) = body.frame().await {
        frame.unwrap();
    }
}

/// Sessions that are called continuously, through whichever replicas are up.
struct Load {
    replicas: Arc<Mutex<Vec<Raw>>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Vec<Failure>>>,
    calls: Arc<AtomicUsize>,
}

/// A call that got the wrong answer.
#[derive(Debug)]
struct Failure {
    at: Instant,
    took: Duration,
    /// `None` if there was no answer.
    status: Option<u16>,
}

impl Load {
    async fn start(replicas: &[&Gateway], sessions: usize) -> Self {
        let clients: Vec<_> = replicas.iter().map(|replica| Raw::new(&replica.uri())).collect();
        let replicas = Arc::new(Mutex::new(clients.clone()));
        let (stop, calls) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let mut tasks = Vec::new();
        for n in 0..sessions {
            let id = clients[n % clients.len()].initialize().await;
            let (replicas, stop, calls) =
                (Arc::clone(&replicas), Arc::clone(&stop), Arc::clone(&calls));
            tasks.push(tokio::spawn(call(id, n as u64, replicas, stop, calls)));
        }
        Self { replicas, stop, tasks, calls }
    }

    fn set(&self, replicas: &[&Gateway]) {
        *self.replicas.lock().unwrap() =
            replicas.iter().map(|replica| Raw::new(&replica.uri())).collect();
    }

    /// Waits until this many more calls were made.
    async fn more(&self, calls: usize) {
        let until = self.calls.load(Ordering::SeqCst) + calls;
        let enough = async || self.calls.load(Ordering::SeqCst) >= until;
        eventually("the calls go on", PATIENCE, enough).await;
    }

    async fn stop(self) -> Vec<Failure> {
        self.stop.store(true, Ordering::SeqCst);
        let mut failures = Vec::new();
        for task in self.tasks {
            failures.extend(task.await.unwrap());
        }
        failures
    }
}

/// Keeps counting in one session. Any count other than the next one fails the test, except after a call without an
/// answer, which the server may or may not have counted.
async fn call(
    id: String,
    seed: u64,
    replicas: Arc<Mutex<Vec<Raw>>>,
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
) -> Vec<Failure> {
    let (mut count, mut unknown, mut chance) = (0, 0, seed);
    let mut failures = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let replica = {
            let replicas = replicas.lock().unwrap();
            replicas[draw(&mut chance) % replicas.len()].clone()
        };
        let start = Instant::now();
        match replica.try_increment(&id).await {
            Ok(answer) if answer.status == 200 => {
                let now = answer.count().unwrap();
                assert!((count + 1..=count + 1 + unknown).contains(&now), "{now} after {count}");
                (count, unknown) = (now, 0);
                calls.fetch_add(1, Ordering::SeqCst);
            }
            outcome => {
                let status = outcome.ok().map(|answer| answer.status.as_u16());
                unknown += 1;
                failures.push(Failure { at: start, took: start.elapsed(), status });
                sleep(Duration::from_millis(10)).await;
            }
        }
        sleep(Duration::from_millis(2)).await;
    }
    failures
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_killed_and_replaced_one_after_the_other_and_no_session_ends() {
    const SESSIONS: usize = 20;
    let redis = RedisServer::start().await;
    let servers = CounterServer::start_many(3).await;
    let (a, b) = (replica(&redis, &servers).await, replica(&redis, &servers).await);
    let load = Load::start(&[&a, &b], SESSIONS).await;
    load.more(200).await;

    // The replica dies without notice: calls in flight to it fail, and so do calls that find its
    // port closed.
    let killed = Instant::now();
    drop(a);
    load.set(&[&b]);
    load.more(200).await;
    let c = replica(&redis, &servers).await;
    load.set(&[&b, &c]);
    load.more(200).await;

    // The replica is stopped and removed from the list: no call fails.
    load.set(&[&c]);
    sleep(Duration::from_millis(200)).await;
    let rolled = Instant::now();
    b.process.terminate().await;
    let d = replica(&redis, &servers).await;
    load.set(&[&c, &d]);
    load.more(400).await;

    let failures = load.stop().await;
    assert!(failures.len() <= SESSIONS, "those in flight on the killed one: {failures:?}");
    for failure in failures {
        assert_eq!(failure.status, None, "{failure:?}");
        assert!(failure.at < killed + Duration::from_secs(1) && failure.at < rolled, "{failure:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_for_five_seconds_costs_bounded_errors_and_no_session() {
    // Redis writes sessions to disk before it acknowledges them, so it still has them after a
    // restart.
    let mut redis = RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let servers = CounterServer::start_many(3).await;
    let (a, b) = (replica(&redis, &servers).await, replica(&redis, &servers).await);
    let load = Load::start(&[&a, &b], 20).await;
    load.more(300).await;

    let killed = Instant::now();
    redis.kill();
    let (raw, admin) = (Raw::new(&a.uri()), Raw::new(&a.admin_uri()));
    // It is still ready, because it serves the sessions that it knows.
    a.until_readiness(200, "degraded: the session store does not answer").await;
    assert!(status(&admin, "/healthz", 200).await);
    let (mut refused, mut slowest) = (0, Duration::ZERO);
    while killed.elapsed() < Duration::from_secs(5) {
        let start = Instant::now();
        // A new session and an unknown one: the gateway cannot know whether either exists.
        for (session, body) in
            [(None, bartizan_testkit::client::INITIALIZE), (Some("unknown"), "{}")]
        {
            let answer = raw.post(session, body).await;
            assert_eq!(answer.status, 503, "{answer:?}");
            assert_eq!(answer.headers["retry-after"], "1");
            refused += 1;
        }
        slowest = slowest.max(start.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let before = load.calls.load(Ordering::SeqCst);
    load.more(100).await;
    redis.restart().await;
    let back = Instant::now();
    ready(&a).await;
    ready(&b).await;
    let again = async || raw.post(None, bartizan_testkit::client::INITIALIZE).await.status == 200;
    eventually("new sessions are opened again", PATIENCE, again).await;
    let recovery = back.elapsed();
    load.more(300).await;

    let failures = load.stop().await;
    let longest = failures.iter().map(|failure| failure.took).max().unwrap_or_default();
    println!(
        "store away for 5 s: {} of {before} calls of live sessions failed, the longest after {longest:?}; {refused} new and \
         unknown ones refused, the slowest pair in {slowest:?}; served again {recovery:?} after its restart",
        failures.len(),
    );
    // Cached sessions are served during the outage; a few may be read just as it begins or ends.
    assert!(failures.len() <= 60, "{failures:?}");
    for failure in &failures {
        assert_eq!(failure.status, Some(503), "never 404: {failure:?}");
        assert!(failure.took < Duration::from_secs(1), "{failure:?}");
    }
    assert!(recovery < Duration::from_secs(3), "{recovery:?}");
}

#[tokio::test]
async fn a_gateway_starts_before_its_store_and_becomes_ready() {
    let mut redis = RedisServer::start().await;
    redis.kill();
    let servers = CounterServer::start_many(1).await;
    let store = format!("--store={}", redis.url());
    let gateway = Gateway::with_admin(&[servers[0].uri()], &[&store, "--near-cache=off"]).await;
    let (raw, admin) = (Raw::new(&gateway.uri()), Raw::new(&gateway.admin_uri()));
    assert!(status(&admin, "/healthz", 200).await);
    gateway.until_readiness(503, "not ready: the session store does not answer").await;
    assert_eq!(raw.post(None, bartizan_testkit::client::INITIALIZE).await.status, 503);
    assert_eq!(servers[0].initializes(), 0, "no backend is bothered with what cannot be kept");
    redis.restart().await;
    ready(&gateway).await;
    let id = raw.initialize().await;
    for expected in 1..=3 {
        assert_eq!(raw.increment(&id).await.count(), Some(expected));
    }
}

/// The port opens when the store has answered, so even the first request is served.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_restarted_refuses_nobody() {
    const RESTARTS: usize = 20;
    // Client connections come from 127.0.0.1. On another address, none of them can take the port in the meantime, or
    // connect to itself. Only Linux has the whole 127.0.0.0/8 network.
    const PLACE: &str = if cfg!(target_os = "linux") { "127.0.0.7:0" } else { "127.0.0.1:0" };
    let redis = RedisServer::start().await;
    let servers = CounterServer::start_many(1).await;
    let store = format!("--store={}", redis.url());
    let listen = format!("--listen={PLACE}");
    let mut gateway = Gateway::before(&[servers[0].uri()], &[&store, &listen]).await;
    let id = Raw::new(&gateway.uri()).initialize().await;
    for round in 1..=RESTARTS {
        let address = gateway.address;
        drop(gateway);
        let raw = Raw::new(&format!("http://{address}"));
        let (session, asks) = (id.clone(), raw.clone());
        let asking = tokio::spawn(async move {
            // No answer until the port is open; after that, no refusals.
            loop {
                if let Ok(answer) = asks.try_increment(&session).await {
                    return answer.status;
                }
            }
        });
        let listen = format!("--listen={address}");
        gateway = Gateway::before(&[servers[0].uri()], &[&store, &listen]).await;
        assert_eq!(asking.await.unwrap(), 200, "restart {round}");
        assert_eq!(raw.post(None, bartizan_testkit::client::INITIALIZE).await.status, 200);
    }
}

/// It serves requests that need no store, and answers 503 to the rest, once it has asked the store.
#[tokio::test]
async fn a_store_that_says_nothing_holds_the_start_up_for_a_moment_only() {
    let silent = bartizan_testkit::Silent::start().await;
    let servers = CounterServer::start_many(1).await;
    let store = format!("--store=redis://{}", silent.addr);
    let started = Instant::now();
    let gateway = Gateway::before(&[servers[0].uri()], &[&store]).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let raw = Raw::new(&gateway.uri());
    assert_eq!(raw.post(None, bartizan_testkit::client::INITIALIZE).await.status, 503);
}

#[tokio::test]
async fn a_store_that_cannot_be_is_told_without_its_password() {
    let args =
        ["--backend=http://127.0.0.1:1", "--listen=127.0.0.1:0", "--store=redis://:secret@a:x"];
    let mut process = Process::start(env!("CARGO_BIN_EXE_bartizan-gateway"), &args);
    let line = process.error_line_with("--store").await;
    assert!(!line.contains("secret"), "{line}");
    assert_eq!(process.wait().await, Some(1));
}
