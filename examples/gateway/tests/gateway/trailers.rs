//! Trailers from client to backend and back ([RFC 9110
//! §6.5](https://www.rfc-editor.org/rfc/rfc9110#section-6.5), [RFC 9112
//! §7.1.2](https://www.rfc-editor.org/rfc/rfc9112#section-7.1.2)).

use std::convert::Infallible;

use bartizan_testkit::{BoxBody, Server, serve, server::boxed};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, time::timeout};

use crate::fixtures::{Gateway, PATIENCE};

fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let field = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    fields.iter().map(field).collect()
}

fn with_trailers(trailers: HeaderMap) -> BoxBody {
    let frames = [Frame::data(Bytes::from_static(b"data")), Frame::trailers(trailers)];
    boxed(StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>))))
}

/// Reports in a field which trailers of the request it has seen. It announces its own trailers, except at `/silent`;
/// gRPC does not announce trailers, either.
async fn backend() -> Server {
    serve(async |request: Request<Incoming>| {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap();
        let seen = body.trailers().and_then(|trailers| trailers.get("x-sum").cloned());
        let is_grpc =
            head.headers.get("content-type").is_some_and(|kind| kind == "application/grpc");
        let sent = if is_grpc {
            fields(&[("grpc-status", "0"), ("grpc-message", "fine")])
        } else {
            fields(&[("x-sum", "1"), ("authorization", "no trailer")])
        };
        let mut response = Response::new(with_trailers(sent));
        let headers = response.headers_mut();
        if is_grpc {
            headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        } else if head.uri.path() != "/silent" {
            headers.insert("trailer", HeaderValue::from_static("x-sum, authorization"));
        }
        headers.insert("x-seen", seen.unwrap_or(HeaderValue::from_static("none")));
        let te = head.headers.get("te").cloned();
        headers.insert("x-te", te.unwrap_or(HeaderValue::from_static("none")));
        response
    })
    .await
}

/// Sends `request` to `gateway` over `version`, and returns the head and the trailers of the response.
async fn exchange(
    gateway: &Gateway,
    version: Version,
    mut request: Request<BoxBody>,
) -> (HeaderMap, Option<HeaderMap>) {
    let io = TokioIo::new(TcpStream::connect(gateway.address).await.unwrap());
    let response = if version == Version::HTTP_2 {
        let uri = format!("{}{}", gateway.uri(), request.uri().path());
        *request.uri_mut() = uri.parse().unwrap();
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap()
    } else {
        request.headers_mut().insert("host", HeaderValue::from_static("a"));
        let (mut sender, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap()
    };
    assert_eq!(response.status(), 200);
    let (head, body) = response.into_parts();
    let body = timeout(PATIENCE, body.collect()).await.unwrap().unwrap();
    let trailers = body.trailers().cloned();
    assert_eq!(body.to_bytes(), "data");
    (head.headers, trailers)
}

/// Each row over HTTP/1.1 and HTTP/2, to a backend of each.
const WAYS: [(Version, &str); 4] = [
    (Version::HTTP_11, "http"),
    (Version::HTTP_11, "h2c"),
    (Version::HTTP_2, "http"),
    (Version::HTTP_2, "h2c"),
];

async fn gateway(server: &Server, scheme: &str) -> Gateway {
    let origin = format!("{scheme}://{}", server.addr);
    Gateway::before(&[origin], &["--session-header=x-s"]).await
}

fn post(path: &str, te: Option<&'static str>) -> Request<BoxBody> {
    let sent = fields(&[("x-sum", "2"), ("authorization", "no trailer")]);
    let mut request = Request::post(path).header("trailer", "x-sum, authorization");
    if let Some(te) = te {
        request = request.header("te", te);
    }
    request.body(with_trailers(sent)).unwrap()
}

#[tokio::test]
async fn trailers_pass_both_ways_where_the_client_takes_them() {
    let server = backend().await;
    for (version, scheme) in WAYS {
        let gateway = gateway(&server, scheme).await;
        let (head, trailers) = exchange(&gateway, version, post("/", Some("trailers"))).await;
        assert_eq!(head["x-seen"], "2", "{version:?} {scheme}");
        assert_eq!(head["x-te"], "trailers", "{version:?} {scheme}");
        assert_eq!(trailers.unwrap(), fields(&[("x-sum", "1")]), "{version:?} {scheme}");
    }
    // A list in one field, as in HTTP/1.1.
    let gateway = gateway(&server, "h2c").await;
    let (head, trailers) =
        exchange(&gateway, Version::HTTP_11, post("/", Some("gzip, Trailers"))).await;
    assert_eq!((&head["x-te"], trailers.is_some()), (&HeaderValue::from_static("trailers"), true));
}

/// RFC 9110 §6.5.1: a recipient may drop trailers, and must not merge them into the header section unless the field's
/// definition permits it.
#[tokio::test]
async fn a_client_of_http_1_1_that_does_not_take_trailers_gets_none() {
    let server = backend().await;
    for (version, scheme) in WAYS {
        let gateway = gateway(&server, scheme).await;
        let (head, trailers) = exchange(&gateway, version, post("/", None)).await;
        assert_eq!(head["x-te"], "none");
        assert!(!head.contains_key("x-sum"));
        // HTTP/2 sends trailers without `TE: trailers`: gRPC clients depend on it.
        let are_sent = (version, scheme) == (Version::HTTP_2, "h2c");
        assert_eq!(trailers.is_some(), are_sent, "{version:?} {scheme}");
        // The body still ends properly if trailers are dropped because they were not announced.
        let (_, trailers) = exchange(&gateway, version, post("/silent", Some("trailers"))).await;
        assert_eq!(trailers.is_some(), are_sent, "{version:?} {scheme}");
    }
}

#[tokio::test]
async fn the_status_of_a_grpc_call_reaches_clients_of_both_versions() {
    let server = backend().await;
    for (version, scheme) in WAYS {
        let gateway = gateway(&server, scheme).await;
        for (te, is_told) in [(Some("trailers"), true), (None, version == Version::HTTP_2)] {
            let mut request = post("/", te);
            let grpc = HeaderValue::from_static("application/grpc");
            request.headers_mut().insert("content-type", grpc);
            let (head, trailers) = exchange(&gateway, version, request).await;
            assert!(!head.contains_key("grpc-status"));
            // An HTTP/1.1 backend drops trailers that it did not announce itself.
            let is_told = is_told && scheme == "h2c";
            let expected = fields(&[("grpc-status", "0"), ("grpc-message", "fine")]);
            assert_eq!(trailers, is_told.then_some(expected), "{version:?} {scheme} {te:?}");
        }
    }
}
