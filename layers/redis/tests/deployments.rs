//! Kinds of server deployments: a cluster, behind sentinels, with users.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod common;

use std::{net::TcpListener, time::Duration};

use bartizan_core::{
    Key, Principal, Route, SessionStore,
    store::{Inserted, RecordVersion, Replaced},
};
use bartizan_redis::RedisStore;
use bartizan_testkit::{RedisServer, eventually};
use common::{PATIENCE, get, insert, ready, record, relay::Relay, remove, replace};

fn free_port() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port().to_string()
}

/// All operations on many sessions by one replica, checked from another.
async fn assert_works(a: &RedisStore, b: &RedisStore) {
    for n in 0..30 {
        let id = format!("session-{n}");
        assert!(matches!(insert(a, &id).await.unwrap(), Inserted::Inserted(_)));
        assert!(matches!(insert(b, &id).await.unwrap(), Inserted::Exists(_)));
        assert!(get(b, &id).await.unwrap().is_some());
        let moved = record().with_backend("http://b:1".parse().unwrap());
        let replaced = replace(a, &id, RecordVersion::FIRST, moved).await.unwrap();
        assert!(matches!(replaced, Replaced::Replaced(_)));
        let seen = async || get(b, &id).await.unwrap().unwrap().record().backend().is_some();
        eventually("the change is seen", Duration::from_secs(2), seen).await;
        remove(a, &id).await.unwrap();
        let gone = async || get(b, &id).await.unwrap().is_none();
        eventually("the end is seen", Duration::from_secs(2), gone).await;
        assert!(matches!(insert(b, &id).await.unwrap(), Inserted::Ended));
    }
}

/// A cluster of three, and its URL.
async fn cluster() -> (Vec<RedisServer>, String) {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let bus = free_port();
        let args = ["--cluster-enabled", "yes", "--cluster-port", &bus];
        nodes.push(RedisServer::with(&args).await);
    }
    let addrs: Vec<_> = nodes.iter().map(|node| node.addr().to_string()).collect();
    let mut create = vec!["--cluster", "create"];
    create.extend(addrs.iter().map(String::as_str));
    create.extend(["--cluster-replicas", "0", "--cluster-yes"]);
    let created = nodes[0].cli(&create);
    assert!(created.contains("All 16384 slots covered"), "{created}");
    let whole = async || {
        nodes.iter().all(|node| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"))
    };
    eventually("the cluster is whole", PATIENCE, whole).await;

    let url = format!("redis-cluster://{}?node={}", addrs[0], addrs[1]);
    (nodes, url)
}

/// The session and the counts are on different nodes.
#[tokio::test]
async fn in_a_cluster_the_caps_are_kept_too() {
    let (nodes, url) = cluster().await;
    let mut replicas = Vec::new();
    for _ in 0..3 {
        let store = RedisStore::builder(&url).timeout(PATIENCE).max_sessions(100);
        replicas.push(store.max_sessions_per_principal(5).build().unwrap());
    }
    for store in &replicas {
        ready(store).await;
    }
    let open = async |owner: Option<&Principal>, prefix: &str, many: usize| {
        let inserts = (0..many).map(|n| {
            let (store, owner) = (replicas[n % 3].clone(), owner.cloned());
            let id = format!("{prefix}-{n}");
            async move {
                let route = Route::default();
                let key = Key::new(&route, owner.as_ref(), id.as_bytes());
                let inserted = store.insert_if_absent(key, record()).wait().await.unwrap();
                matches!(inserted, Inserted::Inserted(_)).then_some(id)
            }
        });
        let all = futures_util::future::join_all(inserts).await;
        all.into_iter().flatten().collect::<Vec<_>>()
    };
    let live = || {
        let keys = nodes.iter().map(|node| node.cli(&["--scan", "--pattern", "bartizan:{*"]));
        keys.map(|keys| keys.lines().filter(|key| !key.is_empty()).count()).sum::<usize>()
    };
    let alice = Principal::new("i", "alice");
    assert_eq!(open(Some(&alice), "alice", 30).await.len(), 5);
    assert_eq!(live(), 5, "what found no room is not left behind");
    let opened = open(None, "anyone", 300).await;
    assert_eq!((opened.len(), live()), (95, 100));
    assert!(matches!(insert(&replicas[0], &opened[0]).await.unwrap(), Inserted::Exists(_)));
    remove(&replicas[0], &opened[0]).await.unwrap();
    assert!(matches!(insert(&replicas[1], &opened[0]).await.unwrap(), Inserted::Ended));
    let room = async || open(None, "later", 1).await.len() == 1;
    eventually("an end makes room for one", PATIENCE, room).await;
    assert!(open(None, "no-more", 5).await.is_empty());
}

