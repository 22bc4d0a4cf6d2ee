//! One client session at several gateways, through two processes that share a Redis server.

use std::{
    collections::{HashMap, HashSet},
    env,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bartizan::{
    memory::MemoryStore,
    pin::Backends,
    redis::RedisStore,
    resume::split::{Gateway as Peer, Gateways, HeaderField, SplitSessionLayer},
    session::{MintIds, ValidateSessionLayer},
    upstream::Upstream,
};
use bartizan_testkit::{
    CounterServer, RedisServer,
    client::{Answer, INITIALIZE, Raw, call},
    eventually,
    process::Process,
};
use http::{HeaderName, Method};
use http_body_util::Full;
use tokio::{task::JoinSet, time::sleep};
use tower::Layer;

use crate::common::Gateway;

const STORE: &str = "BARTIZAN_TEST_STORE";
const GATEWAYS: &str = "BARTIZAN_TEST_GATEWAYS";
const READY: &str = "replica at ";

/// The process of a replica: this test program, started again.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of the tests below"]
async fn replica() {
    let (Ok(url), Ok(origins)) = (env::var(STORE), env::var(GATEWAYS)) else { return };
    let store = RedisStore::builder(&url).build().unwrap();
    assert!(store.ready().await);
    let gateways = Gateways::new();
    for (name, origin) in origins.split(',').enumerate() {
        gateways.set(&name.to_string(), Peer::new(origin.parse().unwrap()));
    }
    let name = HeaderField::new(HeaderName::from_static("x-gateway"));
    let split = SplitSessionLayer::new(store.clone(), name, gateways);
    let guard = ValidateSessionLayer::mcp(MintIds::new(store));
    let service = guard.layer(split.layer(Upstream::builder().build()));
    let gateway = Gateway::serve(service, MemoryStore::new(), Backends::new([])).await;
    println!("{READY}{}", gateway.addr);
    // It is normally killed earlier. If the test is killed first, it ends by itself.
    sleep(Duration::from_secs(120)).await;
}

struct Replicas {
    servers: Vec<CounterServer>,
    clients: Vec<Raw>,
    calls: AtomicU32,
    _processes: Vec<Process>,
    _redis: RedisServer,
}

impl Replicas {
    async fn start() -> Self {
        let (redis, servers) = (RedisServer::start().await, CounterServer::start_many(3).await);
        let origins: Vec<_> = servers.iter().map(CounterServer::uri).collect();
        let store = format!("{STORE}={}", redis.url());
        let gateways = format!("{GATEWAYS}={}", origins.join(","));
        let program = env::current_exe().unwrap();
        let program = program.to_str().unwrap();
        let test = [program, "split_replicas::replica", "--exact", "--ignored", "--nocapture"];
        let (mut clients, mut processes) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let args = [&[&*store, &*gateways], &test[..]].concat();
            let mut process = Process::start("env", &args);
            let line = process.line_with(READY).await;
            let addr = line.split(READY).nth(1).unwrap();
            clients.push(Raw::new(&format!("http://{}", addr.trim())));
            processes.push(process);
        }
        Self { servers, clients, calls: AtomicU32::new(1), _processes: processes, _redis: redis }
    }

    async fn send(&self, replica: usize, server: usize, id: Option<&str>, body: String) -> Answer {
        let client = &self.clients[replica];
        let request = client.request(Method::POST, id).header("x-gateway", server);
        client.send(request.body(Full::from(body)).unwrap()).await
    }

    async fn open(&self, server: usize) -> String {
        let answer = self.send(0, server, None, INITIALIZE.to_owned()).await;
        let id = answer.session().unwrap().to_owned();
        let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned();
        assert!(self.send(1, server, Some(&id), initialized).await.status.is_success());
        id
    }

    async fn count(&self, replica: usize, server: usize, id: &str) -> Option<i64> {
        // A server matches answers with calls by their ids.
        let call = call(self.calls.fetch_add(1, Ordering::Relaxed), "increment");
        self.send(replica, server, Some(id), call).await.count()
    }

    /// The ids by which calls have reached a server.
    fn called(&self, server: usize) -> HashSet<String> {
        let journal = self.servers[server].journal();
        let calls = journal.iter().filter(|it| it.rpc_method().as_deref() == Some("tools/call"));
        calls.filter_map(|entry| entry.session().map(str::to_owned)).collect()
    }

    /// The session ids for which a server got a DELETE.
    fn deleted(&self, server: usize) -> HashSet<String> {
        let journal = self.servers[server].journal();
        let deletes = journal.iter().filter(|entry| entry.method == Method::DELETE);
        deletes.filter_map(|entry| entry.session().map(str::to_owned)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_calls_by_turns_at_two_processes_find_one_session_at_each_of_three_gateways() {
    let mut all = Replicas::start().await;
    let ids = [all.open(0).await, all.open(1).await];
    let mut expected = HashMap::new();
    for n in 0..1_000 {
        let (id, server) = (&ids[n % 2], n / 2 % 3);
        let count: &mut i64 = expected.entry((id, server)).or_default();
        *count += 1;
        // Alternating, so that each pair of session and server meets both replicas.
        let replica = (n + n / 2 + n / 6) % 2;
        assert_eq!(all.count(replica, server, id).await, Some(*count), "call {n} at {replica}");
    }
    assert_eq!(expected.values().sum::<i64>(), 1_000);
    for server in 0..3 {
        assert_eq!(all.called(server).len(), 2, "one of each client session");
        assert_eq!(all.servers[server].initializes(), 2, "and not one more was opened");
    }
    // One goes, and comes back without its sessions.
    all.servers[1].kill().await;
    for replica in [0, 1, 0, 1] {
        let answer = all.send(replica, 1, Some(&ids[0]), call(1, "increment")).await;
        assert_eq!(answer.status, 503);
    }
    all.servers[1].restart_empty().await;
    for id in &ids {
        for expected in 1..=50 {
            let replica = usize::from(expected % 2 == 0);
            assert_eq!(all.count(replica, 1, id).await, Some(expected), "the lost one");
        }
        for server in [0, 2] {
            let count = expected[&(id, server)];
            assert_eq!(all.count(1, server, id).await, Some(count + 1), "no other");
            assert_eq!(all.count(0, server, id).await, Some(count + 2));
        }
    }
    // Two are from before. (A server that has lost its sessions is not asked to end any.)
    assert_eq!(all.called(1).len(), 4);
    assert_eq!((all.called(0).len(), all.called(2).len()), (2, 2));
    // A DELETE at any replica ends the session at all gateways.
    let delete = all.clients[1].request(Method::DELETE, Some(&ids[0])).header("x-gateway", 2);
    assert!(all.clients[1].send(delete.body(Full::default()).unwrap()).await.status.is_success());
    let all_told = async || (0..3).all(|server| all.deleted(server).len() == 1);
    eventually("each server is told of the end of its one", Duration::from_secs(5), all_told).await;
    for replica in [0, 1] {
        let gone = async || all.send(replica, 0, Some(&ids[0]), call(1, "x")).await.status == 404;
        eventually("it is over", Duration::from_secs(5), gone).await;
    }
    assert!(all.count(0, 2, &ids[1]).await.is_some(), "the other session goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn first_calls_at_two_processes_at_the_same_time_count_in_one_session() {
    let all = Arc::new(Replicas::start().await);
    let (mut opened, rounds) = (0, 50);
    for round in 0..rounds {
        let id = all.open(0).await;
        let before = all.servers[1].initializes() + all.servers[2].initializes();
        let mut calls = JoinSet::new();
        for n in 0..16 {
            let (all, id) = (Arc::clone(&all), id.clone());
            let (replica, server) = (n % 2, 1 + n / 2 % 2);
            calls.spawn(async move { (server, all.count(replica, server, &id).await) });
        }
        let counts = calls.join_all().await;
        for server in [1, 2] {
            let its = counts.iter().filter(|(other, _)| *other == server);
            let mut its: Vec<_> = its.filter_map(|(_, count)| *count).collect();
            its.sort_unstable();
            assert_eq!(its, (1..=8).collect::<Vec<_>>(), "round {round}: {counts:?}");
        }
        opened += all.servers[1].initializes() + all.servers[2].initializes() - before;
    }
    println!("{opened} opened for {} sessions: the others lost a race", 2 * rounds);
    sleep(Duration::from_millis(500)).await;
    for server in [1, 2] {
        assert_eq!(all.called(server).len(), rounds);
        let initializes = all.servers[server].initializes();
        let ended = all.deleted(server);
        assert_eq!(initializes - ended.len(), rounds, "those that lost are ended");
        assert!(ended.is_disjoint(&all.called(server)));
    }
}
