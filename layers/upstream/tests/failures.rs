//! The response to a client if a backend does not answer, and that nothing is sent twice.
//!
//! `tests/ROWS.md` explains the names of rows.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

mod common;

use std::{net::SocketAddr, time::Duration};

use bartizan_core::{
    Reason, UpstreamFailure, Work,
    failure::{BodyRefused, FailureKind},
};
use bartizan_testkit::{BoxBody, Recorder, Script, server::boxed};
use bartizan_upstream::Upstream;
use bytes::Bytes;
use common::{Kind, on_each_transport, send, upstream, upstream_by};
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::net::TcpListener;

on_each_transport! {
    a_backend_that_refuses,
    a_backend_that_closes_without_an_answer_has_seen_the_request_once,
    a_request_on_a_kept_connection_is_sent_once_too,
    a_backend_that_never_answers_is_given_up_when_there_is_a_deadline,
    what_is_no_http_is_502,
    a_body_that_breaks_off_breaks_off_for_the_client,
    a_request_past_the_goaway_of_a_backend_was_not_seen_by_it,
    a_silent_http2_backend_is_given_up_when_it_does_not_answer_a_ping,
    a_request_body_that_a_layer_cuts_off_is_answered_for_its_reason,
}

fn request(body: &'static str) -> Request<BoxBody> {
    Request::post("/").body(boxed(Full::from(body))).unwrap()
}

/// An address without a listener.
async fn dead() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap()
}

fn proxy_status(response: &Response<BoxBody>) -> &str {
    response.headers()["proxy-status"].to_str().unwrap()
}

async fn a_backend_that_refuses<T: Kind>() {
    let upstream = upstream_by::<T>(Upstream::builder().proxy_name("gw1".parse().unwrap()));
    let dead = dead().await;
    for origin in [format!("http://{dead}"), format!("h2c://{dead}")] {
        for (work, status) in [(Work::Pinned, 503), (Work::Opening, 502), (Work::Free, 502)] {
            let response = send(&upstream, &origin, work, request("x")).await;
            assert_eq!(response.status(), status, "{origin} {work:?}");
            assert_eq!(proxy_status(&response), "gw1; error=connection_refused");
            let failure = UpstreamFailure::of(&response).unwrap();
            assert_eq!(failure.kind(), FailureKind::Refused);
            assert_eq!(response.headers().contains_key("retry-after"), status == 503);
        }
    }
    let nameless = send(&upstream, "http://no-such-host.invalid:1", Work::Free, request("x")).await;
    assert_eq!(nameless.status(), 502);
    assert_eq!(proxy_status(&nameless), "gw1; error=dns_error");
}

async fn a_backend_that_closes_without_an_answer_has_seen_the_request_once<T: Kind>() {
    let upstream = upstream::<T>();
    for work in [Work::Pinned, Work::Opening, Work::Free] {
        let recorder = Recorder::with(Script::Close).await;
        let response = send(&upstream, &recorder.uri(), work, request("once")).await;
        assert_eq!(response.status(), 502, "{work:?}");
        assert_eq!(proxy_status(&response), "bartizan; error=connection_terminated");
        assert_eq!(UpstreamFailure::of(&response).unwrap().kind(), FailureKind::Terminated);
        assert_eq!(recorder.requests(), 1);
    }
}

/// An idle connection that closes as the next request is written is the case in which HTTP clients usually retry.
async fn a_request_on_a_kept_connection_is_sent_once_too<T: Kind>() {
    for _ in 0..20 {
        let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let backend = tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut seen = 0;
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            // Answers the first request of the connection, and closes on the second.
            for round in 0..2 {
                if stream.read(&mut buffer).await.unwrap() > 0 {
                    seen += 1;
                }
                if round == 0 {
                    stream.write_all(ok).await.unwrap();
                }
            }
            drop(stream);
            // Using another connection would mean sending the request twice.
            let again = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
            (seen, again.is_ok())
        });
        let upstream = upstream::<T>();
        let first = send(&upstream, &origin, Work::Pinned, request("a")).await;
        assert_eq!(first.into_body().collect().await.unwrap().to_bytes(), "ok");
        let second = send(&upstream, &origin, Work::Pinned, request("b")).await;
        assert_eq!(second.status(), 502);
        assert_eq!(backend.await.unwrap(), (2, false));
    }
}

async fn a_backend_that_never_answers_is_given_up_when_there_is_a_deadline<T: Kind>() {
    let recorder = Recorder::with(Script::Hang).await;
    let short = Some(Duration::from_millis(50));
    let opening = upstream_by::<T>(Upstream::builder().opening_timeout(short));
    let response = send(&opening, &recorder.uri(), Work::Opening, request("x")).await;
    assert_eq!(Reason::of(&response), Some(Reason::ResponseTimeout));
    assert_eq!(
        (response.status().as_u16(), proxy_status(&response)),
        (504, "bartizan; error=http_response_timeout")
    );
    // A long call is legal: the timeout for openings does not apply to it.
    let origin = recorder.uri();
    let patient = send(&opening, &origin, Work::Pinned, request("x"));
    assert!(tokio::time::timeout(Duration::from_millis(300), patient).await.is_err());
    let all = upstream_by::<T>(Upstream::builder().response_timeout(short));
    let response = send(&all, &recorder.uri(), Work::Pinned, request("x")).await;
    assert_eq!(response.status(), 504);
}

