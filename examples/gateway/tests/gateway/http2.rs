//! Malformed HTTP/2 requests ([RFC 9113 §8.1.1](https://www.rfc-editor.org/rfc/rfc9113#section-8.1.1)), as hand-written
//! frames, because no client library would send them.
//!
//! `tests/ROWS.md` explains the names of rows.

use std::{net::SocketAddr, time::Duration};

use bartizan_testkit::Recorder;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::fixtures::Gateway;

const HEADERS: u8 = 1;
const DATA: u8 = 0;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame of stream 1 (or 0) on the wire.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags, 0, 0, 0, stream]);
    bytes.extend(payload);
    bytes
}

/// Header fields as literals without indexing and without Huffman coding (RFC 7541 §6.2.2).
fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.bytes());
        }
    }
    block
}

/// The outcome of stream 1.
#[derive(Debug, PartialEq)]
enum Outcome {
    Status(u16),
    Reset,
    GoAway,
    Nothing,
}

/// Sends `frames` after the preface and reads until stream 1 gets a response or is reset. Every response of the gateway
/// has a status that the static table holds or that is sent as a literal.
async fn outcome(addr: SocketAddr, frames: &[Vec<u8>]) -> Outcome {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    bytes.extend(frames.concat());
    stream.write_all(&bytes).await.unwrap();
    let read = async {
        loop {
            let mut head = [0; 9];
            if stream.read_exact(&mut head).await.is_err() {
                return Outcome::GoAway;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            stream.read_exact(&mut payload).await.unwrap();
            match (head[3], head[8]) {
                (HEADERS, 1) => return Outcome::Status(status(&payload)),
                (RST_STREAM, 1) => return Outcome::Reset,
                (GOAWAY, _) => return Outcome::GoAway,
                _ => {}
            }
        }
    };
    timeout(Duration::from_secs(5), read).await.unwrap_or(Outcome::Nothing)
}

/// The status at the start of a header block (RFC 7541 appendix A: 8 to 14).
fn status(block: &[u8]) -> u16 {
    match block[0] {
        0x88 => 200,
        0x89 => 204,
        0x8c => 400,
        0x8d => 404,
        0x8e => 500,
        _ => 0,
    }
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a")];

fn head(fields: &[(&str, &str)], end: bool) -> Vec<u8> {
    let flags = END_HEADERS | if end { END_STREAM } else { 0 };
    frame(HEADERS, flags, 1, &literals(fields))
}

fn get_with(field: (&'static str, &'static str)) -> Vec<Vec<u8>> {
    let fields: Vec<_> = GET.into_iter().chain([field]).collect();
    vec![head(&fields, true)]
}

#[tokio::test]
async fn the_frames_of_this_test_are_understood() {
    let recorder = Recorder::start().await;
    let gateway = Gateway::before(&[recorder.uri()], &["--session-header=x-s"]).await;
    let by_host = [&GET[..3], &[("host", "a")]].concat();
    for frames in
        [get_with(("x-kept", "1")), get_with(("te", "trailers")), vec![head(&by_host, true)]]
    {
        assert_eq!(outcome(gateway.address, &frames).await, Outcome::Status(200));
    }
    let data = [head(&POST, false), frame(DATA, END_STREAM, 1, b"hello")];
    assert_eq!(outcome(gateway.address, &data).await, Outcome::Status(200));
    assert_eq!(recorder.requests(), 4);
    assert!(recorder.text().contains("x-kept: 1"));
}

#[tokio::test]
async fn a_length_that_is_repeated_goes_on_as_one() {
    let recorder = Recorder::start().await;
    let gateway = Gateway::before(&[recorder.uri()], &["--session-header=x-s"]).await;
    let twice = [POST.as_slice(), &[("content-length", "5"), ("content-length", "5")]].concat();
    let frames = [head(&twice, false), frame(DATA, END_STREAM, 1, b"hello")];
    assert_eq!(outcome(gateway.address, &frames).await, Outcome::Status(200));
    let text = recorder.text();
    assert_eq!(text.matches("content-length: 5\r\n").count(), 1, "{text}");
    assert!(!text.contains("transfer-encoding"), "{text}");
}

#[tokio::test]
async fn malformed_requests_over_http2_reach_no_backend() {
    let length = [POST.as_slice(), &[("content-length", "5")]].concat();
    let paths = |path: &'static str| {
        [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a")]
    };
    let rows: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("SM-26", get_with(("transfer-encoding", "chunked"))),
        ("SM-28", get_with(("x", "a\r\nhost: evil"))),
        ("SM-29 colon", get_with(("x:y", "1"))),
        ("SM-29 space", get_with(("x y", "1"))),
        ("SM-29 upper", get_with(("X-Y", "1"))),
        ("target, star", vec![head(&paths("*"), true)]),
        ("SM-30", vec![head(&paths("/ HTTP/1.1\r\nx: y"), true)]),
        ("SM-31", get_with(("host", "b"))),
        ("no host", vec![head(&GET[..3], true)]),
        ("SM-32 two", get_with((":path", "/other"))),
        ("SM-32 order", vec![head(&[&[("x", "1")], GET.as_slice()].concat(), true)]),
        ("HB-23", get_with(("connection", "x"))),
        ("HB-24", get_with(("te", "gzip"))),
    ];
    for (row, frames) in rows {
        let recorder = Recorder::start().await;
        let gateway = Gateway::before(&[recorder.uri()], &["--session-header=x-s"]).await;
        let outcome = outcome(gateway.address, &frames).await;
        assert!(
            matches!(outcome, Outcome::Reset | Outcome::GoAway | Outcome::Status(400)),
            "{row}: {outcome:?} {}",
            recorder.text()
        );
        assert_eq!(recorder.text(), "", "{row}");
    }
    // SM-27: more data than was declared. The declared part may have been forwarded, but not the
    // surplus.
    let recorder = Recorder::start().await;
    let gateway = Gateway::before(&[recorder.uri()], &["--session-header=x-s"]).await;
    let surplus = [head(&length, false), frame(DATA, END_STREAM, 1, b"helloevils")];
    let outcome = outcome(gateway.address, &surplus).await;
    assert!(matches!(outcome, Outcome::Reset | Outcome::GoAway), "SM-27: {outcome:?}");
    assert!(!recorder.text().contains("evil"), "{}", recorder.text());
}
