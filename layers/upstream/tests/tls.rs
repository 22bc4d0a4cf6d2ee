//! Backends behind TLS: names, certificates, and what ALPN chooses.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use std::{convert::Infallible, sync::Arc};

use bartizan_core::{Backend, Passage, UpstreamFailure, Work, failure::FailureKind};
use bartizan_testkit::{BoxBody, server::boxed};
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
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

type Up = Upstream;
type Answer = Response<BoxBody>;

/// A server for `localhost` that offers `protocols` and reports the one that was used; returns its port and its
/// certificate.
async fn server(protocols: &[&str]) -> (u16, rustls::pki_types::CertificateDer<'static>) {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = issued.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(issued.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let sni = stream.get_ref().1.server_name().unwrap_or_default().to_owned();
            let service = service_fn(move |request: Request<Incoming>| {
                let response = Response::builder()
                    .header("x-sni", &sni)
                    .header("x-version", format!("{:?}", request.version()))
                    .header("x-hosts", request.headers().get_all("host").iter().count())
                    .header("x-host", named(&request))
                    .body(Full::<Bytes>::default());
                async move { Ok::<_, Infallible>(response.unwrap()) }
            });
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (port, certificate)
}

/// The host that `request` is for, by `Host` or `:authority`.
fn named(request: &Request<Incoming>) -> String {
    let host = request.headers().get("host").map(|host| host.to_str().unwrap().to_owned());
    host.or(request.uri().authority().map(ToString::to_string)).unwrap_or_default()
}

/// Trusts only `certificate`.
fn upstream(certificate: rustls::pki_types::CertificateDer<'static>) -> Up {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connections = TransportBuilder::new().tls_config(config);
    Upstream::builder().connections(connections).build()
}

async fn send(upstream: &Up, origin: &str, work: Work) -> Answer {
    let mut request = Request::get("/").header("host", "public.example");
    request = request.version(http::Version::HTTP_11);
    let mut request = request.body(Full::default()).unwrap();
    let backend: Backend = origin.parse().unwrap();
    Passage::with(&mut request, |passage| {
        passage.set_backend(backend);
        passage.set_work(work);
    });
    upstream.clone().oneshot(request).await.unwrap().map(boxed)
}

#[tokio::test]
async fn sni_and_host_are_the_backends_and_alpn_chooses_the_version() {
    for (protocols, version) in
        [(&["http/1.1"][..], "HTTP/1.1"), (&["h2", "http/1.1"], "HTTP/2.0"), (&[], "HTTP/1.1")]
    {
        let (port, certificate) = server(protocols).await;
        let response =
            send(&upstream(certificate), &format!("https://localhost:{port}"), Work::Free).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-sni"], "localhost");
        assert_eq!(response.headers()["x-version"], version);
        assert_eq!(response.headers()["x-host"], format!("localhost:{port}").as_str());
        // Some servers refuse it next to `:authority` (RFC 9113 §8.3.1).
        let hosts = if version == "HTTP/2.0" { "0" } else { "1" };
        assert_eq!(response.headers()["x-hosts"], hosts);
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_no_connection() {
    let (port, _) = server(&["http/1.1"]).await;
    let (_, other) = server(&["http/1.1"]).await;
    let origin = format!("https://localhost:{port}");
    for (work, status) in [(Work::Free, 502), (Work::Pinned, 503)] {
        let response = send(&upstream(other.clone()), &origin, work).await;
        assert_eq!(response.status(), status);
        assert_eq!(UpstreamFailure::of(&response).unwrap().kind(), FailureKind::Tls);
        assert_eq!(response.headers()["proxy-status"], "bartizan; error=tls_protocol_error");
    }
    // The right certificate for another name.
    let (port, certificate) = server(&["http/1.1"]).await;
    let by_address = format!("https://127.0.0.1:{port}");
    let response = send(&upstream(certificate), &by_address, Work::Free).await;
    assert_eq!(UpstreamFailure::of(&response).unwrap().kind(), FailureKind::Tls);
}
