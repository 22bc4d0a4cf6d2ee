//! A session has one fingerprint in the logs of all replicas.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "test")]

mod common;

use std::process::Command;

use bartizan_core::session::Fingerprint;
use bartizan_redis::RedisStore;
use bartizan_testkit::{RedisServer, eventually};
use common::{PATIENCE, on, ready};

const URL: &str = "BARTIZAN_TEST_URL";
const MARK: &str = "fingerprint: ";

/// A replica: a process of its own.
#[tokio::test]
#[ignore = "a part of the test below"]
async fn replica() {
    let Ok(url) = std::env::var(URL) else { return };
    let before = Fingerprint::of(b"secret-id");
    let store = RedisStore::builder(&url).build().unwrap();
    ready(&store).await;
    let after = Fingerprint::of(b"secret-id");
    assert_ne!(before, after);
    println!("{MARK}{after}");
}

fn of_replica(server: &RedisServer) -> String {
    let mut replica = Command::new(std::env::current_exe().unwrap());
    replica.args(["--exact", "replica", "--ignored", "--nocapture"]).env(URL, server.url());
    let output = replica.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.split(MARK).nth(1));
    line.unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_have_one_and_an_emptied_server_gets_its_salt_back() {
    let server = RedisServer::start().await;
    let first = of_replica(&server);
    let salt = server.cli(&["get", "bartizan:salt"]);
    assert_eq!((first.len(), salt.trim().len()), (16, 32));
    let store = on(&server, |builder| builder).await;
    assert_eq!(Fingerprint::of(b"secret-id").to_string(), first);
    server.cli(&["flushall"]);
    let is_back = async || server.cli(&["get", "bartizan:salt"]) == salt;
    eventually("the salt is back", PATIENCE, is_back).await;
    server.cli(&["expire", "bartizan:salt", "100"]);
    let is_kept = async || server.cli(&["ttl", "bartizan:salt"]).parse::<u32>().unwrap() > 80_000;
    eventually("it stays as long as a replica runs", PATIENCE, is_kept).await;
    assert_eq!(of_replica(&server), first);
    drop(store);
    let other = RedisServer::start().await;
    assert_ne!(of_replica(&other), first, "another store has another");
}
