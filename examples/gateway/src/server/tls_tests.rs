//! The limits of the server over TLS.

use std::{convert::Infallible, fs, net::SocketAddr};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Frame, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
    time::Instant,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::service_fn;

use super::{admission::RequestBody, write_timeout::WriteTimeout, *};
use crate::certificates::CertificateFiles;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(30);
const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
/// The header of a record with a ClientHello, but not the ClientHello itself.
const HALF_A_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A certificate for `localhost` in files, and a client configuration that trusts it.
struct Issued {
    files: CertificateFiles,
    config: Arc<ClientConfig>,
    _folder: TempDir,
}

/// The configuration of a client that offers `protocol`.
fn issue(protocol: &str) -> Issued {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = TempDir::new().unwrap();
    let files = CertificateFiles {
        cert: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
    };
    fs::write(&files.cert, cert.pem()).unwrap();
    fs::write(&files.key, signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Issued { files, config: Arc::new(config), _folder: folder }
}

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<usize>,
    /// Notified of each call of `/never`.
    called: Arc<Notify>,
    connector: TlsConnector,
}

impl Server {
    /// The response at `/endless` never ends, and `/never` never responds.
    async fn start(limits: Limits, protocol: &str) -> Self {
        let Issued { files, config, _folder } = issue(protocol);
        let tls = Tls::new(files.read().unwrap());
        let tcp = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = tcp.local_addr().unwrap();
        let stop = CancellationToken::new();
        let listener = Listener::new(tcp, Some(tls));
        let stopped = stop.clone();
        let called = Arc::new(Notify::new());
        let calls = Arc::clone(&called);
        let serving = async move {
            let workers = Workers::here(service_fn(move |request: Request<RequestBody>| {
                if request.uri().path() == "/never" {
                    calls.notify_one();
                }
                respond(request)
            }));
            serve(listener, &workers, limits, None, Records::default(), stopped).await
        };
        let connector = TlsConnector::from(config);
        Self { address, stop, serving: tokio::spawn(serving), called, connector }
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let name = ServerName::try_from("localhost").unwrap();
        let connecting = self.connector.connect(name, self.tcp().await);
        timeout(LONG, connecting).await.unwrap().unwrap()
    }
}

async fn respond(request: Request<RequestBody>) -> Result<Response<Body>, Infallible> {
    let body = match request.uri().path() {
        "/never" => std::future::pending().await,
        "/endless" => {
            let piece = || Ok(Frame::data(Bytes::from_static(&[b'x'; 16_384])));
            UnsyncBoxBody::new(StreamBody::new(futures_util::stream::repeat_with(piece)))
        }
        _ => UnsyncBoxBody::new(Full::from("ok")),
    };
    Ok(Response::new(body))
}

/// Sends a request and reads the status of its response.
async fn ask(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(GET).await.unwrap();
    let mut status = [0; 12];
    timeout(LONG, stream.read_exact(&mut status)).await.unwrap().unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
}

