//! Clients and backends that do not read, connections above the limit, and requests that are cancelled.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bartizan_testkit::{raw, serve, server::boxed};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use hyper::client::conn::http2::Builder;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use crate::fixtures::{Gateway, PATIENCE};

/// Larger than all socket buffers on the way.
const LARGE: usize = 64 << 20;

async fn connect(gateway: &Gateway, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_client_that_does_not_read_its_response_is_given_up() {
    let backend = serve(async |_| Response::new(boxed(Full::from(vec![b'x'; LARGE])))).await;
    let gateway = Gateway::before(&[backend.uri()], &["--stall-timeout=300ms"]).await;
    let mut client = connect(&gateway, "GET /file HTTP/1.1\r\nhost: a\r\n\r\n").await;
    sleep(Duration::from_millis(1500)).await;
    let mut received = Vec::new();
    // Broken off, or reset.
    let _ = timeout(PATIENCE, client.read_to_end(&mut received)).await.unwrap();
    assert!(received.starts_with(b"HTTP/1.1 200") && received.len() < LARGE, "{}", received.len());
    // A client that reads gets all of it.
    let close = "GET /file HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let mut client = connect(&gateway, close).await;
    let mut received = Vec::new();
    timeout(PATIENCE, client.read_to_end(&mut received)).await.unwrap().unwrap();
    assert!(received.len() > LARGE);
}

#[tokio::test]
async fn a_backend_that_takes_no_upload_is_answered_for_with_504() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let gateway = Gateway::before(&[origin], &["--stall-timeout=300ms"]).await;
    let head = format!("POST /file HTTP/1.1\r\nhost: a\r\ncontent-length: {LARGE}\r\n\r\n");
    let mut client = connect(&gateway, &head).await;
    let (mut reading, mut writing) = client.split();
    let upload = async {
        let piece = [b'x'; 65_536];
        while writing.write_all(&piece).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    let mut status = [0; 12];
    tokio::select! {
        read = timeout(PATIENCE, reading.read_exact(&mut status)) => { read.unwrap().unwrap(); }
        () = upload => {}
    }
    assert_eq!(&status, b"HTTP/1.1 504");
}

#[tokio::test]
async fn past_the_bound_an_idle_connection_makes_room() {
    let backend = serve(async |_| Response::new(boxed(Full::from("ok")))).await;
    let gateway = Gateway::before(&[backend.uri()], &["--max-connections=2"]).await;
    let request = "GET /file HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut connections = Vec::new();
    for _ in 0..10 {
        let mut stream = connect(&gateway, request).await;
        timeout(PATIENCE, stream.read_exact(&mut [0; 12])).await.unwrap().unwrap();
        connections.push(stream);
    }
    timeout(PATIENCE, connections[0].read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    let last = connections.last_mut().unwrap();
    last.write_all(request.as_bytes()).await.unwrap();
    timeout(PATIENCE, last.read_exact(&mut [0; 12])).await.unwrap().unwrap();
}

/// A backend that answers each request after 10 ms, and counts its connections.
async fn counted_backend() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                    sleep(Duration::from_millis(10)).await;
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (origin, connections)
}

#[tokio::test]
async fn a_client_that_resets_its_streams_makes_few_connections_and_is_expelled() {
    let (origin, connections) = counted_backend().await;
    for (args, survives) in [(&[][..], false), (&["--trust=127.0.0.1"], true)] {
        let gateway = Gateway::before(std::slice::from_ref(&origin), args).await;
        let before = connections.load(Ordering::SeqCst);
        let io = TokioIo::new(TcpStream::connect(gateway.address).await.unwrap());
        let (mut sender, connection) =
            Builder::new(TokioExecutor::new()).handshake(io).await.unwrap();
        let connection = tokio::spawn(connection);
        for _ in 0..150 {
            if sender.ready().await.is_err() {
                break;
            }
            let request = Request::get(format!("{}/file", gateway.uri()));
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            let response = sender.send_request(request);
            // Cancelled, unless the gateway has already ended the connection.
            let response = timeout(Duration::from_millis(2), response).await;
            assert!(!matches!(response, Ok(Ok(_))));
        }
        let made = connections.load(Ordering::SeqCst) - before;
        assert!(made < 40, "{made} connections to the backend");
        if survives {
            assert!(timeout(Duration::from_millis(200), connection).await.is_err());
        } else {
            let error = timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap_err();
            assert!(format!("{error:?}").contains("ENHANCE_YOUR_CALM"), "{error:?}");
        }
    }
}

#[tokio::test]
async fn the_admin_port_is_read_only() {
    let backend = serve(async |_| Response::new(boxed(Full::from("ok")))).await;
    let gateway = Gateway::with_admin(&[backend.uri()], &[]).await;
    let address = gateway.admin_uri().strip_prefix("http://").unwrap().parse().unwrap();
    for (method, status) in [("GET", 200), ("HEAD", 200), ("POST", 405), ("DELETE", 405)] {
        let request = format!("{method} /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let reply = raw::exchange(address, request.as_bytes(), PATIENCE).await;
        assert_eq!(reply.status(), Some(status), "{}", reply.text());
    }
}
