//! A tonic client, the proxy and two counters, on loopback.

use std::sync::{Arc, Mutex};

use bartizan_testkit::server::boxed;
use http::HeaderValue;
use http_body_util::Empty;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};
use tonic::{Code, Request, Response, Status, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use crate::{
    counter::{self, Count, Increment},
    proxy,
};

/// A counter on its own runtime, so that all of it can be stopped at once.
fn counter() -> (Runtime, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let uri = format!("h2c://{}", listener.local_addr().unwrap());
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.spawn(async move { counter::serve(TcpListener::from_std(listener).unwrap()).await });
    (runtime, uri)
}

async fn proxy(backends: &[&str]) -> Grpc<Channel> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let backends = backends.iter().map(|uri| uri.parse().unwrap()).collect();
    tokio::spawn(proxy::serve(listener, backends));
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    Grpc::new(channel.connect().await.unwrap())
}

async fn increment(
    client: &mut Grpc<Channel>,
    session: Option<&str>,
) -> Result<Response<Count>, Status> {
    let mut request = Request::new(Increment {});
    if let Some(id) = session {
        request.metadata_mut().insert("x-session-id", id.parse().unwrap());
    }
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/example.Counter/Increment");
    client.unary(request, path, ProstCodec::<Increment, Count>::default()).await
}

fn session(response: &Response<Count>) -> String {
    response.metadata().get("x-session-id").unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_session_counts_on_the_server_that_opened_it() {
    let (one, first) = counter();
    let (two, second) = counter();
    let mut client = proxy(&[&first, &second]).await;
    let mut sessions = Vec::new();
    for _ in 0..8 {
        let opened = increment(&mut client, None).await.unwrap();
        assert_eq!(opened.get_ref().value, 1);
        sessions.push(session(&opened));
    }
    for expected in 2..=5 {
        for id in &sessions {
            let count = increment(&mut client, Some(id)).await.unwrap().into_inner();
            assert_eq!(count.value, expected);
        }
    }
    // A runtime must not be dropped inside another.
    one.shutdown_background();
    two.shutdown_background();
}

#[tokio::test]
async fn refusals_are_grpc_statuses() {
    let (counter, uri) = counter();
    let mut client = proxy(&[&uri]).await;
    let id = session(&increment(&mut client, None).await.unwrap());
    let unknown = increment(&mut client, Some("unknown")).await.unwrap_err();
    assert_eq!((unknown.code(), unknown.message()), (Code::NotFound, "Session not found"));
    counter.shutdown_background();
    // The open connection breaks; after that, no connection can be made.
    loop {
        let lost = increment(&mut client, Some(&id)).await.unwrap_err();
        assert_eq!(lost.code(), Code::Unavailable, "{lost:?}");
        if lost.message() == "The backend of this session cannot be reached" {
            break;
        }
    }
}

/// A backend that records the client address that it is sent.
#[tokio::test]
async fn the_backend_is_told_who_the_client_is() {
    let told = Arc::<Mutex<Option<HeaderValue>>>::default();
    let journal = Arc::clone(&told);
    let backend = bartizan_testkit::serve(move |request| {
        *journal.lock().unwrap() = request.headers().get("x-forwarded-for").cloned();
        async { http::Response::new(boxed(Empty::new())) }
    });
    let backend = backend.await;
    let mut client = proxy(&[&format!("h2c://{}", backend.addr)]).await;
    // It does not respond with gRPC.
    assert!(increment(&mut client, None).await.is_err());
    assert_eq!(told.lock().unwrap().as_ref().unwrap(), "127.0.0.1");
}

/// The handler reads the address that the layer above it found.
#[tokio::test]
async fn a_handler_reads_who_the_client_is() {
    let (counter, uri) = counter();
    let channel = Channel::from_shared(uri.replace("h2c", "http")).unwrap();
    let mut client = Grpc::new(channel.connect().await.unwrap());
    let mut request = Request::new(Increment {});
    // As reported by the proxy on this host, which is trusted.
    request.metadata_mut().insert("x-forwarded-for", "198.51.100.5".parse().unwrap());
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/example.Counter/Increment");
    let codec = ProstCodec::<Increment, Count>::default();
    let response = client.unary(request, path, codec).await.unwrap();
    assert_eq!(response.metadata().get("x-seen-client").unwrap(), "198.51.100.5");
    counter.shutdown_background();
}
