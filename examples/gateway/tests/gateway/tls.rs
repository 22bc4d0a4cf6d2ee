//! HTTPS at the listener: versions, protocols, and certificates from files.

use std::{fs, path::PathBuf, sync::Arc};

use bartizan_testkit::{
    CounterServer, Recorder,
    client::{INITIALIZE, call},
    process::Process,
    raw,
};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
    version::{TLS12, TLS13},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    process::Command,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::fixtures::{Backend, Gateway, PATIENCE, PROGRAM, command};

/// A certificate for `localhost` and its key, in files that can be replaced.
struct Issued {
    folder: TempDir,
    der: CertificateDer<'static>,
}

impl Issued {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let der = issue(&folder);
        Self { folder, der }
    }

    /// Replaces both files.
    fn renew(&mut self) {
        self.der = issue(&self.folder);
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn args(&self) -> [String; 2] {
        let option = |name: &str| format!("--tls-{name}={}", self.file(name).display());
        [option("cert"), option("key")]
    }

    async fn gateway(&self, origin: String, args: &[&str]) -> Gateway {
        let files = self.args();
        let args: Vec<_> = files.iter().map(String::as_str).chain(args.iter().copied()).collect();
        Gateway::before(&[origin], &args).await
    }
}

fn issue(folder: &TempDir) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.path().join("cert"), cert.pem()).unwrap();
    fs::write(folder.path().join("key"), signing_key.serialize_pem()).unwrap();
    cert.der().clone()
}

/// Connects as `name`, trusting `certificate` alone.
async fn connect(
    gateway: &Gateway,
    certificate: &CertificateDer<'static>,
    name: &'static str,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let name = ServerName::try_from(name).unwrap();
    timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap()
}

/// The same with a client that supports everything.
async fn join(gateway: &Gateway, certificate: &CertificateDer<'static>) -> TlsStream<TcpStream> {
    let protocols = ["h2", "http/1.1"];
    connect(gateway, certificate, "localhost", &[&TLS12, &TLS13], &protocols).await.unwrap()
}

/// Sends requests over a connection, with the negotiated protocol.
enum Client {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    async fn new(stream: TlsStream<TcpStream>) -> Self {
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(&b"h2"[..]);
        let io = TokioIo::new(stream);
        if is_http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            return Self::Http2(sender);
        }
        let (sender, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        Self::Http1(sender)
    }

