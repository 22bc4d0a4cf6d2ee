//! Several workers in one process: what they share, and what is separate.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bartizan_testkit::{
    CounterServer,
    client::{Raw, call},
    eventually,
};
use futures_util::future::join_all;
use tokio::{net::TcpStream, time::timeout};

use crate::fixtures::{Backend, Gateway, PATIENCE, command};

const WORKERS: &str = "--workers=4";

async fn start(servers: &[CounterServer]) -> Gateway {
    let origins: Vec<_> = servers.iter().map(CounterServer::uri).collect();
    let gateway = Gateway::before(&origins, &[WORKERS]).await;
    wait_for_workers(&gateway).await;
    gateway
}

/// Waits until there are four.
async fn wait_for_workers(gateway: &Gateway) {
    // Other systems do not show the names of threads.
    if cfg!(target_os = "linux") {
        let expected = ["worker-1\n", "worker-2\n", "worker-3\n", "worker-4\n"];
        eventually("there are four workers", PATIENCE, async || workers(gateway) == expected).await;
    }
}

fn workers(gateway: &Gateway) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{}/task", gateway.process.id())).unwrap();
    // A thread may end in between.
    let names =
        threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    let mut workers: Vec<_> = names.filter(|name| name.starts_with("worker-")).collect();
    workers.sort();
    workers
}

#[tokio::test]
async fn a_session_keeps_its_backend_over_the_connections_of_all_workers() {
    let servers = CounterServer::start_many(3).await;
    let gateway = start(&servers).await;
    // Each client has its own connection: eight clients make two for each worker.
    let clients: Vec<_> = (0..8).map(|_| Raw::new(&gateway.uri())).collect();
    let mut sessions = Vec::new();
    for number in 0..12 {
        sessions.push(clients[number % clients.len()].initialize().await);
    }
    for round in 0..2 {
        for (number, client) in clients.iter().enumerate() {
            let expected = round * clients.len() + number + 1;
            for session in &sessions {
                let count = client.increment(session).await.count();
                assert_eq!(count, i64::try_from(expected).ok(), "{expected}");
            }
        }
    }
    // And not all of them are on one worker.
    assert!(servers.iter().all(|server| server.initializes() > 0));
    // A session that one worker has ended has ended for all.
    assert!(clients[0].delete(Some(&sessions[0])).await.status.is_success());
    for client in &clients {
        assert_eq!(client.increment(&sessions[0]).await.status, 404);
    }
}

#[tokio::test]
async fn a_backend_that_dies_takes_its_own_sessions_and_no_others() {
    let mut servers = CounterServer::start_many(3).await;
    let gateway = start(&servers).await;
    let opening = Raw::new(&gateway.uri());
    let mut sessions = Vec::new();
    for _ in 0..24 {
        sessions.push(opening.initialize().await);
    }
    let is_at = |server: &CounterServer, session: &str| !server.with_session(session).is_empty();
    for session in &sessions {
        opening.increment(session).await;
    }
    let (lost, live): (Vec<_>, Vec<_>) =
        sessions.into_iter().partition(|session| is_at(&servers[1], session));
    assert!(!lost.is_empty() && !live.is_empty());
    let is_over = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicUsize::new(0));
    let traffic: Vec<_> = live
        .into_iter()
        .map(|session| {
            let (client, is_over) = (Raw::new(&gateway.uri()), Arc::clone(&is_over));
            let calls = Arc::clone(&calls);
            tokio::spawn(async move {
                let mut count = 1;
                while !is_over.load(Ordering::Relaxed) {
                    count += 1;
                    assert_eq!(client.increment(&session).await.count(), Some(count));
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let is_busy = async || calls.load(Ordering::Relaxed) > 200;
    eventually("there is traffic", PATIENCE, is_busy).await;
    servers[1].kill().await;
    let clients: Vec<_> = (0..8).map(|_| Raw::new(&gateway.uri())).collect();
    for client in &clients {
        for session in &lost {
            let status = client.increment(session).await.status.as_u16();
            assert!([404, 502, 503].contains(&status), "{status}");
        }
    }
    // New sessions are opened elsewhere, by every worker.
    for client in &clients {
        let session = client.initialize().await;
        assert_eq!(client.increment(&session).await.count(), Some(1));
    }
    let before = calls.load(Ordering::Relaxed);
    let goes_on = async || calls.load(Ordering::Relaxed) > before + 200;
    eventually("requests are still served", PATIENCE, goes_on).await;
    is_over.store(true, Ordering::Relaxed);
    for session in traffic {
        session.await.unwrap();
    }
}

#[tokio::test]
async fn long_streams_leave_every_worker_to_others() {
    let servers = CounterServer::start_many(2).await;
    let gateway = start(&servers).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let client = Raw::new(&gateway.uri());
        let session = client.initialize().await;
        let stream = client.get_stream(&session).await.unwrap();
        assert_eq!(stream.status(), 200);
        streams.push((client, session, stream));
    }
    let clients: Vec<_> = (0..20).map(|_| Raw::new(&gateway.uri())).collect();
    let calls = clients.iter().zip(&streams);
    let calls = join_all(calls.map(|(client, (_, session, _))| client.increment(session)));
    for answer in timeout(PATIENCE, calls).await.unwrap() {
        assert_eq!(answer.count(), Some(1));
    }
}

#[tokio::test]
async fn at_the_end_all_workers_finish_their_calls() {
    let backend = Backend::start().await;
    let mut gateway = Gateway::start(&backend, &[WORKERS]).await;
    wait_for_workers(&gateway).await;
    let session = Raw::new(&gateway.uri()).initialize().await;
    let slow: Vec<_> = (0..8)
        .map(|_| {
            let (client, session) = (Raw::new(&gateway.uri()), session.clone());
            tokio::spawn(async move { client.post(Some(&session), call(1, "slow")).await })
        })
        .collect();
    timeout(PATIENCE, backend.entered.acquire_many(8)).await.unwrap().unwrap().forget();
    gateway.process.terminate().await;
    let address = gateway.address;
    let is_closed = async || TcpStream::connect(address).await.is_err();
    eventually("connections are refused", PATIENCE, is_closed).await;
    assert!(slow.iter().all(|call| !call.is_finished()));
    backend.release.add_permits(8);
    for call in slow {
        assert_eq!(timeout(PATIENCE, call).await.unwrap().unwrap().status, 200);
    }
    assert_eq!(gateway.process.wait().await, Some(0));
}

#[tokio::test]
async fn no_workers_are_refused() {
    let output = command().args(["--backend=http://127.0.0.1:9", "--workers=0"]).output();
    let output = timeout(PATIENCE, output).await.unwrap().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("--workers") && text.contains("above zero"), "{text}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn threads_that_cannot_be_had_are_an_error_that_names_the_option() {
    // No thread can have a stack of this size.
    let output = command()
        .args(["--backend=http://127.0.0.1:9", "--listen=127.0.0.1:0", WORKERS])
        .env("RUST_MIN_STACK", (1_u64 << 50).to_string())
        .output();
    let output = timeout(PATIENCE, output).await.unwrap().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("--workers: cannot start 4 threads"), "{text}");
    assert!(!text.contains("panicked"), "{text}");
}
