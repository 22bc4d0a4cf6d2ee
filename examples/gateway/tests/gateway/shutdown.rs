//! Graceful shutdown, as a process.

use std::{process::Stdio, time::Duration};

use bartizan_testkit::{
    CounterServer,
    client::{Raw, call},
    eventually,
    process::signal,
};
use http::Method;
use http_body_util::{BodyExt, Full};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::fixtures::{Backend, Gateway, PATIENCE};

#[tokio::test]
async fn at_sigterm_calls_in_flight_finish_and_event_streams_end() {
    let backend = Backend::start().await;
    let mut gateway = Gateway::start(&backend, &[]).await;
    let client = Raw::new(&gateway.uri());
    let session = client.initialize().await;

    let slow = client.clone();
    let id = session.clone();
    let slow = tokio::spawn(async move { slow.post(Some(&id), call(1, "slow")).await });
    let get = client.request(Method::GET, Some(&session)).body(Full::default()).unwrap();
    let mut events = client.open(get).await.unwrap().into_body();
    let first = events.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "data: hello\n\n");
    // The backend has the call.
    timeout(PATIENCE, backend.entered.acquire()).await.unwrap().unwrap().forget();

    gateway.process.terminate().await;
    // The stream ends properly, instead of breaking off.
    assert!(timeout(PATIENCE, events.frame()).await.unwrap().is_none());
    nobody_is_let_in(&gateway).await;
    assert!(!slow.is_finished());

    backend.release.add_permits(1);
    let answer = timeout(PATIENCE, slow).await.unwrap().unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text(), format!(r#"{{"received":{}}}"#, call(1, "slow").len()));
    assert_eq!(gateway.process.wait().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_sigterm_a_thousand_streams_end_as_streams_end() {
    const STREAMS: usize = 1_000;
    let server = CounterServer::start().await;
    let mut gateway = Gateway::before(&[server.uri()], &[]).await;
    let client = Raw::new(&gateway.uri());
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let session = client.initialize().await;
        let mut events = client.get_stream(&session).await.unwrap().into_body();
        streams.spawn(async move {
            while let Some(frame) = events.frame().await.transpose()? {
                drop(frame);
            }
            Ok::<_, hyper::Error>(())
        });
    }
    let begun = Instant::now();
    gateway.process.terminate().await;
    for ended in timeout(PATIENCE, streams.join_all()).await.unwrap() {
        ended.unwrap();
    }
    println!("{STREAMS} streams ended {:?} after SIGTERM", begun.elapsed());
    assert_eq!(gateway.process.wait().await, Some(0));
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn without_calls_an_interrupt_ends_it_at_once() {
    let backend = Backend::start().await;
    let mut gateway = Gateway::start(&backend, &[]).await;
    gateway.process.signal("INT").await;
    assert_eq!(gateway.process.wait().await, Some(0));
}

#[tokio::test]
async fn the_second_signal_does_not_wait_for_calls() {
    let backend = Backend::start().await;
    let mut gateway = Gateway::start(&backend, &[]).await;
    let client = Raw::new(&gateway.uri());
    let session = client.initialize().await;
    let slow = client.request(Method::POST, Some(&session)).body(call(1, "slow").into()).unwrap();
    let slow = tokio::spawn(async move { client.open(slow).await });
    timeout(PATIENCE, backend.entered.acquire()).await.unwrap().unwrap().forget();

    gateway.process.terminate().await;
    nobody_is_let_in(&gateway).await;
    gateway.process.terminate().await;
    assert_eq!(gateway.process.wait().await, Some(143));
    assert!(timeout(PATIENCE, slow).await.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn at_sigterm_it_is_not_ready_and_accepts_until_the_drain_delay_is_over() {
    const DELAY: Duration = Duration::from_secs(2);
    let server = CounterServer::start().await;
    let mut gateway = Gateway::with_admin(&[server.uri()], &["--drain-delay=2s"]).await;
    gateway.until_readiness(200, "ready").await;
    let told = Instant::now();
    gateway.process.terminate().await;
    gateway.until_readiness(503, "not ready: the gateway is stopping").await;
    // On a new connection, as from a load balancer that has not noticed yet.
    let client = Raw::new(&gateway.uri());
    let session = client.initialize().await;
    let mut events = client.get_stream(&session).await.unwrap().into_body();
    assert!(told.elapsed() < DELAY, "{:?}", told.elapsed());
    while let Some(frame) = timeout(PATIENCE, events.frame()).await.unwrap() {
        frame.unwrap();
    }
    assert!(told.elapsed() >= DELAY, "listening streams end when others can be opened elsewhere");
    nobody_is_let_in(&gateway).await;
    assert_eq!(gateway.process.wait().await, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_the_drain_delay_too() {
    let backend = Backend::start().await;
    let mut gateway =
        Gateway::start(&backend, &["--drain-delay=1h", "--shutdown-timeout=2h"]).await;
    gateway.process.terminate().await;
    gateway.process.error_line_with("accepting connections for another 1h").await;
    gateway.process.terminate().await;
    assert_eq!(gateway.process.wait().await, Some(143));
}

#[tokio::test]
async fn a_call_that_is_cut_is_told_by_the_exit_status() {
    let backend = Backend::start().await;
    let mut gateway = Gateway::start(&backend, &["--shutdown-timeout=300ms"]).await;
    let client = Raw::new(&gateway.uri());
    let session = client.initialize().await;
    let slow = client.request(Method::POST, Some(&session)).body(call(1, "slow").into()).unwrap();
    let slow = tokio::spawn(async move { client.open(slow).await });
    timeout(PATIENCE, backend.entered.acquire()).await.unwrap().unwrap().forget();
    gateway.process.terminate().await;
    gateway.process.error_line_with("calls were cut, 1 with their connection").await;
    assert_eq!(gateway.process.wait().await, Some(1));
    assert!(timeout(PATIENCE, slow).await.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn a_hangup_is_ignored_with_a_line() {
    let server = CounterServer::start().await;
    let mut gateway = Gateway::before(&[server.uri()], &[]).await;
    for _ in 0..2 {
        gateway.process.signal("HUP").await;
        gateway.process.error_line_with("SIGHUP ignored").await;
    }
    Raw::new(&gateway.uri()).initialize().await;
    gateway.process.terminate().await;
    assert_eq!(gateway.process.wait().await, Some(0));
}

#[tokio::test]
async fn it_is_ready_when_all_backends_were_there_and_stays_so_when_one_fails() {
    let mut server = CounterServer::start().await;
    let mut late = CounterServer::start().await;
    let origins = [server.uri(), late.uri()];
    late.kill().await;
    let gateway = Gateway::with_admin(&origins, &[]).await;
    let missing = format!("not ready: backend {}", origins[1]);
    gateway.until_readiness(503, &missing).await;
    late.restart_empty().await;
    gateway.until_readiness(200, "ready").await;
    server.kill().await;
    let client = Raw::new(&gateway.uri());
    // Wait until the gateway has noticed.
    let degraded = async || {
        client.initialize().await;
        let (status, text) = gateway.readiness().await.unwrap();
        assert_eq!(status, 200);
        text == format!("degraded: backend {} is out of service (unreachable)\n", origins[0])
    };
    eventually("it is degraded", PATIENCE, degraded).await;
}

/// Waits until connections are refused.
async fn nobody_is_let_in(gateway: &Gateway) {
    let address = gateway.address;
    eventually("connections are refused", PATIENCE, || async move {
        TcpStream::connect(address).await.is_err()
    })
    .await;
}

/// This once failed: a line that could not be logged caused a panic in the task that logs, so the gateway did not stop,
/// and lost calls.
#[tokio::test]
async fn it_serves_and_stops_when_nobody_reads_its_log() {
    let server = CounterServer::start().await;
    let mut gateway = crate::fixtures::command()
        .args(["--listen=127.0.0.1:0", "--log=trace", "--drain-delay=0s"])
        .arg(format!("--backend={}", server.uri()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(gateway.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let address = line.strip_prefix("listening on ").unwrap().split(',').next().unwrap();
    let client = Raw::new(address);
    drop((lines, gateway.stderr.take()));

    let id = client.initialize().await;
    assert_eq!(client.increment(&id).await.count(), Some(1));
    signal(gateway.id().unwrap(), "TERM").await;
    let status = timeout(PATIENCE, gateway.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
}
