//! The answers of another backend to the recorded `initialize`, and of the first one to the lost session.

use std::time::Duration;

use bartizan_testkit::{client::Raw, eventually};
use tokio::time::{Instant, sleep};

use crate::{
    common::resuming,
    scripted::{Opening, Scripted, Unknown},
};

const DEADLINE: Duration = Duration::from_millis(600);

/// A session on the first of two backends, which then stops answering.
async fn lost(
    then: Opening,
    forgets: Option<Unknown>,
) -> (crate::common::Gateway, Raw, String, [Scripted; 2]) {
    let unknown = forgets.unwrap_or(Unknown::NotFound);
    let mut one = Scripted::with(Opening::Good, unknown).await;
    let other = Scripted::start(then).await;
    let (gateway, _) = resuming(&[one.uri()], |layer| layer.timeout(DEADLINE)).await;
    let client = Raw::new(&gateway.uri());
    let id = client.initialize().await;
    gateway.backends.add(other.uri().parse().unwrap());
    match forgets {
        // The other one has fewer sessions, so it is chosen.
        Some(_) => one.forget(),
        None => one.server.kill().await,
    }
    (gateway, client, id, [one, other])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_answer_resumes_the_session_however_it_comes() {
    for opening in [Opening::Good, Opening::GoodAndEndless] {
        let (_gateway, client, id, [_one, other]) = lost(opening, None).await;
        for expected in 1..=3 {
            let answer = client.increment(&id).await;
            assert_eq!(answer.count(), Some(expected), "{opening:?}: {answer:?}");
            assert_eq!(answer.session(), Some(&*id), "the client's id on every response");
        }
        // A server that refuses calls before `initialized` had it first.
        let order: Vec<_> = other.seen().into_iter().map(|seen| seen.body).collect();
        assert!(order[0].windows(12).any(|bytes| bytes == b"\"initialize\""));
        assert!(order[1].windows(11).any(|bytes| bytes == b"initialized"));
        let calls = other.seen().split_off(1);
        assert!(calls.iter().all(|seen| seen.headers["mcp-session-id"] != id.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_answer_ends_the_session_and_an_absent_one_leaves_it() {
    for (opening, status, is_kept) in [
        (Opening::Status(500), 503, true),
        (Opening::Status(429), 503, true),
        (Opening::Status(400), 404, false),
        (Opening::Status(202), 404, false),
        (Opening::RpcError, 404, false),
        (Opening::NoId, 404, false),
        (Opening::OtherVersion, 404, false),
        (Opening::FewerCapabilities, 404, false),
        (Opening::InitializedRefused, 503, true),
        (Opening::NoResultAndEndless, 404, false),
        (Opening::Silent, 503, true),
    ] {
        let (gateway, client, id, [_one, other]) = lost(opening, None).await;
        let start = Instant::now();
        let answer = client.increment(&id).await;
        let took = start.elapsed();
        assert_eq!(answer.status, status, "{opening:?}: {answer:?}");
        assert!(took < DEADLINE * 2, "{opening:?}: {took:?}");
        assert_eq!(gateway.store.len(), usize::from(is_kept), "{opening:?}");
        assert_eq!(other.saw(r#""initialize""#), 1, "{opening:?}: no loop");
        assert_eq!(other.saw("tools/call"), 0, "{opening:?}");
        // Sessions that were opened but not used are ended.
        let ended = || async { other.live() == 0 };
        eventually("no orphan stays", Duration::from_secs(5), ended).await;
        if !is_kept {
            assert_eq!(client.increment(&id).await.status, 404);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_backend_is_asked_and_none_twice() {
    let mut one = Scripted::start(Opening::Good).await;
    let bad = Scripted::start(Opening::Status(500)).await;
    let good = Scripted::start(Opening::Good).await;
    for _ in 0..8 {
        let (gateway, counts) = resuming(&[one.uri()], |layer| layer).await;
        let client = Raw::new(&gateway.uri());
        let id = client.initialize().await;
        for other in [&bad, &good] {
            gateway.backends.add(other.uri().parse().unwrap());
        }
        // Gone from the set, it counts as lost.
        gateway.backends.remove(&one.uri().parse().unwrap());
        assert_eq!(client.increment(&id).await.count(), Some(1));
        assert_eq!(counts.resumed(), 1);
        assert_eq!(gateway.store.len(), 1);
    }
    assert!(bad.seen().len() <= 8 && good.saw(r#""initialize""#) == 8);
    one.server.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_backend_leaves_time_for_the_next() {
    let (silent, good) =
        (Scripted::start(Opening::Silent).await, Scripted::start(Opening::Good).await);
    while silent.seen().is_empty() {
        let one = Scripted::start(Opening::Good).await;
        let (gateway, _) = resuming(&[one.uri()], |layer| layer.timeout(DEADLINE)).await;
        let client = Raw::new(&gateway.uri());
        let id = client.initialize().await;
        for other in [&silent, &good] {
            gateway.backends.add(other.uri().parse().unwrap());
        }
        gateway.backends.remove(&one.uri().parse().unwrap());
        assert_eq!(client.increment(&id).await.count(), Some(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_forgot_the_session_says_so_in_its_own_words() {
    for unknown in [
        Unknown::NotFound,
        Unknown::BadRequest("Bad Request: Server not initialized"),
        Unknown::BadRequest("Bad Request: No valid session ID provided"),
    ] {
        let (_gateway, client, id, [one, other]) = lost(Opening::Good, Some(unknown)).await;
        assert_eq!(client.increment(&id).await.count(), Some(1), "{unknown:?}");
        assert_eq!((one.saw("tools/call"), other.saw("tools/call")), (1, 1));
    }
    // Any other 400 concerns only the client.
    let words = Unknown::BadRequest("Bad Request: the weather");
    let (gateway, client, id, [_one, other]) = lost(Opening::Good, Some(words)).await;
    let answer = client.increment(&id).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("the weather"), "passed on whole");
    assert_eq!((other.seen().len(), gateway.store.len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_was_not_kept_is_not_sent_again_and_the_next_one_goes_through() {
    let (gateway, client, id, [_one, other]) = lost(Opening::Good, Some(Unknown::NotFound)).await;
    let large = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":"{}"}}"#,
        "x".repeat(100_000)
    );
    let answer = client.post(Some(&id), large.clone()).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!((other.saw("tools/call"), gateway.store.len()), (0, 1));
    assert_eq!(client.post(Some(&id), large).await.count(), Some(1));
    // A large body that no backend has begun to read is still complete.
    let (_gateway, client, id, _backends) = lost(Opening::Good, None).await;
    let large = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":"{}"}}"#,
        "x".repeat(100_000)
    );
    assert_eq!(client.post(Some(&id), large).await.count(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_lost_server_would_understand_is_not_told_to_another() {
    for message in [
        r#"{"jsonrpc":"2.0","id":1,"result":{"roots":[]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"no"}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#,
    ] {
        for forgets in [None, Some(Unknown::NotFound)] {
            let (_gateway, client, id, [_one, other]) = lost(Opening::Good, forgets).await;
            let answer = client.post(Some(&id), message).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (202, 0), "{message}");
            assert_eq!(other.seen().len(), 2, "the handshake, and nothing else: {message}");
            assert_eq!(client.increment(&id).await.count(), Some(1));
        }
    }
    // Any other notification is sent again.
    let (_gateway, client, id, [_one, other]) = lost(Opening::Good, None).await;
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#;
    client.post(Some(&id), progress).await;
    assert_eq!(other.saw("list_changed"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_is_not_resumed() {
    let mut one = Scripted::start(Opening::Good).await;
    let other = Scripted::start(Opening::Good).await;
    let (gateway, _) = resuming(&[one.uri()], |layer| layer.record_limit(64)).await;
    let client = Raw::new(&gateway.uri());
    let id = client.initialize().await;
    assert_eq!(client.increment(&id).await.count(), Some(1));
    gateway.backends.add(other.uri().parse().unwrap());
    one.server.kill().await;
    assert_eq!(client.increment(&id).await.status, 503);
    assert!(other.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_does_not_end_the_attempt() {
    let (gateway, client, id, [_one, other]) = lost(Opening::Good, None).await;
    // Cancelled at some point.
    for wait in [0, 1, 2, 5] {
        let call = client.try_increment(&id);
        let _ = tokio::time::timeout(Duration::from_millis(wait), call).await;
    }
    sleep(Duration::from_millis(50)).await;
    assert!(client.increment(&id).await.count().is_some());
    assert_eq!((other.live(), gateway.store.len()), (1, 1), "one session, whoever opened it");
}
