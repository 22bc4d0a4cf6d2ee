//! Request smuggling over raw sockets, with a backend that records every byte ([RFC 9112
//! §11](https://www.rfc-editor.org/rfc/rfc9112#section-11)). Each row states what hyper's parser decides.
//!
//! `tests/ROWS.md` explains the names of rows.

use std::time::Duration;

use bartizan_testkit::{Recorder, Script, raw};
use bytes::Bytes;

use crate::fixtures::Gateway;

/// How long the test waits on a silent connection.
const QUIET: Duration = Duration::from_millis(300);

/// Refused with 400, and no byte reaches a backend.
const REFUSED: &[(&str, &[u8])] = &[
    ("SM-3a", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"),
    ("SM-3b", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"),
    ("SM-4", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    ("SM-5a", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("SM-5b", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    ("SM-5c", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    ("SM-6", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    ("SM-7", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n"),
    ("SM-8", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    ("SM-9a", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello"),
    ("SM-10a", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello"),
    ("SM-10b", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nhello"),
    ("SM-10c", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\nhello"),
    ("SM-10d", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello"),
    ("SM-10e", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5;\r\n\r\nhello"),
    ("SM-10f", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\nhello"),
    ("SM-11", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\nhello"),
    ("SM-12", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("SM-14a", b"GET / HTTP/1.1\r\n\r\n"),
    ("SM-14b", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("SM-14c", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    ("SM-14d", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    ("SM-16", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"),
    ("SM-17a", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"),
    ("SM-17c", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
    ("SM-18", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    ("SM-19a", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("SM-19b", b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n"),
    ("SM-19c", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    ("target, star", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("target, scheme", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("target, host", b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
];

/// Refused with 400 for what follows a valid head: a backend may have seen the beginning of the request, but never its
/// end.
const BROKEN: &[(&str, &[u8])] = &[
    ("SM-20", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n"),
    ("SM-21a", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"),
    ("SM-21b", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n"),
    ("SM-21d", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-0\r\n\r\n"),
    ("SM-21e", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n"),
    ("SM-22", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n"),
    ("SM-23", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n"),
];

/// Forwarded as exactly these bytes.
const FORWARDED: &[(&str, &[u8], &str)] = &[
    // Transfer-Encoding wins, Content-Length is removed, and the connection is closed afterwards.
    ("SM-1", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("SM-2", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", "transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    // Equal lines are merged into one.
    ("SM-9b", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "content-length: 5\r\n\r\nhello"),
    // The body stays a body.
    ("SM-13", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n", "content-length: 30\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n"),
    ("SM-15", b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\n"),
    // hyper accepts a bare LF as the end of a line; the forwarded request has two lines that end in
    // CRLF.
    ("SM-17b", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\nY: b\r\n\r\n", "x: a\r\ny: b\r\n\r\n"),
    // hyper accepts a space after the size of a chunk; the forwarded body is framed again.
    ("SM-21c", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ("SM-45", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\n"),
];

async fn before(recorder: &Recorder) -> Gateway {
    Gateway::before(&[recorder.uri()], &["--session-header=x-s"]).await
}

#[tokio::test]
async fn what_is_refused_reaches_no_backend() {
    let recorder = Recorder::start().await;
    let gateway = before(&recorder).await;
    for (row, bytes) in REFUSED {
        let reply = raw::exchange(gateway.address, bytes, QUIET).await;
        assert_eq!(reply.statuses(), [400], "{row}: {}", reply.text());
        // Our own refusals keep the connection open; the parser's close it.
        assert!(reply.closed || row.starts_with("SM-14") || row.starts_with("target"), "{row}");
    }
    assert_eq!(recorder.text(), "");
}

/// The backend would get the encoded bytes without the field that names the coding.
#[tokio::test]
async fn a_coding_that_would_be_lost_is_refused() {
    let recorder = Recorder::start().await;
    let gateway = before(&recorder).await;
    for coding in ["gzip, chunked", "gzip\r\nTransfer-Encoding: chunked"] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        );
        let reply = raw::exchange(gateway.address, request.as_bytes(), QUIET).await;
        assert_eq!(reply.statuses(), [501], "{coding}: {}", reply.text());
    }
    assert_eq!(recorder.text(), "");
}

#[tokio::test]
async fn a_length_that_a_backend_repeats_is_passed_on_once() {
    for (lengths, status) in [
        ("content-length: 2, 2", 200),
        ("content-length: 2\r\ncontent-length: 2", 200),
        ("content-length: 2, 3", 502),
        ("content-length: +2", 502),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{lengths}\r\n\r\nok");
        let recorder = Recorder::with(Script::Respond(Bytes::from(answer))).await;
        let gateway = before(&recorder).await;
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nconnection: close\r\n\r\n";
        let reply = raw::exchange(gateway.address, request, QUIET).await;
        let text = reply.text();
        assert_eq!(reply.statuses(), [status], "{lengths}: {text}");
        assert_eq!(text.matches("content-length: ").count(), 1, "{lengths}: {text}");
        assert_eq!(text.contains("content-length: 2\r\n"), status == 200, "{lengths}: {text}");
    }
}

#[tokio::test]
async fn a_path_that_leads_out_of_metadata_needs_a_session() {
    let recorder = Recorder::start().await;
    let gateway = Gateway::before(&[recorder.uri()], &[]).await;
    let get = async |path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
        raw::exchange(gateway.address, head.as_bytes(), QUIET).await.status()
    };
    for path in ["/.well-known/../mcp", "/.well-known/%2e%2e/mcp", "/.well-known/..%2fmcp"] {
        assert_eq!(get(path).await, Some(405), "{path}");
    }
    assert_eq!(recorder.text(), "");
    assert_eq!(get("/.well-known/oauth-protected-resource/mcp").await, Some(200));
}

#[tokio::test]
async fn a_body_in_a_broken_shape_has_no_end() {
    for (row, bytes) in BROKEN {
        let recorder = Recorder::start().await;
        let gateway = before(&recorder).await;
        let reply = raw::exchange(gateway.address, bytes, QUIET).await;
        assert!(reply.closed && reply.statuses().len() < 2, "{row}: {}", reply.text());
        assert!(!recorder.text().contains("0\r\n\r\n"), "{row}: {}", recorder.text());
        assert!(recorder.requests() < 2, "{row}");
    }
}

/// The same bytes, except for the fields in which a proxy describes itself and the client.
fn without_marks(text: &str) -> String {
    let marks = [
        "via: ",
        "x-forwarded-for: ",
        "x-forwarded-host: ",
        "x-forwarded-proto: ",
        "x-hop-count: ",
    ];
    let lines = text.split_inclusive("\r\n");
    lines.filter(|line| !marks.iter().any(|mark| line.starts_with(mark))).collect()
}

#[tokio::test]
async fn what_is_let_through_is_one_request_in_one_shape() {
    for (row, bytes, end) in FORWARDED {
        let recorder = Recorder::start().await;
        let gateway = before(&recorder).await;
        let reply = raw::exchange(gateway.address, bytes, QUIET).await;
        assert_eq!(reply.statuses(), [200], "{row}");
        let seen = without_marks(&recorder.text());
        let first = seen.split(' ').next().unwrap();
        let head = format!("{first} / HTTP/1.1\r\nhost: {}\r\n", recorder.addr);
        assert!(seen.starts_with(&head), "{row}: {seen}");
        assert!(seen.ends_with(end), "{row}: {seen}");
        assert_eq!(seen.to_lowercase().matches("host: 127").count(), 1, "{row}");
        assert!(!(seen.contains("content-length") && seen.contains("transfer-encoding")), "{row}");
        if matches!(*row, "SM-1" | "SM-2") {
            assert!(reply.closed, "{row}");
        }
    }
}

#[tokio::test]
async fn a_protocol_that_is_not_relayed_opens_no_tunnel() {
    let recorder = Recorder::start().await;
    let gateway = before(&recorder).await;
    let smuggled = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"; // SM-41
    let reply = raw::exchange(gateway.address, smuggled, QUIET).await;
    assert_eq!(reply.status(), Some(200), "{}", reply.text());
    assert!(reply.closed);
    assert_eq!(recorder.requests(), 1);
    assert!(!recorder.text().contains("PRI"));
}

#[tokio::test]
async fn a_chunk_extension_without_end_is_refused() {
    let recorder = Recorder::start().await;
    let gateway = before(&recorder).await;
    let mut bytes = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;".to_vec();
    bytes.extend(vec![b'a'; 1 << 20]); // SM-24
    bytes.extend(b"\r\nhello\r\n0\r\n\r\n");
    let reply = raw::exchange(gateway.address, &bytes, QUIET).await;
    assert!(reply.closed);
    assert!(reply.statuses().iter().all(|status| *status == 400), "{}", reply.text());
    assert!(!recorder.text().contains("hello"));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_ended_for_the_backend() {
    let recorder = Recorder::with(Script::Hang).await;
    let gateway = before(&recorder).await;
    let mut stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    let cut =
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"; // SM-25
    tokio::io::AsyncWriteExt::write_all(&mut stream, cut).await.unwrap();
    let seen = || async { recorder.text().contains("hello") };
    bartizan_testkit::eventually("the body is on its way", Duration::from_secs(5), seen).await;
    drop(stream);
    let reply = raw::exchange(gateway.address, b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n", QUIET);
    reply.await;
    assert!(!recorder.text().contains("\r\n0\r\n\r\n"), "{}", recorder.text());
}

#[tokio::test]
async fn pipelined_requests_are_answered_one_by_one() {
    // The first is refused early, with its body unread (SM-33).
    let recorder = Recorder::start().await;
    let options = ["--session-header=x-s", "--max-body=10"];
    let gateway = Gateway::before(&[recorder.uri()], &options).await;
    let two = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let reply = raw::exchange(gateway.address, two, QUIET).await;
    assert_eq!(reply.statuses(), [413]);
    assert!(!recorder.text().contains("smuggled"));
}

#[tokio::test]
async fn what_a_backend_smuggles_does_not_reach_the_next_response() {
    for (row, answer, statuses) in [
        ("SM-35", &b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"[..], &[200, 502][..]),
        ("SM-36", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", &[502]),
        ("SM-37", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", &[200]),
        ("SM-38", b"HTTP/1.1 204 No Content\r\n\r\nevil", &[204]),
    ] {
        let recorder = Recorder::with(Script::Respond(Bytes::from_static(answer))).await;
        let gateway = before(&recorder).await;
        for _ in 0..3 {
            let request = b"GET / HTTP/1.1\r\nHost: a\r\nconnection: close\r\n\r\n";
            let reply = raw::exchange(gateway.address, request, QUIET).await;
            let status = reply.status().unwrap();
            assert!(statuses.contains(&status), "{row}: {}", reply.text());
            assert_eq!(reply.statuses().len(), 1, "{row}");
            assert!(!reply.text().contains("evil"), "{row}: {}", reply.text());
            assert!(!reply.text().contains("content-length: 3"), "{row}: {}", reply.text());
        }
    }
}
