//! How long a tunnel stays open, and over which protocols.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

mod common;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bartizan_core::{
    Key, Passage, Record, Route, Session,
    store::{RecordVersion, StoredSession},
};
use bartizan_testkit::server::{Server, boxed, serve};
use bartizan_upstream::{Upstream, transport::TransportBuilder};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

const SOON: Duration = Duration::from_secs(5);

/// Agrees to a websocket, and echoes what comes over it.
async fn echo(mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    if request.headers().get("upgrade").is_none_or(|upgrade| upgrade != "websocket") {
        return Response::new(Full::from(format!("{:?}", request.version())));
    }
    tokio::spawn(async move {
        let mut io = TokioIo::new(hyper::upgrade::on(&mut request).await.unwrap());
        let mut buffer = [0; 4];
        while io.read_exact(&mut buffer).await.is_ok() {
            io.write_all(&buffer).await.unwrap();
        }
    });
    let response = Response::builder().status(101).header("upgrade", "websocket");
    response.header("connection", "upgrade").body(Full::default()).unwrap()
}

/// A server for `localhost` that speaks HTTP/2 and HTTP/1.1 over TLS, and a client's configuration that trusts it.
async fn tls_server() -> (u16, ClientConfig) {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = issued.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(issued.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let service =
                service_fn(async |request| Ok::<_, std::convert::Infallible>(echo(request).await));
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let io = TokioIo::new(stream);
                let _ = builder.serve_connection_with_upgrades(io, service).await;
            });
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (port, config)
}

/// A proxy to the backend at `origin`, for requests of `session`: only a real connection can be upgraded.
async fn proxy(upstream: Upstream, origin: String, session: Option<Session>) -> Server {
    serve(move |request: Request<Incoming>| {
        let (upstream, origin, session) = (upstream.clone(), origin.clone(), session.clone());
        async move {
            let mut request = request.map(boxed);
            Passage::with(&mut request, |passage| {
                passage.set_backend(origin.parse().unwrap());
                if let Some(session) = session {
                    passage.set_session(session);
                }
            });
            upstream.oneshot(request).await.unwrap().map(boxed)
        }
    })
    .await
}

/// A websocket through `proxy`.
async fn websocket(proxy: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    let head = "GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: x\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    stream
}

async fn echoes(stream: &mut TcpStream) {
    stream.write_all(b"ping").await.unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"ping");
}

#[tokio::test]
async fn a_websocket_over_tls_goes_over_http_1_1_though_the_backend_prefers_http_2() {
    let (port, config) = tls_server().await;
    let connections = TransportBuilder::new().tls_config(config);
    let upstream = Upstream::builder().connections(connections).build();
    let proxy = proxy(upstream, format!("https://localhost:{port}"), None).await;
    let get = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let reply = bartizan_testkit::raw::exchange(proxy.addr, get, SOON).await;
    assert!(reply.text().ends_with("HTTP/2.0"), "{}", reply.text());
    echoes(&mut timeout(SOON, websocket(proxy.addr)).await.unwrap()).await;
}

#[tokio::test]
async fn a_tunnel_ends_with_its_session() {
    let server = serve(async |request| echo(request).await.map(boxed)).await;
    let route = Route::default();
    let record = Record::new(Record::IDLE, Record::LIFETIME);
    let session = Session::new(Key::new(&route, None, b"s"), record, RecordVersion::FIRST, 1);
    let upstream = Upstream::builder().build();
    let proxy = proxy(upstream, server.uri(), Some(session.clone())).await;
    let mut stream = timeout(SOON, websocket(proxy.addr)).await.unwrap();
    for _ in 0..3 {
        echoes(&mut stream).await;
    }
    session.end();
    let mut rest = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"");
}
