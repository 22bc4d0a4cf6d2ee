//! The server with a test service, over real sockets.

use std::net::SocketAddr;

use bartizan::core::{Dialect, GuardBody, PeerAddr, UpstreamFailure, failure::FailureKind};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tower::service_fn;

use super::{admission::RequestBody, *};

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(60);

/// Starts a server whose service reads each request body. If it cannot, it reports a failure of its
/// backend, as a simple proxy would.
async fn start(limits: Limits) -> (SocketAddr, CancellationToken, JoinHandle<usize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let service = service_fn(async |request: Request<RequestBody>| {
        let peer = PeerAddr::of(&request).unwrap().addr().unwrap();
        let mut response = match request.into_body().collect().await {
            Ok(_) => Response::new(Full::from(peer.to_string())),
            Err(_) => {
                let mut response = Response::new(Full::from("failed"));
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                let failure = UpstreamFailure::new(FailureKind::Terminated);
                response.extensions_mut().insert(failure);
                response
            }
        };
        response.headers_mut().insert("content-type", "application/json".parse().unwrap());
        Ok(response)
    });
    let serving = spawn(listener, service, limits, None, stop.clone());
    (address, stop, serving)
}

/// Serves on this runtime.
pub(super) fn spawn(
    listener: TcpListener,
    service: impl ServerService + Sync,
    limits: Limits,
    front: Option<Front>,
    stop: CancellationToken,
) -> JoinHandle<usize> {
    tokio::spawn(async move {
        let (workers, listener) = (Workers::here(service), Listener::new(listener, None));
        serve(listener, &workers, limits, front, Records::default(), stop).await
    })
}