#[tokio::test]
async fn in_a_cluster_sessions_are_spread_and_changes_are_seen() {
    let (nodes, url) = cluster().await;
    let a = RedisStore::builder(&url).build().unwrap();
    let b = RedisStore::builder(&url).build().unwrap();
    ready(&a).await;
    ready(&b).await;
    assert_works(&a, &b).await;
    assert!(nodes.iter().all(|node| node.cli(&["DBSIZE"]) != "0"), "every node has some");
}

#[tokio::test]
async fn behind_a_sentinel_the_primary_is_found_and_its_successor_too() {
    let mut primary = RedisServer::start().await;
    let port = primary.addr().port().to_string();
    let second = RedisServer::with(&["--replicaof", "127.0.0.1", &port]).await;
    let copies = async || primary.cli(&["INFO", "replication"]).contains("state=online");
    eventually("the second copies the first", PATIENCE, copies).await;
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("sentinel.conf");
    let text = format!(
        "sentinel monitor sessions 127.0.0.1 {port} 1\nsentinel down-after-milliseconds sessions 500\n\
         sentinel failover-timeout sessions 2000\n"
    );
    std::fs::write(&config, text).unwrap();
    let sentinel = RedisServer::configured(&config, &["--sentinel"]).await;

    let url = format!("redis-sentinel://{}?sentinelServiceName=sessions", sentinel.addr());
    let a = RedisStore::builder(&url).build().unwrap();
    let b = RedisStore::builder(&url).build().unwrap();
    ready(&a).await;
    ready(&b).await;
    assert_works(&a, &b).await;

    insert(&a, "stays").await.unwrap();
    let copied = async || second.cli(&["DBSIZE"]) == primary.cli(&["DBSIZE"]);
    eventually("the session is copied", PATIENCE, copied).await;
    primary.kill();
    let served = async || insert(&a, "new").await.is_ok() && get(&b, "stays").await.is_ok();
    eventually("the second has taken over", Duration::from_secs(30), served).await;
    assert!(get(&b, "stays").await.unwrap().is_some() && get(&b, "new").await.unwrap().is_some());
}

/// A server behind a name becomes a replica of another, without closing connections.
#[tokio::test]
async fn a_primary_that_steps_down_without_a_word_is_left_for_its_successor() {
    let primary = RedisServer::start().await;
    let port = primary.addr().port().to_string();
    let second = RedisServer::with(&["--replicaof", "127.0.0.1", &port]).await;
    let copies = async || primary.cli(&["INFO", "replication"]).contains("state=online");
    eventually("the second copies the first", PATIENCE, copies).await;
    let name = Relay::to(primary.addr(), Duration::ZERO).await;
    for cached in [100, 0] {
        let store = RedisStore::builder(&name.url()).near_cache(cached).build().unwrap();
        ready(&store).await;
        insert(&store, &format!("before-{cached}")).await.unwrap();
        let (old, new) = if cached == 0 { (&second, &primary) } else { (&primary, &second) };
        let copied = async || new.cli(&["DBSIZE"]) == old.cli(&["DBSIZE"]);
        eventually("all is copied", PATIENCE, copied).await;
        new.cli(&["REPLICAOF", "NO", "ONE"]);
        let port = new.addr().port().to_string();
        old.cli(&["REPLICAOF", "127.0.0.1", &port]);
        let before = name.dialled();
        let refused = async || insert(&store, "meanwhile").await.is_err();
        eventually("it refuses writes", PATIENCE, refused).await;
        // The name still resolves to the old server for a while, so reconnecting does not help yet.
        let again = async || name.dialled() > before;
        eventually("the name is asked again", PATIENCE, again).await;
        name.lead_to(new.addr());
        let served = async || insert(&store, &format!("after-{cached}")).await.is_ok();
        eventually("the successor is found", Duration::from_secs(5), served).await;
        assert!(get(&store, &format!("before-{cached}")).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_user_with_the_rights_it_needs_and_no_more_is_enough() {
    let server = RedisServer::start().await;
    let rules = [
        "ACL",
        "SETUSER",
        "gateway",
        "on",
        ">secret",
        "~bartizan:*",
        "resetchannels",
        "-@all",
        "+hello",
        "+client",
        "+ping",
        "+get",
        "+set",
        "+evalsha",
        "+eval",
        "+time",
        "+getrange",
        "+setrange",
        "+pexpire",
        "+pttl",
        "+zadd",
        "+zrem",
        "+zcard",
        "+zrange",
        "+zremrangebyscore",
        "+info",
        "+auth",
    ];
    assert_eq!(server.cli(&rules), "OK");
    let builder = || RedisStore::builder(&server.url()).credentials(Some("gateway"), "secret");
    let (a, b) = (builder().build().unwrap(), builder().build().unwrap());
    ready(&a).await;
    ready(&b).await;
    assert_works(&a, &b).await;
    let log = server.cli(&["ACL", "LOG"]);
    assert!(log.is_empty(), "{log}");
}
