//! The same through real servers: the end of a stream on the wire, over HTTP/1.1 and HTTP/2, and in
//! axum.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod common;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    response::sse::{Event, Sse},
    routing::get,
};
use bartizan_core::SessionStore;
use bartizan_streams::TrackStreamsLayer;
use bartizan_testkit::{eventually, serve, server::boxed};
use bytes::Bytes;
use common::{World, request, with_key};
use futures_util::{StreamExt, stream};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Reads what a server sends, until `end`.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let reading = async {
        while !text.ends_with(end) {
            let mut piece = [0; 256];
            let count = stream.read(&mut piece).await.unwrap();
            assert!(count > 0, "closed after {text:?}");
            text.push_str(str::from_utf8(&piece[..count]).unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap();
    text
}

#[tokio::test]
async fn over_http1_an_ended_stream_has_its_last_chunk_and_the_connection_goes_on() {
    let layer = TrackStreamsLayer::new();
    let streams = layer.streams();
    let events = || {
        let hello = stream::once(async { Ok::<_, Infallible>(Event::default().data("hello")) });
        async { Sse::new(hello.chain(stream::pending())) }
    };
    let app = Router::new().route("/events", get(events)).layer(layer);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let _serving = tokio::spawn(async { axum::serve(listener, app).await });

    let mut client = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        let head = b"GET /events HTTP/1.1\r\nhost: a\r\naccept: text/event-stream\r\n\r\n";
        client.write_all(head).await.unwrap();
        let begun = read_until(&mut client, "data: hello\n\n\r\n").await;
        assert!(begun.starts_with("HTTP/1.1 200 ") && begun.contains("chunked"), "{begun}");
        let listed = streams.list();
        assert_eq!((listed.len(), listed[0].bytes()), (1, 13));
        assert!(streams.end(listed[0].id()));
        assert_eq!(read_until(&mut client, "0\r\n\r\n").await, "0\r\n\r\n");
    }
    client.write_all(b"GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    read_until(&mut client, "data: hello\n\n\r\n").await;
    drop(client);
    let gone = async || streams.is_empty();
    eventually("the stream of a client that left is gone", PATIENCE, gone).await;
}

#[tokio::test]
async fn over_http2_an_ended_stream_ends_and_the_others_of_its_connection_go_on() {
    let world = Arc::new(World::new(&TrackStreamsLayer::new()));
    world.open_all(&["a", "b"]);
    let shared = Arc::clone(&world);
    let server = serve(move |request: Request<Incoming>| {
        let world = Arc::clone(&shared);
        async move {
            let (head, _) = request.into_parts();
            world.send(Request::from_parts(head, Full::default())).await.map(boxed)
        }
    })
    .await;
    let client: Client<_, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let listen = async |id| {
        let mut listening = request(Method::GET, Some(id), &[("accept", "text/event-stream")]);
        *listening.uri_mut() = format!("{}/mcp", server.uri()).parse().unwrap();
        client.request(listening).await.unwrap().into_body()
    };
    let (mut a, mut b) = (listen("a").await, listen("b").await);
    for call in 0..2 {
        assert!(world.backend.say(call, "data: x\n\n").await);
    }
    assert_eq!(a.frame().await.unwrap().unwrap().into_data().unwrap(), "data: x\n\n");
    assert_eq!(b.frame().await.unwrap().unwrap().into_data().unwrap(), "data: x\n\n");
    let _ = with_key("a", |key| world.store.remove(key));
    let rest = tokio::time::timeout(PATIENCE, a.collect()).await.unwrap();
    assert!(rest.unwrap().to_bytes().is_empty(), "it ends, and is not reset");
    assert!(world.backend.say(1, "data: y\n\n").await);
    assert_eq!(b.frame().await.unwrap().unwrap().into_data().unwrap(), "data: y\n\n");
    assert_eq!(world.streams.len(), 1);
}
