//! Two builds of the gateway over one Redis, as in a rolling deploy. `tests/compat/run.sh` builds the other one.

use std::{env, time::Duration};

use bartizan_testkit::{CounterServer, RedisServer, client::Raw, eventually};
use tokio::time::{Instant, sleep};

use crate::fixtures::{Gateway, PATIENCE};

const SESSIONS: usize = 100;
const IDLE: Duration = Duration::from_secs(10);

/// A session and its count.
struct Counted {
    id: String,
    count: i64,
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs another build of the gateway: run tests/compat/run.sh"]
async fn each_build_serves_and_ends_what_the_other_opened() {
    let other = env::var("BARTIZAN_OTHER_GATEWAY").expect("the path of the other build");
    let redis = RedisServer::start().await;
    let servers = CounterServer::start_many(3).await;
    let origins: Vec<_> = servers.iter().map(CounterServer::uri).collect();
    let (store, idle) = (format!("--store={}", redis.url()), format!("--idle={}s", IDLE.as_secs()));
    // No near-cache: the test is about the store.
    let args = [store.as_str(), idle.as_str(), "--near-cache=off"];
    let before = Gateway::run(&[&other], &origins, &args).await;
    let now = Gateway::before(&origins, &args).await;
    let clients = [Raw::new(&before.uri()), Raw::new(&now.uri())];
    let opens =
        async || clients[0].post(None, bartizan_testkit::client::INITIALIZE).await.status == 200;
    eventually("the other build has its store", PATIENCE, opens).await;

    let mut sessions = Vec::new();
    for n in 0..2 * SESSIONS {
        sessions.push(Counted { id: clients[n % 2].initialize().await, count: 0 });
    }
    let (start, mut calls, mut lost) = (Instant::now(), 0, 0);
    while start.elapsed() < 2 * IDLE {
        for (n, session) in sessions.iter_mut().enumerate() {
            // Mostly through the build that did not open it.
            let by = if calls % 5 == 0 { n } else { n + 1 };
            let answer = clients[by % 2].increment(&session.id).await;
            session.count += 1;
            calls += 1;
            lost += usize::from(answer.count() != Some(session.count));
        }
        sleep(Duration::from_millis(500)).await;
    }
    let counted = redis.cli(&["ZCARD", "bartizan:live:{all}"]);
    println!(
        "{} sessions of two builds, {calls} calls in {:?} ({} idle times): {lost} lost; {counted} counted for the cap",
        sessions.len(),
        start.elapsed(),
        2,
    );
    assert_eq!(lost, 0);

    // Each build ends sessions that the other opened.
    let half = sessions.split_off(SESSIONS);
    for (n, session) in half.iter().enumerate() {
        assert!(clients[(n + 1) % 2].delete(Some(&session.id)).await.status.is_success());
        for client in &clients {
            assert_eq!(client.increment(&session.id).await.status, 404);
        }
    }
    // And unused sessions idle out for both.
    sleep(IDLE + Duration::from_secs(1)).await;
    for session in &sessions {
        for client in &clients {
            assert_eq!(client.increment(&session.id).await.status, 404);
        }
    }
    println!(
        "{} ended by the other build, {} idled out: all unknown to both",
        half.len(),
        sessions.len()
    );
}
