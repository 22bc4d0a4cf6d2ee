//! Gateways in a loop, and legitimate chains of gateways: real processes, over HTTP/1.1 and HTTP/2.

use std::net::SocketAddr;

use bartizan_testkit::{
    BoxBody, Recorder, Server, Wire,
    client::{INITIALIZE, Raw},
    serve,
    server::boxed,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{body::Incoming, ext::Protocol, upgrade};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, split},
    net::TcpStream,
    time::timeout,
};

use crate::fixtures::{Gateway, PATIENCE};

const GENERIC: &str = "--session-header=x-session";

/// The protocol between gateways and to their clients.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Speaks {
    Http1,
    Http2,
}

impl Speaks {
    fn origin(self, addr: SocketAddr) -> String {
        match self {
            Self::Http1 => format!("http://{addr}"),
            Self::Http2 => format!("h2c://{addr}"),
        }
    }
}

/// The response to a client.
#[derive(Debug)]
struct Got {
    status: u16,
    headers: HeaderMap,
    body: String,
}

async fn post(speaks: Speaks, addr: SocketAddr) -> Got {
    let client = Client::builder(TokioExecutor::new())
        .http2_only(speaks == Speaks::Http2)
        .build_http::<Full<Bytes>>();
    let request = Request::post(format!("http://{addr}/")).body(Full::from("hello")).unwrap();
    let response = timeout(PATIENCE, client.request(request)).await.unwrap().unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.into()).unwrap();
    Got { status: head.status.as_u16(), headers: head.headers, body }
}

