//! Health and readiness, on a port of their own.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 |
//! | `/readyz` | 200 while the store answers and the gateway is not leaving, else 503 |
//! | any other | 404 |
//!
//! A method other than GET and HEAD gets 405, a head of more than 8 KiB (up to twice that may pass) 431. Past 64
//! connections, the next one waits.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::ALLOW};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};

const HEAD_BYTES: usize = 8 * 1024;
const MAX_CONNECTIONS: usize = 64;

/// Answers for as long as the process lives.
pub(crate) async fn serve(listener: TcpListener, is_ready: Arc<dyn Fn() -> bool + Send + Sync>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let is_ready = Arc::clone(&is_ready);
        let answer = service_fn(move |request: Request<Incoming>| {
            let response = respond(request.method(), request.uri().path(), &*is_ready);
            async move { Ok::<_, Infallible>(response) }
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
        builder.max_buf_size(HEAD_BYTES);
        let connection = builder.serve_connection(TokioIo::new(stream), answer);
        // An error ends this connection only.
        tokio::spawn(async move {
            let _ = connection.await;
            drop(place);
        });
    }
}

fn respond(
    method: &Method,
    path: &str,
    is_ready: &(dyn Fn() -> bool + Send + Sync),
) -> Response<Full<Bytes>> {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let (status, text) = match path {
        _ if !is_read => (StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n"),
        "/healthz" => (StatusCode::OK, "ok\n"),
        "/readyz" if is_ready() => (StatusCode::OK, "ready\n"),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        _ => (StatusCode::NOT_FOUND, "/healthz and /readyz are here\n"),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    if !is_read {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        time::timeout,
    };

    use super::*;

    #[test]
    fn readiness_is_told_and_health_is_apart_from_it() {
        for (method, path, ready, status) in [
            (Method::GET, "/healthz", true, 200),
            (Method::GET, "/healthz", false, 200),
            (Method::GET, "/readyz", true, 200),
            (Method::HEAD, "/readyz", true, 200),
            (Method::GET, "/readyz", false, 503),
            (Method::GET, "/", true, 404),
            (Method::POST, "/readyz", true, 405),
            (Method::DELETE, "/", true, 405),
        ] {
            let response = respond(&method, path, &move || ready);
            assert_eq!(response.status(), status, "{method} {path} {ready}");
            assert_eq!(response.headers().contains_key(ALLOW), status == 405);
        }
    }

    /// Sends `request` and reads the status, unless none comes soon.
    async fn ask(address: SocketAddr, request: &str) -> Option<(TcpStream, String)> {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(request.as_bytes()).await;
        let mut status = [0; 12];
        let read = timeout(Duration::from_millis(500), stream.read_exact(&mut status)).await;
        read.ok()?.unwrap();
        Some((stream, String::from_utf8_lossy(&status[9..]).into_owned()))
    }

    #[tokio::test]
    async fn heads_and_connections_are_bounded() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, Arc::new(|| true)));
        let get = "GET /readyz HTTP/1.1\r\nhost: a\r\n";
        for (field_bytes, status) in [(7_000, "200"), (20_000, "431")] {
            let request = format!("{get}x: {}\r\n\r\n", "a".repeat(field_bytes));
            assert_eq!(ask(address, &request).await.unwrap().1, status);
        }
        let mut open = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            open.push(ask(address, &format!("{get}\r\n")).await.unwrap());
        }
        assert!(ask(address, &format!("{get}\r\n")).await.is_none());
        drop(open);
        assert_eq!(ask(address, &format!("{get}\r\n")).await.unwrap().1, "200");
    }
}