/// Begins handshakes, and does not go on.
async fn stall(server: &Server) -> Vec<TcpStream> {
    let mut stalled = Vec::new();
    for sent in [&b""[..], &HALF_A_HELLO[..1], HALF_A_HELLO] {
        let mut stream = server.tcp().await;
        stream.write_all(sent).await.unwrap();
        stalled.push(stream);
    }
    stalled
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_delays_nobody() {
    // Longer than anybody waits here.
    let server = Server::start(Limits { head: LONG * 10, ..Limits::default() }, "http/1.1").await;
    let _stalled = stall(&server).await;
    ask(&mut server.connect().await).await;
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_ends_the_connection() {
    let limits = Limits { head: SHORT * 5, idle: LONG, ..Limits::default() };
    let server = Server::start(limits, "http/1.1").await;
    for mut stream in stall(&server).await {
        let ended = timeout(LONG / 2, stream.read_to_end(&mut Vec::new())).await;
        ended.unwrap().unwrap();
    }
    // A client that sends anything other than a handshake gets an alert.
    let mut stream = server.tcp().await;
    stream.write_all(&[0; 100]).await.unwrap();
    let mut alert = [0; 2];
    timeout(LONG, stream.read_exact(&mut alert)).await.unwrap().unwrap();
    assert_eq!(alert, [21, 3]);
}

#[tokio::test]
async fn a_connection_in_its_handshake_is_not_idle_and_counts() {
    let limits = Limits { head: SHORT * 5, connections: 1, ..Limits::default() };
    let server = Server::start(limits, "http/1.1").await;
    let mut first = server.tcp().await;
    first.write_all(HALF_A_HELLO).await.unwrap();
    let mut second = Box::pin(server.connect());
    assert!(timeout(SHORT * 2, &mut second).await.is_err(), "the first one has the place");
    let mut second = second.await;
    ask(&mut second).await;
    timeout(LONG, first.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    // After its handshake and a request the connection is idle, so it is closed for another one.
    ask(&mut server.connect().await).await;
    timeout(LONG, second.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
}

#[tokio::test]
async fn plain_http_gets_a_hint() {
    let server = Server::start(Limits::default(), "http/1.1").await;
    for request in [GET, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = server.tcp().await;
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        timeout(LONG, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "This port speaks HTTPS: use an https:// URL.\r\n");
        assert!(answer.contains(&format!("content-length: {}\r\n", body.len())));
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up() {
    let limits = Limits { stall: SHORT, ..Limits::default() };
    let server = Server::start(limits, "http/1.1").await;
    let mut client = server.connect().await;
    client.write_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    sleep(SHORT * 5).await;
    let reading = async {
        let mut bytes = vec![0; 1 << 16];
        while client.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
    };
    timeout(LONG, reading).await.expect("it is broken off");
}

/// TLS accepts a short response as a whole, so its bytes wait for the socket inside TLS, not in the writer.
#[tokio::test(start_paused = true)]
async fn what_tls_holds_for_a_client_that_does_not_read_has_a_timeout_too() {
    let Issued { files, config, _folder } = issue("http/1.1");
    let tls = Tls::new(files.read().unwrap());
    let (client, io) = duplex(4096);
    let client = tokio::spawn(async move {
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(config).connect(name, client).await.unwrap()
    });
    let mut io = tls.shake_hands(WriteTimeout::new(io, None, LONG)).await.unwrap();
    let _client = client.await.unwrap();
    io.write_all(&[0; 20_000]).await.unwrap();
    let begun = Instant::now();
    let error = io.flush().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(begun.elapsed().as_secs(), LONG.as_secs());
}

#[tokio::test]
async fn over_http2_an_unread_stream_is_reset_and_an_idle_connection_ends() {
    let limits = Limits { stall: SHORT, idle: SHORT * 6, ..Limits::default() };
    let server = Server::start(limits, "h2").await;
    let io = server.connect().await;
    assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = |path: &str| {
        let uri = format!("https://{}{path}", server.address);
        Request::get(uri).body(Empty::<Bytes>::new()).unwrap()
    };
    let unread = sender.send_request(request("/endless")).await.unwrap();
    sleep(SHORT * 3).await;
    assert_eq!(sender.send_request(request("/")).await.unwrap().status(), 200);
    let error = timeout(LONG, unread.into_body().collect()).await.unwrap().unwrap_err();
    assert!(format!("{error:?}").contains("CANCEL"), "{error:?}");
    timeout(LONG, connection).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn when_it_stops_handshakes_and_idle_connections_end_and_calls_are_cut_after_the_drain_time()
{
    let server = Server::start(Limits { drain: SHORT, ..Limits::default() }, "http/1.1").await;
    let mut shaking_hands = server.tcp().await;
    shaking_hands.write_all(HALF_A_HELLO).await.unwrap();
    let mut idle = server.connect().await;
    ask(&mut idle).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    timeout(LONG, server.called.notified()).await.unwrap();
    server.stop.cancel();
    assert_eq!(timeout(LONG, server.serving).await.unwrap().unwrap(), 1);
    // Closed properly, with an alert: otherwise this read would fail.
    timeout(LONG, idle.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
}
