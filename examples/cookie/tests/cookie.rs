//! Two replicas of the proxy, each a process, in front of a server in axum and one in plain hyper.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test support")]

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::Request, response::IntoResponse};
use bartizan_testkit::{Server, process::Process, raw, serve, server::boxed};
use http::{HeaderMap, Response, header::COOKIE};
use tokio::net::TcpListener;

/// What a server remembers: the visits of each of its users.
#[derive(Clone)]
struct Visits {
    server: &'static str,
    by_user: Arc<Mutex<HashMap<String, u32>>>,
}

impl Visits {
    fn new(server: &'static str) -> Self {
        Self { server, by_user: Arc::default() }
    }

    /// The response, with the cookies of the request and a cookie that names a new user.
    fn visit(&self, headers: &HeaderMap) -> Response<String> {
        let lines = headers.get_all(COOKIE).iter().map(|line| line.to_str().unwrap());
        let cookies = lines.collect::<Vec<_>>().join("; ");
        let user = cookies.split("; ").find_map(|pair| pair.strip_prefix("user="));
        let mut visits = self.by_user.lock().unwrap();
        let name = user.map_or_else(|| format!("{}-{}", self.server, visits.len()), str::to_owned);
        if user.is_some() && !visits.contains_key(&name) {
            return Response::builder().status(440).body(format!("who is {name}?")).unwrap();
        }
        let visit = visits.entry(name.clone()).or_default();
        *visit += 1;
        let mut response =
            Response::new(format!("visit {visit} at {} with [{cookies}]", self.server));
        if user.is_none() {
            let line = format!("user={name}; Path=/");
            response.headers_mut().insert("set-cookie", line.parse().unwrap());
        }
        response
    }
}

async fn in_axum(visits: Visits) -> SocketAddr {
    let app = Router::new().fallback(move |request: Request| async move {
        visits.visit(request.headers()).into_response()
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn in_hyper(visits: Visits) -> Server {
    serve(move |request| {
        let response = visits.visit(request.headers());
        async move { response.map(boxed) }
    })
    .await
}

struct Replica {
    // Killed when it is dropped.
    _process: Process,
    address: SocketAddr,
}

impl Replica {
    async fn start(secret: &str, backends: &[String]) -> Self {
        // The program reads its secret from the environment, and a test has no other way to set that for a child.
        let program = env!("CARGO_BIN_EXE_bartizan-example-cookie");
        let setting = format!("COOKIE_SECRET={secret}");
        let mut args = vec![setting.as_str(), program, "127.0.0.1:0"];
        args.extend(backends.iter().map(String::as_str));
        let mut process = Process::start("env", &args);
        let line = process.line_with("listening on").await;
        let address = line.rsplit(' ').next().unwrap().parse().unwrap();
        Self { _process: process, address }
    }

    async fn get(&self, fields: &[String]) -> Reply {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let request = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n");
        let reply = raw::exchange(self.address, request.as_bytes(), Duration::from_secs(10)).await;
        Reply { status: reply.status().unwrap(), text: reply.text() }
    }
}

struct Reply {
    status: u16,
    text: String,
}

impl Reply {
    fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").unwrap().1
    }

    fn set(&self, cookie: &str) -> Option<&str> {
        let start = format!("set-cookie: {cookie}=");
        let line = self.text.lines().find(|line| line.starts_with(&start))?;
        line.strip_prefix("set-cookie: ")
    }

    /// What a browser sends back: both cookies in one field.
    fn cookies(&self) -> String {
        let value = |name| self.set(name).unwrap().split(';').next().unwrap();
        format!("cookie: {}; {}", value("user"), value("backend"))
    }
}

const SECRET: &str = "correct horse battery staple";

#[tokio::test]
async fn a_client_stays_on_its_server_through_any_replica_and_a_restart() {
    let axum = in_axum(Visits::new("axum")).await;
    let hyper = in_hyper(Visits::new("hyper")).await;
    let backends = [format!("http://{axum}"), hyper.uri()];
    let mut reversed = backends.clone();
    reversed.reverse();
    let one = Replica::start(SECRET, &backends).await;
    let mut other = Replica::start(SECRET, &reversed).await;
    let mut seen = Vec::new();
    // Which server gets a client is up to chance.
    let is_at = |seen: &[(&str, String)], server| seen.iter().any(|(at, _)| *at == server);
    while seen.len() < 6 || (seen.len() < 64 && !(is_at(&seen, "axum") && is_at(&seen, "hyper"))) {
        let first = one.get(&[]).await;
        assert_eq!(first.status, 200);
        let line = first.set("backend").unwrap();
        assert!(line.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=86400"), "{line}");
        let server = if first.body().contains("axum") { "axum" } else { "hyper" };
        seen.push((server, first.cookies()));
    }
    for server in ["axum", "hyper"] {
        let at = |(seen, _): &&(&str, String)| *seen == server;
        assert!(seen.iter().any(|seen| at(&seen)), "both get clients: {seen:?}");
        // All clients of a server get the same value, so the cookie identifies no client.
        let values = seen.iter().filter(at).map(|(_, cookies)| cookies.rsplit(' ').next());
        assert_eq!(values.collect::<std::collections::HashSet<_>>().len(), 1);
    }
    for visit in 2..5 {
        for (server, cookies) in &seen {
            let replica = if visit % 2 == 0 { &other } else { &one };
            let reply = replica.get(std::slice::from_ref(cookies)).await;
            let user = cookies.strip_prefix("cookie: ").unwrap().split(';').next().unwrap();
            assert_eq!(reply.body(), format!("visit {visit} at {server} with [{user}]"));
            assert_eq!((reply.set("backend"), reply.set("user")), (None, None));
        }
        other = Replica::start(SECRET, &backends).await;
    }
}

#[tokio::test]
async fn a_forged_cookie_leads_nowhere_and_is_replaced() {
    let hyper = in_hyper(Visits::new("hyper")).await;
    let backends = [hyper.uri()];
    let replica = Replica::start(SECRET, &backends).await;
    let stranger = Replica::start("another secret of theirs", &backends).await;
    let forged = stranger.get(&[]).await.set("backend").unwrap().to_owned();
    let good = replica.get(&[]).await.set("backend").unwrap().to_owned();
    assert_ne!(forged, good);
    let value = forged.split(';').next().unwrap();
    for cookie in [value.to_owned(), format!("backend={}", hyper.uri()), "backend=".into()] {
        let reply = replica.get(&[format!("cookie: {cookie}")]).await;
        assert_eq!((reply.status, reply.set("backend")), (200, Some(&*good)), "{cookie}");
        assert!(reply.body().ends_with("with []"), "{}", reply.body());
    }
    // In three fields, the good one last.
    let fields =
        [value, "a=b", good.split(';').next().unwrap()].map(|pair| format!("cookie: {pair}"));
    let reply = replica.get(&fields).await;
    assert_eq!((reply.status, reply.set("backend")), (200, None));
    assert!(reply.body().ends_with("with [a=b]"), "{}", reply.body());
}

#[tokio::test]
async fn the_cookie_is_secure_behind_a_proxy_that_ends_tls() {
    let hyper = in_hyper(Visits::new("hyper")).await;
    let replica = Replica::start(SECRET, &[hyper.uri()]).await;
    let reply = replica
        .get(&["x-forwarded-proto: https".into(), "x-forwarded-for: 192.0.2.1".into()])
        .await;
    assert!(reply.set("backend").unwrap().ends_with("; Secure"), "{}", reply.text);
    assert!(!replica.get(&[]).await.set("backend").unwrap().contains("Secure"));
}
