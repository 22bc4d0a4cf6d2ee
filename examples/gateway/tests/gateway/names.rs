//! Backends with host names, resolved by a hosts file that only the gateway sees. This needs a mount namespace, which
//! not every machine allows an ordinary user to create.

use std::{
    fs,
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bartizan_testkit::{
    BoxBody, Server,
    client::{INITIALIZE, Raw},
    serve,
    server::{boxed, serve_at},
};
use futures_util::future::join_all;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tempfile::NamedTempFile;
use tokio::time::sleep;

use crate::fixtures::{Gateway, PROGRAM};

const MOUNT: &str = r#"mount --bind "$0" /etc/hosts && exec "$@""#;

/// A hosts file that the gateway sees in place of the system's.
struct Hosts(NamedTempFile);

impl Hosts {
    /// `None` if the machine does not allow it.
    fn new(text: &str) -> Option<Self> {
        let hosts = Self(NamedTempFile::new().unwrap());
        hosts.write(text);
        let mut probe = Command::new("unshare");
        probe.args(["-rm", "sh", "-c", MOUNT]).arg(hosts.0.path()).arg("true");
        let is_allowed = probe.output().is_ok_and(|output| output.status.success());
        if !is_allowed {
            println!("skipped: cannot create a mount namespace");
        }
        is_allowed.then_some(hosts)
    }

    fn write(&self, text: &str) {
        fs::write(self.0.path(), text).unwrap();
    }

    async fn gateway(&self, origins: &[String], args: &[&str]) -> Gateway {
        let path = self.0.path().to_str().unwrap();
        let command = ["unshare", "-rm", "sh", "-c", MOUNT, path, PROGRAM];
        Gateway::run(&command, origins, args).await
    }
}

/// A server with its own sessions that closes each connection after a response.
async fn forgetful(addr: Option<SocketAddr>) -> Server {
    let opened = Arc::new(AtomicUsize::new(0));
    let own = addr.map_or("first", |_| "second");
    let handler = move |request: Request<Incoming>| {
        let opened = Arc::clone(&opened);
        async move { respond(request, own, &opened).await }
    };
    match addr {
        Some(addr) => serve_at(addr, handler).await,
        None => serve(handler).await,
    }
}

async fn respond(request: Request<Incoming>, own: &str, opened: &AtomicUsize) -> Response<BoxBody> {
    let session = request.headers().get("mcp-session-id").cloned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut response = Response::new(boxed(Full::from(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#)));
    if body == INITIALIZE {
        let id = format!("{own}-{}", opened.fetch_add(1, Ordering::Relaxed));
        response.headers_mut().insert("mcp-session-id", id.parse().unwrap());
    } else if !session.is_some_and(|id| id.to_str().unwrap().starts_with(own)) {
        *response.status_mut() = http::StatusCode::NOT_FOUND;
    } else if body.starts_with(br#"{"jsonrpc":"2.0","method":"notifications/"#) {
        *response.status_mut() = http::StatusCode::ACCEPTED;
    }
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("connection", HeaderValue::from_static("close"));
    response
}

#[tokio::test]
async fn a_name_that_vanishes_for_a_while_ends_no_session() {
    let server = forgetful(None).await;
    let named = format!("{} pod-0.test.invalid\n", server.addr.ip());
    let Some(hosts) = Hosts::new(&named) else { return };
    let origins = [format!("http://pod-0.test.invalid:{}", server.addr.port())];
    let gateway = hosts.gateway(&origins, &[]).await;
    let raw = Raw::new(&gateway.uri());
    let session = raw.initialize().await;
    hosts.write("");
    // Longer than the time after which the sessions of an unreachable backend count as lost.
    for _ in 0..70 {
        for answer in join_all((0..6).map(|_| raw.increment(&session))).await {
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        sleep(Duration::from_millis(100)).await;
    }
    hosts.write(&named);
    assert_eq!(raw.increment(&session).await.status, 200);
}

#[tokio::test]
async fn the_sessions_of_a_name_with_two_servers_stay_at_one() {
    let first = forgetful(None).await;
    let port = first.addr.port();
    let _second = forgetful(Some(([127, 0, 0, 2], port).into())).await;
    let localhost = "::1 localhost\n127.0.0.1 localhost\n";
    let tools = "127.0.0.2 tools\n127.0.0.1 tools\n";
    let Some(hosts) = Hosts::new(&format!("{localhost}{tools}")) else { return };
    let origins = ["localhost", "tools"].map(|name| format!("http://{name}:{port}"));
    let mut gateway = hosts.gateway(&origins, &[]).await;
    // The first one: `localhost` is one server.
    let warning = gateway.process.error_line_with("addresses").await;
    assert!(warning.contains("WARN") && warning.contains(&origins[1]), "{warning}");
    assert!(warning.contains("(127.0.0.1, 127.0.0.2)"), "{warning}");
    let raw = Raw::new(&gateway.uri());
    let mut sessions = Vec::new();
    for _ in 0..20 {
        sessions.push(raw.initialize().await);
    }
    for _ in 0..10 {
        for answer in join_all(sessions.iter().map(|session| raw.increment(session))).await {
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
}