    async fn send(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Response<Incoming> {
        let host = ("host", "localhost:8443");
        let uri = format!("https://localhost:8443{path}");
        let request = match self {
            Self::Http1(_) => Request::post(path).header(host.0, host.1),
            Self::Http2(_) => Request::post(uri),
        };
        let request = fields.iter().fold(request, |all, (name, value)| all.header(*name, *value));
        let request = request.body(Full::from(body.to_owned())).unwrap();
        let sending = async {
            match self {
                Self::Http1(sender) => sender.send_request(request).await.unwrap(),
                Self::Http2(sender) => sender.send_request(request).await.unwrap(),
            }
        };
        timeout(PATIENCE, sending).await.unwrap()
    }
}

const MCP: [(&str, &str); 2] =
    [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];

fn session(headers: &HeaderMap) -> String {
    headers["mcp-session-id"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn alpn_chooses_the_version_and_sessions_are_kept_over_each() {
    let issued = Issued::new();
    let server = CounterServer::start().await;
    let gateway = issued.gateway(server.uri(), &[]).await;
    for (versions, protocols, version, protocol) in [
        (&[&TLS13][..], &["h2", "http/1.1"][..], ProtocolVersion::TLSv1_3, Some(&b"h2"[..])),
        (&[&TLS12], &["h2", "http/1.1"], ProtocolVersion::TLSv1_2, Some(b"h2")),
        (&[&TLS12, &TLS13], &["http/1.1"], ProtocolVersion::TLSv1_3, Some(b"http/1.1")),
        (&[&TLS12], &[], ProtocolVersion::TLSv1_2, None),
    ] {
        let stream =
            connect(&gateway, &issued.der, "localhost", versions, protocols).await.unwrap();
        let agreed = stream.get_ref().1;
        assert_eq!((agreed.protocol_version(), agreed.alpn_protocol()), (Some(version), protocol));
        let mut client = Client::new(stream).await;
        let opened = client.send("/mcp", &MCP, INITIALIZE).await;
        assert_eq!(opened.status(), 200);
        let id = session(opened.headers());
        opened.into_body().collect().await.unwrap();
        let fields = [&MCP[..], &[("mcp-session-id", &*id)]].concat();
        let body = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        assert_eq!(client.send("/mcp", &fields, body).await.status(), 202);
        let called = client.send("/mcp", &fields, &call(1, "increment")).await;
        assert_eq!(called.status(), 200);
        let text = called.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&text).contains(r#""text":"1""#), "{text:?}");
    }
    // No protocol that the gateway supports.
    let error =
        connect(&gateway, &issued.der, "localhost", &[&TLS13], &["imap"]).await.unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

#[tokio::test]
async fn backends_and_guards_know_that_the_client_uses_https() {
    let issued = Issued::new();
    let recorder = Recorder::start().await;
    let args = [
        "--session-header=x-s",
        "--allow-host=localhost",
        "--forwarded-fields=x-forwarded-proto,forwarded",
    ];
    let gateway = issued.gateway(recorder.uri(), &args).await;
    let mut client = Client::new(join(&gateway, &issued.der).await).await;
    for (origin, status) in [("https://localhost:8443", 200), ("https://evil.example", 403)] {
        let response = client.send("/", &[("origin", origin)], "").await;
        assert_eq!(response.status(), status, "{origin}");
    }
    let text = recorder.text().to_lowercase();
    assert_eq!(recorder.requests(), 1, "{text}");
    assert!(text.contains("x-forwarded-proto: https\r\n"), "{text}");
    assert!(text.contains("proto=https"), "{text}");
}

/// Whether there is a curl that speaks HTTP/2.
async fn has_curl() -> bool {
    let version = Command::new("curl").arg("--version").output().await;
    version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(" HTTP2"))
}

#[tokio::test]
async fn curl_is_served_over_both_versions() {
    if !has_curl().await {
        println!("skipped: there is no curl that speaks HTTP/2");
        return;
    }
    let issued = Issued::new();
    let recorder = Recorder::start().await;
    let gateway = issued.gateway(recorder.uri(), &["--session-header=x-s"]).await;
    let url = format!("https://localhost:{}/", gateway.address.port());
    let resolve = format!("localhost:{}:127.0.0.1", gateway.address.port());
    let cert = issued.file("cert").display().to_string();
    for (args, version) in
        [(&["--http1.1"][..], "1.1"), (&["--http2"], "2"), (&["--http2", "--tls-max", "1.2"], "2")]
    {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*"])
            .args(["--resolve", &resolve, "--cacert", &cert])
            .args(["--write-out", " %{http_version} %{http_code}"])
            .args(args)
            .arg(&url)
            .output()
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(text, format!("ok {version} 200"), "{args:?} {error}");
    }
}

#[tokio::test]
async fn clients_that_fail_do_not_disturb_others() {
    let issued = Issued::new();
    let other = Issued::new();
    let recorder = Recorder::start().await;
    let gateway = issued.gateway(recorder.uri(), &["--session-header=x-s"]).await;
    let versions = [&TLS12, &TLS13];
    // The certificate is for another name, or from an issuer that the client does not trust.
    let wrong = connect(&gateway, &issued.der, "other.example", &versions, &[]).await;
    let error = wrong.unwrap_err().to_string();
    assert!(error.contains("certificate not valid for name"), "{error}");
    let untrusted = connect(&gateway, &other.der, "localhost", &versions, &[]).await;
    assert!(untrusted.unwrap_err().to_string().contains("invalid peer certificate"));
    let plain = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let reply = raw::exchange(gateway.address, plain, PATIENCE).await;
    assert_eq!((reply.status(), reply.closed), (Some(400), true));
    assert!(reply.text().contains("use an https:// URL"), "{}", reply.text());
    assert_eq!(recorder.requests(), 0);
    let mut client = Client::new(join(&gateway, &issued.der).await).await;
    assert_eq!(client.send("/", &[], "").await.status(), 200);
}

/// Starts the gateway, which fails before it listens.
async fn refused(args: &[String]) -> (i32, String) {
    let output = command()
        .args(["--listen=127.0.0.1:0", "--backend=http://127.0.0.1:1"])
        .args(args)
        .output();
    let output = timeout(PATIENCE, output).await.unwrap().unwrap();
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn files_are_checked_before_it_listens() {
    let issued = Issued::new();
    let other = Issued::new();
    let [cert, key] = issued.args();
    let nowhere = format!("--tls-cert={}", issued.file("nowhere").display());
    let swapped = format!("--tls-cert={}", issued.file("key").display());
    for (args, status, expected) in [
        (vec![cert.clone()], 2, "--tls-key <FILE>"),
        (vec![key.clone()], 2, "--tls-cert <FILE>"),
        (vec![nowhere, key.clone()], 1, "/nowhere: it cannot be read: No such file"),
        (vec![swapped, key], 1, "/key: it contains no certificate but a private key"),
        (
            vec![cert, other.args()[1].clone()],
            1,
            "/key: it is not the key of the first certificate",
        ),
    ] {
        let (code, text) = refused(&args).await;
        assert_eq!(code, status, "{text}");
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn a_hangup_renews_the_certificate_for_new_connections_unless_it_cannot_be_used() {
    let mut issued = Issued::new();
    let recorder = Recorder::start().await;
    let mut gateway = issued.gateway(recorder.uri(), &["--session-header=x-s"]).await;
    let first = issued.der.clone();
    let mut open = Client::new(join(&gateway, &first).await).await;
    assert_eq!(open.send("/", &[], "").await.status(), 200);

    issued.renew();
    gateway.process.signal("HUP").await;
    gateway.process.error_line_with("SIGHUP: new connections use the certificate").await;
    let versions = [&TLS12, &TLS13];
    assert!(connect(&gateway, &first, "localhost", &versions, &[]).await.is_err());
    let mut client = Client::new(join(&gateway, &issued.der).await).await;
    assert_eq!(client.send("/", &[], "").await.status(), 200);
    // Open connections continue.
    assert_eq!(open.send("/", &[], "").await.status(), 200);

    fs::write(issued.file("key"), "nothing").unwrap();
    gateway.process.signal("HUP").await;
    let line = gateway.process.error_line_with("SIGHUP: the certificate is not replaced").await;
    assert!(line.contains("/key: it is not a PEM file"), "{line}");
    let mut client = Client::new(join(&gateway, &issued.der).await).await;
    assert_eq!(client.send("/", &[], "").await.status(), 200);
}

#[tokio::test]
async fn a_call_in_flight_is_finished_after_sigterm() {
    let issued = Issued::new();
    let backend = Backend::start().await;
    let mut gateway = issued.gateway(backend.server.uri(), &["--drain-delay=0s"]).await;
    let mut client = Client::new(join(&gateway, &issued.der).await).await;
    let opened = client.send("/mcp", &MCP, INITIALIZE).await;
    let id = session(opened.headers());
    opened.into_body().collect().await.unwrap();
    let fields = [&MCP[..], &[("mcp-session-id", &*id)]].concat();
    let slow = call(1, "slow");
    let calling = client.send("/mcp", &fields, &slow);
    let stopping = async {
        backend.entered.acquire().await.unwrap().forget();
        gateway.process.terminate().await;
        let address = gateway.address;
        bartizan_testkit::eventually("connections are refused", PATIENCE, || async move {
            TcpStream::connect(address).await.is_err()
        })
        .await;
        backend.release.add_permits(1);
    };
    let (called, ()) = tokio::join!(calling, stopping);
    assert_eq!(called.status(), 200);
    let text = called.into_body().collect().await.unwrap().to_bytes();
    assert!(text.starts_with(b"{\"received\":"), "{text:?}");
    drop(client);
    assert_eq!(gateway.process.wait().await, Some(0));
}

/// Connections are accepted once the store has answered or failed: the certificate was read long before.
#[cfg(unix)]
#[tokio::test]
async fn a_hangup_during_the_start_renews_the_certificate() {
    let mut issued = Issued::new();
    let store = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("--store=redis://{}", store.local_addr().unwrap());
    let recorder = Recorder::start().await;
    let backend = format!("--backend={}", recorder.uri());
    let [cert, key] = issued.args();
    let fixed = ["--listen=127.0.0.1:0", "--session-header=x-s", "--store-timeout=20s"];
    let process = Process::start(PROGRAM, &[&fixed[..], &[&url, &backend, &cert, &key]].concat());
    let connection = timeout(PATIENCE, store.accept()).await.unwrap().unwrap();
    issued.renew();
    process.signal("HUP").await;
    drop((connection, store));
    let mut gateway = Gateway::listening(process).await;
    gateway.process.error_line_with("SIGHUP: new connections use the certificate").await;
    join(&gateway, &issued.der).await;
}

/// Reads the head of a message.
async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn a_websocket_becomes_a_tunnel_and_both_sides_close_in_order() {
    let issued = Issued::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(read_head(&mut stream).await.contains("upgrade: websocket\r\n"));
        let agreed =
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(agreed.as_bytes()).await.unwrap();
        let (mut reading, mut writing) = stream.split();
        copy(&mut reading, &mut writing).await.unwrap();
        writing.shutdown().await.unwrap();
    });
    let gateway = issued.gateway(origin, &["--session-header=x-s"]).await;
    let versions = [&TLS12, &TLS13];
    let connecting = connect(&gateway, &issued.der, "localhost", &versions, &["http/1.1"]);
    let mut client = connecting.await.unwrap();
    let asks =
        "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    client.write_all(asks.as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
    client.write_all(b"ping").await.unwrap();
    let mut pong = [0; 4];
    timeout(PATIENCE, client.read_exact(&mut pong)).await.unwrap().unwrap();
    assert_eq!(&pong, b"ping");
    client.shutdown().await.unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, client.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(rest.is_empty());
}
