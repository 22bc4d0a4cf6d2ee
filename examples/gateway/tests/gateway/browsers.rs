//! Pages in browsers: after DNS rebinding, of foreign origins, and of allowed origins.

use std::time::Duration;

use bartizan_testkit::{
    CounterServer, Recorder, Script,
    client::{Answer, INITIALIZE, Raw},
    raw,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::fixtures::Gateway;

const PAGE: &str = "https://app.example";
const QUIET: Duration = Duration::from_millis(300);

async fn send(
    gateway: &Gateway,
    method: Method,
    session: Option<&str>,
    fields: &[(&str, &str)],
    body: &'static str,
) -> Answer {
    let client = Raw::new(&gateway.uri());
    let request = client.request(method, session);
    let request = fields.iter().fold(request, |all, (name, value)| all.header(*name, *value));
    client.send(request.body(Full::from(body)).unwrap()).await
}

async fn open(gateway: &Gateway, fields: &[(&str, &str)]) -> Answer {
    send(gateway, Method::POST, None, fields, INITIALIZE).await
}

fn lines<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebound_page_opens_no_session_and_reaches_no_backend() {
    for args in [&[][..], &["--allow-host=gw.example", "--allow-origin=https://app.example"]] {
        let servers = CounterServer::start_many(2).await;
        let origins: Vec<_> = servers.iter().map(CounterServer::uri).collect();
        let gateway = Gateway::before(&origins, args).await;
        let rebound = [("host", "evil.example"), ("origin", "http://evil.example")];
        let refused = open(&gateway, &rebound).await;
        assert_eq!(refused.status, 421);
        let text = refused.text();
        assert!(text.starts_with(r#"{"jsonrpc":"2.0","error":"#), "{text}");
        assert!(text.contains("--allow-host") && !text.contains("evil"), "{text}");
        for page in ["http://evil.example", "null"] {
            let refused = open(&gateway, &[("origin", page)]).await;
            assert_eq!(refused.status, 403, "{page}");
            assert!(refused.text().contains("--allow-origin"), "{}", refused.text());
            assert!(!refused.headers.contains_key("access-control-allow-origin"));
        }
        // Plain HTTP outside the endpoint, a preflight, and a WebSocket.
        for head in [
            "GET /other HTTP/1.1\r\nhost: evil.example\r\nsec-fetch-mode: cors",
            "OPTIONS /mcp HTTP/1.1\r\nhost: evil.example\r\norigin: http://evil.example\r\naccess-control-request-method: POST",
            "GET /ws HTTP/1.1\r\nhost: evil.example\r\norigin: http://evil.example\r\nconnection: upgrade\r\nupgrade: websocket",
            "GET http://evil.example/ HTTP/1.1\r\nhost: localhost\r\norigin: http://localhost",
        ] {
            let request = format!("{head}\r\n\r\n");
            let reply = raw::exchange(gateway.address, request.as_bytes(), QUIET).await;
            assert_eq!(reply.status(), Some(421), "{head}: {}", reply.text());
        }
        assert!(servers.iter().all(|server| server.journal().is_empty()), "a backend was called");
        // Not a browser: any `Host`, as a tunnel may set it.
        assert_eq!(open(&gateway, &[("host", "tunnel.example")]).await.status, 200);
        for server in &servers {
            assert!(server.journal().iter().all(|entry| entry.headers["host"] != "tunnel.example"));
        }
    }
}

/// Over HTTP/2, `:authority` is the host.
#[tokio::test(flavor = "multi_thread")]
async fn over_http2_a_rebound_page_is_refused_likewise() {
    let servers = CounterServer::start_many(1).await;
    let gateway = Gateway::before(&[servers[0].uri()], &["--allow-host=gw.example"]).await;
    for (authority, page, status) in [
        ("evil.example", "http://evil.example", 421),
        ("gw.example:8080", "http://evil.example", 403),
        ("gw.example:8080", "http://gw.example:8080", 200),
    ] {
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::post(format!("http://{authority}/mcp"))
            .header("origin", page)
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json");
        let request = request.body(Full::<Bytes>::from(INITIALIZE)).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), status, "{authority} {page}");
        assert_eq!(servers[0].journal().is_empty(), status != 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_own_page_and_a_local_one_open_sessions_by_default() {
    let servers = CounterServer::start_many(1).await;
    let gateway = Gateway::before(&[servers[0].uri()], &[]).await;
    let own = gateway.uri();
    for page in [own.as_str(), "http://localhost:6274", "http://127.0.0.1:1"] {
        let opened = open(&gateway, &[("origin", page), ("sec-fetch-mode", "cors")]).await;
        assert!(opened.session().is_some(), "{page}: {}", opened.text());
        // Without the option, CORS is the backend's.
        assert!(!opened.headers.contains_key("access-control-allow-origin"));
        assert!(!opened.headers.contains_key("vary"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_an_allowed_origin_opens_a_session_and_reads_a_404_of_ours() {
    let servers = CounterServer::start_many(1).await;
    let allow = format!("--allow-origin={PAGE}");
    let gateway = Gateway::before(&[servers[0].uri()], &[&allow]).await;
    let preflight = [
        ("origin", PAGE),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,mcp-session-id"),
    ];
    let asked = send(&gateway, Method::OPTIONS, None, &preflight, "").await;
    assert_eq!(asked.status, 200);
    assert_eq!(lines(&asked.headers, "access-control-allow-origin"), [PAGE]);
    assert_eq!(
        lines(&asked.headers, "access-control-allow-headers"),
        ["content-type,mcp-session-id"]
    );
    assert!(servers[0].journal().is_empty(), "the preflight was forwarded");
    let page = [("origin", PAGE), ("sec-fetch-mode", "cors"), ("sec-fetch-site", "cross-site")];
    let opened = open(&gateway, &page).await;
    assert!(opened.session().is_some(), "{}", opened.text());
    let stranger = send(&gateway, Method::POST, Some("unknown"), &page, "{}").await;
    assert_eq!(stranger.status, 404);
    for answer in [opened, stranger] {
        assert_eq!(lines(&answer.headers, "access-control-allow-origin"), [PAGE]);
        let exposed = lines(&answer.headers, "access-control-expose-headers").concat();
        assert!(exposed.contains("mcp-session-id"), "{exposed}");
        assert!(exposed.contains("mcp-protocol-version"), "{exposed}");
    }
    // Pages can also read the server's own refusals.
    let head = format!("POST /mcp HTTP/1.1\r\norigin: {PAGE}\r\n\r\n");
    let reply = raw::exchange(gateway.address, head.as_bytes(), QUIET).await;
    assert_eq!(reply.status(), Some(400));
    assert!(reply.text().contains(&format!("access-control-allow-origin: {PAGE}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn cors_fields_of_a_backend_are_replaced_for_allowed_origins_only() {
    let response = "HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\naccess-control-expose-headers: x-other\r\naccess-control-allow-credentials: true\r\nvary: accept\r\ncontent-length: 2\r\n\r\nok";
    let backend = Recorder::with(Script::Respond(Bytes::from_static(response.as_bytes()))).await;
    let allow = format!("--allow-origin={PAGE}");
    let args = ["--session-header=x-session", &allow];
    let gateway = Gateway::before(&[backend.uri()], &args).await;
    let answer = send(&gateway, Method::GET, None, &[("origin", PAGE)], "").await;
    assert_eq!(answer.text(), "ok");
    assert_eq!(lines(&answer.headers, "access-control-allow-origin"), [PAGE]);
    assert!(lines(&answer.headers, "access-control-expose-headers").concat().contains("x-session"));
    assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    let local = [("origin", "http://localhost:1")];
    let answer = send(&gateway, Method::GET, None, &local, "").await;
    assert_eq!(lines(&answer.headers, "access-control-allow-origin"), ["*"]);
    assert_eq!(lines(&answer.headers, "access-control-expose-headers"), ["x-other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_terminator_the_public_name_counts() {
    let servers = CounterServer::start_many(1).await;
    let args = ["--trust=127.0.0.1", "--allow-host=gw.example"];
    let gateway = Gateway::before(&[servers[0].uri()], &args).await;
    let behind = async |host: &str, page: &str| {
        let fields = [("x-forwarded-proto", "https"), ("x-forwarded-host", host), ("origin", page)];
        open(&gateway, &fields).await.status
    };
    assert_eq!(behind("gw.example", "https://gw.example").await, 200);
    assert_eq!(behind("gw.example", "http://gw.example").await, 403);
    assert_eq!(behind("evil.example", "https://evil.example").await, 421);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_port_is_guarded_likewise() {
    let servers = CounterServer::start_many(1).await;
    let gateway = Gateway::with_admin(&[servers[0].uri()], &["--allow-host=gw.example"]).await;
    let client = Raw::new(&gateway.admin_uri());
    for (fields, status) in [
        (&[][..], 200),
        (&[("host", "probe.internal")], 200),
        (&[("host", "gw.example"), ("sec-fetch-mode", "cors")], 200),
        (&[("host", "evil.example"), ("sec-fetch-mode", "cors")], 421),
        (&[("origin", "http://evil.example")], 403),
    ] {
        let request = Request::get(format!("{}/healthz", gateway.admin_uri()));
        let request = fields.iter().fold(request, |all, (name, value)| all.header(*name, *value));
        let answer = client.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(answer.status, status, "{fields:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_name_is_the_backends_or_by_choice_the_clients() {
    for (args, expected) in [(&[][..], None), (&["--preserve-host"], Some("gw.example:8080"))] {
        let backend = Recorder::start().await;
        let args = [&["--session-header=x-session"], args].concat();
        let gateway = Gateway::before(&[backend.uri()], &args).await;
        let head = "GET / HTTP/1.1\r\nhost: gw.example:8080\r\n\r\n";
        let reply = raw::exchange(gateway.address, head.as_bytes(), QUIET).await;
        assert_eq!(reply.status(), Some(200));
        let own = backend.addr.to_string();
        let expected = expected.unwrap_or(&own);
        let text = backend.text();
        assert!(text.contains(&format!("\r\nhost: {expected}\r\n")), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_given_to_each_request_and_kept_from_trusted_proxies() {
    let backend = Recorder::start().await;
    let generic = "--session-header=x-session";
    let own = Gateway::before(&[backend.uri()], &[generic, "--request-id"]).await;
    let sent = [("x-request-id", "made-up")];
    let answer = send(&own, Method::GET, None, &sent, "").await;
    let id = lines(&answer.headers, "x-request-id").concat();
    assert_eq!(id.len(), 36, "{id}");
    assert!(backend.text().contains(&format!("\r\nx-request-id: {id}\r\n")));
    assert!(!backend.text().contains("made-up"));
    let args = [generic, "--request-id=x-trace", "--trust=127.0.0.1"];
    let trusting = Gateway::before(&[backend.uri()], &args).await;
    let answer = send(&trusting, Method::GET, None, &[("x-trace", "theirs")], "").await;
    assert_eq!(lines(&answer.headers, "x-trace"), ["theirs"]);
    assert!(backend.text().contains("\r\nx-trace: theirs\r\n"));
    // Our refusals carry an id as well.
    let reply = raw::exchange(trusting.address, b"GET / HTTP/1.1\r\n\r\n", QUIET).await;
    assert_eq!(reply.status(), Some(400));
    assert!(reply.text().contains("\r\nx-trace: "), "{}", reply.text());
}

/// With every option on, sessions work as without.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_streams_pass_all_of_these_layers() {
    let servers = CounterServer::start_many(2).await;
    let origins: Vec<_> = servers.iter().map(CounterServer::uri).collect();
    let allow = format!("--allow-origin={PAGE}");
    let args =
        [allow.as_str(), "--request-id", "--sensitive-header=authorization", "--catch-panics"];
    let gateway = Gateway::before(&origins, &args).await;
    let client = Raw::new(&gateway.uri());
    let id = client.initialize().await;
    for count in 1..=3 {
        assert_eq!(client.increment(&id).await.count(), Some(count));
    }
    let endpoint = format!("{}/mcp", gateway.uri());
    let rmcp = bartizan_testkit::client::connect(&endpoint).await.unwrap();
    for count in 1..=3 {
        assert_eq!(bartizan_testkit::client::increment(&rmcp).await.unwrap(), count);
    }
    assert!(client.delete(Some(&id)).await.status.is_success());
}
