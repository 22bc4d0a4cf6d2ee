//! A server with TLS and its own certificate authority.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::{net::TcpListener, sync::Arc};

use bartizan_redis::RedisStore;
use bartizan_testkit::{RedisServer, eventually};
use common::{PATIENCE, get, insert, ready};
use fred::types::config::{Config, TlsConfig, TlsConnector, TlsHostMapping};
use rustls::{ClientConfig, RootCertStore};

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_and_by_no_other() {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, certificate.cert.pem()).unwrap();
    std::fs::write(&key, certificate.signing_key.serialize_pem()).unwrap();
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let args = [
        "--tls-port".to_owned(),
        port.to_string(),
        "--tls-cert-file".to_owned(),
        cert.display().to_string(),
        "--tls-key-file".to_owned(),
        key.display().to_string(),
        "--tls-auth-clients".to_owned(),
        "no".to_owned(),
    ];
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let _server = RedisServer::with(&args).await;

    let mut roots = RootCertStore::empty();
    roots.add(certificate.cert.der().clone()).unwrap();
    let url = format!("rediss://localhost:{port}");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let client = client.unwrap().with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::Rustls(tokio_rustls::TlsConnector::from(Arc::new(client)));
    let tls = TlsConfig { connector, hostnames: TlsHostMapping::None };
    let config = Config { tls: Some(tls), ..Config::from_url(&url).unwrap() };
    let store = RedisStore::from_config(config).build().unwrap();
    ready(&store).await;
    insert(&store, "id").await.unwrap();
    assert!(get(&store, "id").await.unwrap().is_some());

    // The certificate authorities of this machine do not vouch for it.
    let stranger = RedisStore::builder(&url).build().unwrap();
    let mut asked = 0;
    let refused = || {
        asked += 1;
        let is_last = asked == 100;
        let stranger = &stranger;
        async move {
            assert!(get(stranger, "id").await.is_err() && !stranger.is_ready());
            is_last
        }
    };
    eventually("it was asked often enough", PATIENCE, refused).await;
}
