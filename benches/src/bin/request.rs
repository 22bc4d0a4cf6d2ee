//! What a request costs a proxy: the bare hyper-util forwarder ("floor"), and Bartizan's layers over it.
//!
//! `request CASE N` is the proxy, and only the proxy: it starts a backend and a load of N requests over 32
//! connections as processes of their own, and exits when the load is done. To be counted by callgrind, as the
//! difference of two runs (`benches/instructions.sh request floor stack`).
#![allow(
    clippy::exit,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark is a program of its own"
)]

use std::{
    convert::Infallible,
    env,
    error::Error,
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use bartizan::{
    ReverseProxyStack,
    connection::ConnectionService,
    core::{Backend, PeerAddr, Record, Route, SessionStore},
    forwarded::SanitizeForwardedLayer,
    hops::LimitHopsLayer,
    memory::MemoryStore,
    pin::{Backends, PinBackendLayer},
    session::ValidateSessionLayer,
    upstream::{
        Upstream,
        transport::{HyperTransport, TransportBuilder},
    },
};
use bartizan_benches::{
    RECORDED, SESSION_ID,
    wire::{backend, load},
};
use bytes::Bytes;
use http::{Request, Response, Uri, Version, uri::PathAndQuery};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
};
use tower::{Layer, Service};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<_> = env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["backend"] => backend().await,
        ["load", addr, count] => load(addr.parse().unwrap(), count.parse().unwrap()).await,
        [case, count] => proxy(case, count).await,
        _ => println!("usage: CASE N"),
    }
}

async fn proxy(case: &str, count: &str) {
    let program = env::current_exe().unwrap();
    let mut behind =
        Killed(Command::new(&program).arg("backend").stdout(Stdio::piped()).spawn().unwrap());
    let output = tokio::process::ChildStdout::from_std(behind.0.stdout.take().unwrap()).unwrap();
    let line = BufReader::new(output).lines().next_line().await.unwrap().unwrap();
    let origin = format!("http://{line}");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let mut driver = tokio::process::Command::new(&program)
        .args(["load", &addr, count])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let serving = serve(case, listener, &origin);
    tokio::select! {
        () = serving => {}
        status = driver.wait() => assert!(status.unwrap().success(), "the load failed"),
    }
}

/// A process that does not outlive this one.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn serve(case: &str, listener: TcpListener, origin: &str) {
    let backend: Backend = origin.parse().unwrap();
    let to = || Upstream::builder().to(backend.clone());
    let store = MemoryStore::new();
    open_session(&store, &backend);
    let backends = || Backends::new([backend.clone()]);
    // The layers that every stack has: options are off.
    let stack = || ReverseProxyStack::mcp(store.clone(), backends()).without_streams();
    match case {
        "floor" => floor(listener, origin).await,
        "upstream" => accept(listener, to().build()).await,
        "upstream-hyper" => accept(listener, to().build_on(hyper_client())).await,
        "forwarded" => accept(listener, SanitizeForwardedLayer::new().layer(to().build())).await,
        "hops" => accept(listener, LimitHopsLayer::new().layer(to().build())).await,
        "session" => {
            accept(listener, ValidateSessionLayer::mcp(store.clone()).layer(to().build())).await
        }
        "pin" => accept(listener, PinBackendLayer::new(backends()).layer(to().build())).await,
        "stack" => accept(listener, stack().layer(Upstream::builder().build())).await,
        "stack-hyper" => {
            accept(listener, stack().layer(Upstream::builder().build_on(hyper_client()))).await;
        }
        "streams" => {
            let stack = stack().streams(|layer| layer);
            accept(listener, stack.layer(Upstream::builder().build())).await;
        }
        "resume" => {
            let stack = stack().resume(|layer| layer);
            accept(listener, stack.layer(Upstream::builder().build())).await;
        }
        other => println!("{other} is not a case"),
    }
}

/// hyper-util's client for all backends, as in the floor.
fn hyper_client() -> HyperTransport {
    TransportBuilder::new().build_hyper()
}

/// The session that the load belongs to.
fn open_session(store: &MemoryStore, backend: &Backend) {
    let route = Route::default();
    let key = bartizan::core::Key::new(&route, None, SESSION_ID.as_bytes());
    let record = Record::new(Record::IDLE, Record::LIFETIME)
        .with_backend(backend.id().clone())
        .with_field("resume", RECORDED);
    let _ = store.insert_if_absent(key, record);
}

/// The plainest forwarder: hyper's server, hyper-util's client, and nothing else.
async fn floor(listener: TcpListener, origin: &str) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    let origin: Uri = origin.parse().unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (client, origin) = (client.clone(), origin.clone());
        let forward = service_fn(move |mut request: Request<Incoming>| {
            let mut parts = origin.clone().into_parts();
            let path = request.uri().path_and_query().cloned();
            parts.path_and_query = Some(path.unwrap_or(PathAndQuery::from_static("/")));
            *request.uri_mut() = Uri::from_parts(parts).unwrap();
            *request.version_mut() = Version::HTTP_11;
            client.request(request)
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), forward));
    }
}

async fn accept<S, R>(listener: TcpListener, service: S)
where
    S: Service<Request<Incoming>, Response = Response<R>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    R: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    loop {
        let (stream, peer): (_, SocketAddr) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let adaptor = ConnectionService::new(service.clone(), PeerAddr::new(peer));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), adaptor));
    }
}