/// Sends `text` as it is, and reads until the server closes the connection.
async fn raw(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(LONG, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn a_request_is_served_and_knows_its_peer() {
    let (address, ..) = start(Limits::default()).await;
    let answer = raw(address, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("127.0.0.1:"), "{answer}");
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let (address, ..) = start(Limits { head: SHORT, idle: LONG, ..Limits::default() }).await;
    for head in ["", "P", "GET / HTTP/1.1\r\nhost: a\r\n"] {
        assert_eq!(raw(address, head).await, "", "{head}");
    }
    // The second head of a connection has its own deadline.
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    stream.read_exact(&mut [0; 12]).await.unwrap();
    stream.write_all(b"GET / HTT").await.unwrap();
    let mut rest = String::new();
    timeout(LONG, stream.read_to_string(&mut rest)).await.unwrap().unwrap();
}

/// A connection that looks like HTTP/2 gets no more time to begin than any other.
#[tokio::test]
async fn a_greeting_that_does_not_go_on_ends_the_connection() {
    let (address, ..) = start(Limits { head: SHORT, idle: LONG, ..Limits::default() }).await;
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let as_field = "GET / HTTP/1.1\r\nhost: a\r\nx: ";
    for pieces in [&["PRI * HTTP/2.0\r\n"][..], &[preface], &[as_field, "PRI * HTTP/2.0\r\n"]] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in pieces {
            stream.write_all(piece.as_bytes()).await.unwrap();
            // So that the server reads them one by one.
            sleep(Duration::from_millis(5)).await;
        }
        let ended = timeout(SHORT * 20, stream.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "{pieces:?}");
    }
}

#[tokio::test]
async fn an_idle_connection_ends_after_the_idle_time() {
    let (address, ..) = start(Limits { idle: SHORT, ..Limits::default() }).await;
    let answer = raw(address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_body_that_pauses_is_answered_with_408_and_one_past_its_bound_with_413() {
    let limits = Limits { body_pause: SHORT, body_bytes: Some(10), ..Limits::default() };
    let (address, ..) = start(limits).await;
    let post = "POST / HTTP/1.1\r\nhost: a\r\n";
    for (rest, status) in [
        ("content-length: 10\r\n\r\n123", 408),
        ("content-length: 11\r\n\r\n", 413),
        ("transfer-encoding: chunked\r\n\r\n6\r\n123456\r\n6\r\n123456\r\n", 413),
        ("content-length: 10\r\nconnection: close\r\n\r\n0123456789", 200),
    ] {
        let answer = raw(address, &format!("{post}{rest}")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{rest}: {answer}");
    }
}

/// The response may come first: the rest of the body must not be taken for a slow request head.
#[tokio::test]
async fn a_body_may_go_on_after_its_response() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let service = service_fn(move |request: Request<RequestBody>| {
        let tell = tell.clone();
        async move {
            tokio::spawn(async move {
                let body = request.into_body().collect().await;
                tell.send(body.map(|body| body.to_bytes().len()).ok())
            });
            Ok(Response::new(Full::<Bytes>::default()))
        }
    });
    let limits = Limits { head: SHORT, idle: LONG, ..Limits::default() };
    spawn(listener, service, limits, None, CancellationToken::new());
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    stream.read_exact(&mut [0; 12]).await.unwrap();
    for _ in 0..10 {
        sleep(SHORT / 2).await;
        stream.write_all(b"1\r\nx\r\n").await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(timeout(LONG, told.recv()).await.unwrap().unwrap(), Some(10));
}

#[tokio::test]
async fn a_refusal_of_the_server_is_in_the_form_that_the_client_speaks() {
    let limits = Limits { body_bytes: Some(1), ..Limits::default() };
    for (speaks_mcp, content_type, status, form) in [
        (true, "application/json", 413, "application/json"),
        (false, "application/json", 413, "application/problem+json"),
        (true, "application/grpc", 200, "application/grpc"),
        (false, "application/grpc", 200, "application/grpc"),
    ] {
        let (address, ..) = start(Limits { speaks_mcp, ..limits.clone() }).await;
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-type: {content_type}\r\n");
        let answer = raw(address, &format!("{head}content-length: 2\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains(&format!("content-type: {form}\r\n")), "{answer}");
    }
}

#[tokio::test]
async fn a_head_past_its_bounds_is_answered_with_431() {
    let (address, ..) = start(Limits::default()).await;
    let long = format!("x-long: {}\r\n", "a".repeat(140_000));
    let many = "x-many: a\r\n".repeat(101);
    for fields in [long, many] {
        let answer = raw(address, &format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

#[tokio::test]
async fn http2_is_served_in_clear_text_with_the_same_bounds() {
    let (address, ..) = start(Limits::default()).await;
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.handshake(io).await.unwrap();
    tokio::spawn(connection);
    for (bytes, status) in [(10, 200), (70_000, 431)] {
        let request = Request::post(format!("http://{address}/"))
            .header("x-long", "a".repeat(bytes))
            .body(Full::<Bytes>::from("body"))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), status, "{bytes}");
    }
}

#[tokio::test]
async fn when_it_stops_idle_connections_end_and_calls_past_the_drain_time_are_cut() {
    let (address, stop, serving) = start(Limits { drain: SHORT, ..Limits::default() }).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    idle.read_exact(&mut [0; 12]).await.unwrap();
    let mut busy = TcpStream::connect(address).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    busy.write_all(head).await.unwrap();
    // The service waits for the body.
    busy.read_exact(&mut [0; 12]).await.unwrap();
    stop.cancel();
    assert_eq!(timeout(LONG, serving).await.unwrap().unwrap(), 1);
    let mut rest = Vec::new();
    timeout(LONG, idle.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn connections_that_say_nothing_do_not_hold_up_the_end() {
    let (address, stop, serving) = start(Limits::default()).await;
    let silent = TcpStream::connect(address).await.unwrap();
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    idle.read_exact(&mut [0; 12]).await.unwrap();
    stop.cancel();
    // Less than the timeout of a head.
    let cut = timeout(Duration::from_secs(5), serving).await.unwrap().unwrap();
    assert_eq!(cut, 0);
    drop(silent);
}

/// A handler panics: its request gets a response, and other streams of the connection continue.
#[tokio::test]
async fn a_panic_is_answered_and_the_connection_goes_on() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = service_fn(async |request: Request<RequestBody>| {
        assert!(request.uri().path() != "/panic", "as asked");
        let local = PeerAddr::of(&request).unwrap().local_addr().unwrap();
        Ok::<_, std::convert::Infallible>(Response::new(GuardBody::forwarded(Full::<Bytes>::from(
            local.to_string(),
        ))))
    });
    let refuse_as = Some(Dialect::JsonRpc(None));
    let front = Front { catch_panics: Some(front::CatchPanics { refuse_as }), ..Front::default() };
    let limits = Limits { idle: SHORT, ..Limits::default() };
    spawn(listener, service, limits, Some(front), CancellationToken::new());
    let requests = "GET /panic HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let answer = raw(address, requests).await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(answer.contains(r#"{"jsonrpc":"2.0","error":{"code":-32603,"#), "{answer}");
    assert!(!answer.contains("as asked"), "{answer}");
    // On the same connection, whose state includes the address that accepted it.
    assert!(answer.contains("HTTP/1.1 200 ") && answer.ends_with(&address.to_string()), "{answer}");
}