async fn what_is_no_http_is_502<T: Kind>() {
    for bytes in [
        &b"SSH-2.0-OpenSSH\r\n"[..],
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", // SM-40
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", // SM-36
        b"HTTP/1.1 999999 OK\r\n\r\n",
    ] {
        let recorder = Recorder::with(Script::RespondAndClose(Bytes::from_static(bytes))).await;
        let upstream = upstream::<T>();
        let response = send(&upstream, &recorder.uri(), Work::Free, request("x")).await;
        assert_eq!(response.status(), 502, "{}", String::from_utf8_lossy(bytes));
    }
}

async fn a_body_that_breaks_off_breaks_off_for_the_client<T: Kind>() {
    let short = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort"; // SM-39
    let recorder = Recorder::with(Script::RespondAndClose(Bytes::from_static(short))).await;
    let upstream = upstream::<T>();
    let response = send(&upstream, &recorder.uri(), Work::Free, request("x")).await;
    assert_eq!(response.status(), 200);
    assert!(response.into_body().collect().await.is_err());
}

async fn a_request_body_that_a_layer_cuts_off_is_answered_for_its_reason<T: Kind>() {
    type Failure = Box<dyn std::error::Error + Send + Sync>;
    let recorder = Recorder::with(Script::Hang).await;
    let upstream = upstream::<T>();
    for (failure, status) in [
        (Box::new(BodyRefused::new(Reason::BodyTooLarge)) as Failure, 413),
        (Box::new(BodyRefused::new(Reason::BodyTimeout)), 408),
        ("the client went away".into(), 400),
    ] {
        let frames = stream::iter([Ok(Frame::data(Bytes::from("some"))), Err(failure)]);
        // In one poll, the two would never be sent separately.
        let frames = frames.then(async |frame| {
            tokio::task::yield_now().await;
            frame
        });
        let body = boxed(StreamBody::new(frames));
        let request = Request::post("/").body(body).unwrap();
        let response = send(&upstream, &recorder.uri(), Work::Free, request).await;
        assert_eq!(response.status(), status);
        // It says nothing about the backend.
        assert!(UpstreamFailure::of(&response).is_none());
    }
}

/// Otherwise its connection would accept requests forever.
async fn a_silent_http2_backend_is_given_up_when_it_does_not_answer_a_ping<T: Kind>() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let origin = format!("h2c://{}", listener.local_addr().unwrap());
    let (tell, greeted) = tokio::sync::oneshot::channel();
    let backend = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // Its settings, and that it has seen those of the proxy.
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        stream.write_all(&[0, 0, 0, 4, 1, 0, 0, 0, 0]).await.unwrap();
        let mut seen = Vec::new();
        while !seen.windows(4).any(|part| part == b"once") {
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
        }
        tell.send(()).unwrap();
        while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
    });
    let upstream = upstream::<T>();
    let waiting = tokio::spawn(async move {
        let response = send(&upstream, &origin, Work::Pinned, request("once")).await;
        (response.status(), UpstreamFailure::of(&response).map(UpstreamFailure::kind))
    });
    greeted.await.unwrap();
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let answered = tokio::time::timeout(Duration::from_secs(600), waiting).await;
    assert_eq!(
        answered.unwrap().unwrap(),
        (502.try_into().unwrap(), Some(FailureKind::Terminated))
    );
    assert!(start.elapsed() >= Duration::from_secs(20));
    backend.await.unwrap();
}

/// [RFC 9113 §6.8](https://www.rfc-editor.org/rfc/rfc9113#section-6.8): streams above the last one that it names were
/// not processed. For the others, the outcome is unknown.
async fn a_request_past_the_goaway_of_a_backend_was_not_seen_by_it<T: Kind>() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    for (last_stream, reason, kind) in [
        (0, 0, FailureKind::RefusedStream),
        (1, 0, FailureKind::Terminated),
        (1, 2, FailureKind::Terminated),
    ] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let origin = format!("h2c://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // Its settings, and that it has seen those of the proxy.
            stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
            stream.write_all(&[0, 0, 0, 4, 1, 0, 0, 0, 0]).await.unwrap();
            let mut seen = Vec::new();
            while !seen.windows(4).any(|part| part == b"once") {
                assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
            }
            let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last_stream, 0, 0, 0, reason];
            stream.write_all(&goaway).await.unwrap();
            stream.shutdown().await.unwrap();
            while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
        });
        let response = send(&upstream::<T>(), &origin, Work::Free, request("once")).await;
        assert_eq!(response.status(), 502);
        let failure = UpstreamFailure::of(&response).unwrap();
        assert_eq!(failure.kind(), kind, "{last_stream} {reason}");
    }
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn without_the_feature_there_is_no_tls() {
    let upstream = upstream::<common::Default>();
    let response = send(&upstream, "https://127.0.0.1:1", Work::Free, request("x")).await;
    assert_eq!(Reason::of(&response), Some(Reason::Misconfigured));
}
