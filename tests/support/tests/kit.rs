//! The parts that are independent of MCP.

use std::{future::ready, io::ErrorKind, time::Duration};

use bartizan_testkit::{Recorder, Script, eventually, process::Process, raw, serve, server::boxed};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const PATIENCE: Duration = Duration::from_secs(10);
const GET: &[u8] = b"GET /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn the_recorder_keeps_every_byte_of_each_connection() {
    let recorder = Recorder::start().await;
    let bytes = b"POST /p HTTP/1.1\r\nX-Odd:  Case \r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    let reply = raw::exchange_and_finish(recorder.addr, bytes, PATIENCE).await;
    assert_eq!((reply.statuses(), reply.closed), (vec![200], true), "a body is no request");
    raw::exchange_and_finish(recorder.addr, GET, PATIENCE).await;
    assert_eq!(recorder.connections(), [&bytes[..], GET]);
    let silent = TcpStream::connect(recorder.addr).await.unwrap();
    eventually("a silent one counts too", PATIENCE, || ready(recorder.accepted() == 3)).await;
    drop(silent);
    assert_eq!((recorder.connections().len(), recorder.requests()), (2, 2));
}

#[tokio::test]
async fn the_recorder_answers_by_its_script() {
    let cut = Bytes::from_static(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort");
    let truncated = Recorder::with(Script::RespondAndClose(cut.clone())).await;
    let reply = raw::exchange(truncated.addr, GET, PATIENCE).await;
    assert_eq!((reply.bytes, reply.closed), (cut.to_vec(), true));

    let closed = Recorder::with(Script::Close).await;
    let reply = raw::exchange(closed.addr, GET, PATIENCE).await;
    assert!(reply.bytes.is_empty() && reply.closed);

    let reset = Recorder::with(Script::Reset).await;
    let mut stream = TcpStream::connect(reset.addr).await.unwrap();
    stream.write_all(GET).await.unwrap();
    let error = stream.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    let hung = Recorder::with(Script::Hang).await;
    let reply = raw::exchange(hung.addr, GET, Duration::from_millis(50)).await;
    assert!(reply.bytes.is_empty() && !reply.closed);
    assert_eq!(hung.connections(), [GET]);
}

#[tokio::test]
async fn a_closure_serves_both_versions_with_trailers() {
    let server = serve(|request: Request<_>| async move {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-end", "1".parse().unwrap());
        let body = Full::new(Bytes::from(format!("{:?}", request.version())));
        let mut response = Response::new(boxed(body.with_trailers(ready(Some(Ok(trailers))))));
        if request.version() == Version::HTTP_11 {
            // Only after chunks, only what was announced, and only to a client that asks.
            response.headers_mut().insert("transfer-encoding", "chunked".parse().unwrap());
            response.headers_mut().insert("trailer", "x-end".parse().unwrap());
        }
        response
    })
    .await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let client = Client::builder(TokioExecutor::new())
            .http2_only(version == Version::HTTP_2)
            .build_http::<Full<Bytes>>();
        let request = Request::get(server.uri()).version(version).header("te", "trailers");
        let response = client.request(request.body(Full::default()).unwrap()).await.unwrap();
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["x-end"], "1");
        assert_eq!(body.to_bytes(), format!("{version:?}"));
    }
}

#[tokio::test]
async fn a_program_is_read_asked_to_leave_and_waited_for() {
    let script = "trap 'echo bye; exit 3' TERM; echo ready >&2; echo one; echo two; \
                  while :; do sleep 0.01; done";
    let mut program = Process::start("sh", &["-c", script]);
    assert_eq!(program.line_with("tw").await, "two");
    assert_eq!(program.error_line_with("ready").await, "ready");
    assert!(program.wait_exit(Duration::ZERO).await.is_none());
    program.terminate().await;
    assert_eq!(program.line_with("bye").await, "bye");
    assert_eq!(program.wait().await, Some(3));
}

#[tokio::test]
async fn a_dropped_program_is_killed() {
    let mut program =
        Process::start("sh", &["-c", "trap '' TERM; echo ready; while :; do sleep 0.01; done"]);
    program.line_with("ready").await;
    let id = program.id().to_string();
    drop(program);
    eventually("it is gone", PATIENCE, || async {
        let alive = tokio::process::Command::new("kill").args(["-0", &id]).output().await.unwrap();
        !alive.status.success()
    })
    .await;
}

#[tokio::test]
#[should_panic(expected = "not within 20ms: never")]
async fn what_does_not_happen_fails_the_test() {
    eventually("never", Duration::from_millis(20), || ready(false)).await;
}
