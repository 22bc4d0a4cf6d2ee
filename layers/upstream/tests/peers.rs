//! nginx and haproxy as HTTP/2 backends, in clear text and over TLS. If one is not installed, its tests are skipped
//! with a message.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

mod common;

use std::{convert::Infallible, fs, path::PathBuf, sync::Arc, time::Duration};

use bartizan_core::Work;
use bartizan_testkit::{
    BoxBody, eventually,
    process::Process,
    server::{Server, boxed, serve},
};
use bartizan_upstream::{Upstream, transport::TransportBuilder};
use bytes::Bytes;
use common::send;
use futures_util::{StreamExt, future::join_all, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use rustls::{ClientConfig, RootCertStore};
use tokio::{net::TcpListener, time::timeout};

const SOON: Duration = Duration::from_secs(10);

/// The directory and process of a peer. Its files are removed with it.
struct Setup {
    dir: PathBuf,
    clear: u16,
    tls: u16,
    origin: Server,
    client: ClientConfig,
}

impl Drop for Setup {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A server behind the peer: `/open` never ends.
async fn origin() -> Server {
    serve(async |request: Request<Incoming>| {
        let first = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from("first")))]);
        Response::new(match request.uri().path() {
            "/open" => boxed(StreamBody::new(first.chain(stream::pending()))),
            _ => boxed(Full::from("ok")),
        })
    })
    .await
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

async fn set_up(name: &str) -> Setup {
    let (clear, tls) = (free_port().await, free_port().await);
    let dir = std::env::temp_dir().join(format!("bartizan-{name}-{clear}-{tls}"));
    fs::create_dir_all(&dir).unwrap();
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
    fs::write(dir.join("cert.pem"), &certificate).unwrap();
    fs::write(dir.join("key.pem"), &key).unwrap();
    fs::write(dir.join("both.pem"), certificate + &key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(issued.cert.der().clone()).unwrap();
    let client =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    Setup { dir, clear, tls, origin: origin().await, client }
}

fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::env::split_paths(&paths).chain([PathBuf::from("/usr/sbin")]);
    let is_there = paths.map(|dir| dir.join(program)).any(|path| path.exists());
    if !is_there {
        eprintln!("skipped: {program} is not installed");
    }
    is_there
}

fn program(name: &str) -> String {
    let system = format!("/usr/sbin/{name}");
    if fs::exists(&system).unwrap_or_default() { system } else { name.to_owned() }
}

async fn nginx(setup: &Setup) -> Process {
    let dir = setup.dir.display();
    let (clear, tls, origin) = (setup.clear, setup.tls, setup.origin.addr);
    let config = format!(
        "daemon off; master_process off; pid {dir}/pid; error_log stderr;
         events {{ worker_connections 2048; }}
         http {{
            access_log off;
            client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir};
            uwsgi_temp_path {dir}; scgi_temp_path {dir};
            server {{
                listen 127.0.0.1:{clear} http2;
                listen 127.0.0.1:{tls} ssl http2;
                ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem;
                add_header x-spoken $server_protocol;
                location / {{
                    proxy_pass http://{origin}; proxy_buffering off; proxy_http_version 1.1;
                }}
            }}
         }}"
    );
    let path = setup.dir.join("nginx.conf");
    fs::write(&path, config).unwrap();
    let path = path.display().to_string();
    Process::start(&program("nginx"), &["-c", &path, "-p", &dir.to_string(), "-e", "stderr"])
}

async fn haproxy(setup: &Setup) -> Process {
    let dir = setup.dir.display();
    let (clear, tls, origin) = (setup.clear, setup.tls, setup.origin.addr);
    let config = format!(
        "defaults
            mode http
            timeout connect 5s
            timeout client 60s
            timeout server 60s
         frontend both
            bind 127.0.0.1:{clear} proto h2
            bind 127.0.0.1:{tls} ssl crt {dir}/both.pem alpn h2,http/1.1
            http-response set-header x-spoken HTTP/%[fc_http_major]
            default_backend origin
         backend origin
            server one {origin}\n"
    );
    let path = setup.dir.join("haproxy.cfg");
    fs::write(&path, config).unwrap();
    let path = path.display().to_string();
    Process::start(&program("haproxy"), &["-db", "-f", &path])
}

fn get(path: &str) -> Request<BoxBody> {
    let request = Request::get(path).header("host", "public.example");
    request.body(boxed(Full::<Bytes>::default())).unwrap()
}

/// 200 streams that never end, and concurrent calls, in clear text and over TLS.
async fn serves(setup: &Setup) {
    let connections = TransportBuilder::new().tls_config(setup.client.clone());
    let upstream = Upstream::builder().connections(connections).build();
    for backend in
        [format!("h2c://127.0.0.1:{}", setup.clear), format!("https://localhost:{}", setup.tls)]
    {
        // A connection alone is not enough: before the peer listens, a connection to its port may be to itself.
        let is_there =
            async || send(&upstream, &backend, Work::Free, get("/")).await.status() == 200;
        eventually("the peer serves", SOON, is_there).await;
        let open = async || {
            let response = send(&upstream, &backend, Work::Free, get("/open"));
            let response = timeout(SOON, response).await.unwrap();
            assert_eq!(response.status(), 200, "{backend}: {:?}", response.headers());
            let mut body = response.into_body();
            body.frame().await.unwrap().unwrap();
            body
        };
        let streams = join_all((0..200).map(|_| open())).await;
        let call = async || {
            let response = send(&upstream, &backend, Work::Free, get("/"));
            let response = timeout(SOON, response).await.unwrap();
            assert_eq!(response.status(), 200, "{backend}");
            let spoken = response.headers()["x-spoken"].to_str().unwrap();
            assert!(spoken.starts_with("HTTP/2"), "{spoken}");
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
        };
        join_all((0..50).map(|_| call())).await;
        drop(streams);
    }
}

#[tokio::test]
async fn nginx_serves_more_streams_than_it_takes_over_one_connection() {
    if is_installed("nginx") {
        let setup = set_up("nginx").await;
        let _nginx = nginx(&setup).await;
        serves(&setup).await;
    }
}

#[tokio::test]
async fn haproxy_serves_more_streams_than_it_takes_over_one_connection() {
    if is_installed("haproxy") {
        let setup = set_up("haproxy").await;
        let _haproxy = haproxy(&setup).await;
        serves(&setup).await;
    }
}