/// Opens a WebSocket and returns what was echoed, or the status if the upgrade fails.
async fn websocket(speaks: Speaks, addr: SocketAddr) -> Result<String, u16> {
    let stream = TokioIo::new(TcpStream::connect(addr).await.unwrap());
    let request = Request::builder().uri(format!("http://{addr}/ws"));
    let mut response = match speaks {
        Speaks::Http1 => {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(stream).await.unwrap();
            tokio::spawn(connection.with_upgrades());
            let request = request
                .header("host", addr.to_string())
                .header("connection", "upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
            sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap()
        }
        Speaks::Http2 => {
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
            let (mut sender, connection) = handshake.await.unwrap();
            tokio::spawn(connection);
            // Once it has answered, the server has also announced that it supports extended
            // CONNECT.
            let first = Request::options(format!("http://{addr}/")).version(Version::HTTP_2);
            let _ = sender.send_request(first.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
            let request =
                request.method(Method::CONNECT).extension(Protocol::from_static("websocket"));
            sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap()
        }
    };
    let agreed =
        if speaks == Speaks::Http1 { StatusCode::SWITCHING_PROTOCOLS } else { StatusCode::OK };
    if response.status() != agreed {
        return Err(response.status().as_u16());
    }
    let mut tunnel = TokioIo::new(upgrade::on(&mut response).await.unwrap());
    tunnel.write_all(b"hello").await.unwrap();
    let mut echo = [0; 5];
    timeout(PATIENCE, tunnel.read_exact(&mut echo)).await.unwrap().unwrap();
    Ok(String::from_utf8(echo.into()).unwrap())
}

/// A backend that reports the hop count that it got, and echoes over WebSockets.
async fn backend() -> Server {
    serve(async |mut request: Request<Incoming>| {
        let is_upgrade = request.headers().contains_key("upgrade");
        if !is_upgrade && request.method() != Method::CONNECT {
            let hops =
                request.headers().get_all("x-hop-count").iter().map(|hops| hops.to_str().unwrap());
            return Response::new(boxed(Full::from(hops.collect::<Vec<_>>().join(" + "))));
        }
        let tunnel = upgrade::on(&mut request);
        tokio::spawn(async move {
            let (mut reader, mut writer) = split(TokioIo::new(tunnel.await.unwrap()));
            let _ = copy(&mut reader, &mut writer).await;
        });
        let response = Response::builder();
        let response = match is_upgrade {
            true => {
                response.status(101).header("connection", "upgrade").header("upgrade", "websocket")
            }
            false => response,
        };
        response.body(boxed(Empty::new())).unwrap()
    })
    .await
}

/// `length` gateways in a row in front of a backend; clients connect to the first.
async fn chain(speaks: Speaks, length: usize, args: &[&str]) -> (Vec<Gateway>, Server) {
    let backend = backend().await;
    let args: Vec<_> = [GENERIC].iter().chain(args).copied().collect();
    let mut gateways: Vec<Gateway> = Vec::new();
    for _ in 0..length {
        let next = gateways.last().map_or(backend.addr, |gateway| gateway.address);
        gateways.push(Gateway::before(&[speaks.origin(next)], &args).await);
    }
    gateways.reverse();
    (gateways, backend)
}

fn assert_is_loop(got: &Got) {
    assert_eq!(got.status, 508, "{got:?}");
    assert_eq!(got.headers["content-type"], "application/problem+json");
    let status = got.headers["proxy-status"].to_str().unwrap();
    assert!(status.ends_with("; error=proxy_loop_detected"), "{status}");
    assert!(got.body.contains(r#""detail":"Loop detected""#), "{}", got.body);
    assert!(!got.headers.contains_key("x-hop-count"), "HC-31");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_that_point_at_each_other_end_the_loop_at_once() {
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let (to_a, to_b) = (Wire::lay().await, Wire::lay().await);
        let a = Gateway::before(&[speaks.origin(to_b.addr)], &[GENERIC]).await;
        let b = Gateway::before(&[speaks.origin(to_a.addr)], &[GENERIC]).await;
        to_a.lead_to(a.address);
        to_b.lead_to(b.address);
        assert_is_loop(&post(speaks, a.address).await);
        assert_eq!((to_b.requests(), to_a.requests()), (1, 1), "{speaks:?}");
        assert_eq!(websocket(speaks, a.address).await, Err(508), "{speaks:?}");
        // Over HTTP/2, an OPTIONS request is sent first.
        let each = if speaks == Speaks::Http2 { 3 } else { 2 };
        assert_eq!((to_b.requests(), to_a.requests()), (each, each), "{speaks:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_points_at_itself_ends_the_loop_at_once() {
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let wire = Wire::lay().await;
        let gateway = Gateway::before(&[speaks.origin(wire.addr)], &[GENERIC]).await;
        wire.lead_to(gateway.address);
        assert_is_loop(&post(speaks, gateway.address).await);
        assert_eq!(wire.requests(), 1);
        assert_eq!(websocket(speaks, gateway.address).await, Err(508), "{speaks:?}");
    }
}

/// The client of an MCP gateway gets a refusal that it can read, with the id of its request.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_mcp_is_told_in_its_own_words() {
    let wire = Wire::lay().await;
    let gateway = Gateway::before(&[format!("http://{}", wire.addr)], &[]).await;
    wire.lead_to(gateway.address);
    let answer = Raw::new(&gateway.uri()).post(None, INITIALIZE).await;
    assert_eq!(answer.status, 508);
    assert_eq!(answer.message()["error"]["message"], "Loop detected");
    assert_eq!(wire.requests(), 1);
}

/// A hop in between drops `Via`: the hop count alone ends the loop, within the number of hops that it allows.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_through_a_hop_that_drops_via_ends_within_the_limit() {
    let wire = Wire::lay().await;
    let gateway =
        Gateway::before(&[format!("http://{}", wire.addr)], &[GENERIC, "--max-hops=4"]).await;
    let to = gateway.uri();
    let hop = serve(move |request| drop_via(to.clone(), request)).await;
    wire.lead_to(hop.addr);
    assert_is_loop(&post(Speaks::Http1, gateway.address).await);
    assert_eq!(wire.requests(), 4);
}

async fn drop_via(to: String, request: Request<Incoming>) -> Response<BoxBody> {
    let (mut head, body) = request.into_parts();
    head.headers.remove("via");
    head.uri = format!("{to}{}", head.uri.path()).parse().unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    client.request(Request::from_parts(head, body)).await.unwrap().map(boxed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_as_many_gateways_as_allowed_works_and_one_more_does_not() {
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let (gateways, _backend) = chain(speaks, 4, &["--max-hops=3"]).await;
        // The second gateway is the first of a chain of three.
        let got = post(speaks, gateways[1].address).await;
        assert_eq!((got.status, got.body.as_str()), (200, "3"), "{speaks:?}");
        assert_is_loop(&post(speaks, gateways[0].address).await);
        assert_eq!(
            websocket(speaks, gateways[1].address).await.as_deref(),
            Ok("hello"),
            "{speaks:?}"
        );
        assert_eq!(websocket(speaks, gateways[0].address).await, Err(508), "{speaks:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_gateways_are_a_chain_by_default_and_eleven_are_not() {
    let (gateways, _backend) = chain(Speaks::Http1, 11, &[]).await;
    let got = post(Speaks::Http1, gateways[1].address).await;
    assert_eq!((got.status, got.body.as_str()), (200, "10"));
    assert_is_loop(&post(Speaks::Http1, gateways[0].address).await);
}

/// Replicas of one gateway share a name; a federation may use its own field for the hop count.
#[tokio::test(flavor = "multi_thread")]
async fn the_name_and_the_field_can_be_chosen() {
    let recorder = Recorder::start().await;
    let args = [GENERIC, "--via=edge-1", "--hop-header=x-depth"];
    let inner = Gateway::before(&[recorder.uri()], &args).await;
    let got = post(Speaks::Http1, inner.address).await;
    assert_eq!(got.status, 200);
    let text = recorder.text();
    assert!(text.contains("via: 1.1 edge-1\r\n") && text.contains("x-depth: 1\r\n"), "{text}");
    let outer = Gateway::before(&[inner.uri()], &args).await;
    assert_is_loop(&post(Speaks::Http1, outer.address).await);
    assert_eq!(recorder.requests(), 1);
}
