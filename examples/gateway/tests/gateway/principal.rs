//! The owners of sessions, through the gateway as a process, in front of a backend that verifies tokens.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bartizan_testkit::{
    BoxBody, RedisServer, Server,
    client::{Answer, INITIALIZE, Raw, call},
    eventually,
    process::{Process, signal},
    serve,
    server::boxed,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::{sync::Barrier, time::timeout};

use crate::fixtures::{Gateway, PATIENCE, command};

// The payloads are {"iss":"i","sub":"alice","n":1}, the same with 2, and {"iss":"i","sub":"bob","n":1}.
const ALICE: &str = "Bearer e30.eyJpc3MiOiJpIiwic3ViIjoiYWxpY2UiLCJuIjoxfQ.one";
const REFRESHED: &str = "Bearer e30.eyJpc3MiOiJpIiwic3ViIjoiYWxpY2UiLCJuIjoyfQ.two";
const BOB: &str = "Bearer e30.eyJpc3MiOiJpIiwic3ViIjoiYm9iIiwibiI6MX0.three";
const FORGED: &str = "Bearer e30.eyJpc3MiOiJpIiwic3ViIjoiYWxpY2UiLCJuIjoxfQ.forged";

/// Opens a session for any client. A call needs a valid token or a user that a proxy names, but the backend does not
/// check who owns the session. The answer repeats the credentials that it got.
async fn backend() -> Server {
    let opened = Arc::new(AtomicUsize::new(0));
    // Both calls of `together` have arrived before either is answered.
    let both = Arc::new(Barrier::new(2));
    serve(move |request| {
        let (opened, both) = (Arc::clone(&opened), Arc::clone(&both));
        async move { respond(request, &opened, &both).await }
    })
    .await
}

async fn respond(
    request: Request<Incoming>,
    opened: &AtomicUsize,
    both: &Barrier,
) -> Response<BoxBody> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut response = Response::new(boxed(Full::from(shown(&head.headers))));
    if body == INITIALIZE {
        let id = format!("session-{}", opened.fetch_add(1, Ordering::SeqCst));
        response.headers_mut().insert("mcp-session-id", id.parse().unwrap());
        return response;
    }
    if body == call(1, "together") {
        both.wait().await;
    }
    let credentials = head.headers.get("authorization").or(head.headers.get("x-user"));
    if credentials.is_none_or(|value| value == FORGED) {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    response
}

fn shown(headers: &HeaderMap) -> String {
    let names = ["x-user", "x_user"];
    let shown = names.into_iter().filter_map(|name| headers.get(name));
    shown.map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join(",")
}

/// Sends `body` with `fields`.
async fn send(
    raw: &Raw,
    session: Option<&str>,
    body: impl Into<Bytes>,
    fields: &[(&str, &str)],
) -> Answer {
    let request =
        fields.iter().fold(raw.request(Method::POST, session), |request, (name, value)| {
            request.header(*name, *value)
        });
    timeout(PATIENCE, raw.send(request.body(Full::new(body.into())).unwrap())).await.unwrap()
}

async fn open(raw: &Raw, fields: &[(&str, &str)]) -> String {
    let answer = send(raw, None, INITIALIZE, fields).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.session().unwrap().to_owned()
}

async fn status(raw: &Raw, session: &str, fields: &[(&str, &str)]) -> u16 {
    let answer = send(raw, Some(session), call(7, "any"), fields).await;
    if answer.status == 404 {
        assert!(answer.text().contains("-32001"), "{}", answer.text());
    }
    answer.status.as_u16()
}

async fn with_token(raw: &Raw, session: &str, token: &str) -> u16 {
    status(raw, session, &[("authorization", token)]).await
}

#[tokio::test]
async fn a_strangers_token_uses_a_session_only_where_none_has_an_owner() {
    let server = backend().await;
    for (choice, refreshed, strangers) in
        [("none", 200, 200), ("jwt", 200, 404), ("authorization", 404, 404)]
    {
        let gateway = Gateway::before(&[server.uri()], &[&format!("--principal={choice}")]).await;
        let raw = Raw::new(&gateway.uri());
        let id = open(&raw, &[("authorization", ALICE)]).await;
        assert_eq!(with_token(&raw, &id, ALICE).await, 200, "{choice}");
        assert_eq!(with_token(&raw, &id, REFRESHED).await, refreshed, "{choice}");
        assert_eq!(with_token(&raw, &id, BOB).await, strangers, "{choice}");
        assert_eq!(with_token(&raw, &id, "Bearer opaque").await, strangers, "{choice}");
        let without = if choice == "none" { 401 } else { 404 };
        assert_eq!(status(&raw, &id, &[]).await, without, "{choice}");
        // Only the backend verifies tokens.
        let forged = if choice == "authorization" { 404 } else { 401 };
        assert_eq!(with_token(&raw, &id, FORGED).await, forged, "{choice}");
        assert_eq!(with_token(&raw, &id, ALICE).await, 200, "{choice}");
    }
}

#[tokio::test]
async fn a_proxy_names_the_client_if_it_is_trusted() {
    let server = backend().await;
    let header = "--principal=header:X-User";
    let trusting = Gateway::before(&[server.uri()], &[header, "--trust=127.0.0.0/8"]).await;
    let raw = Raw::new(&trusting.uri());
    let id = open(&raw, &[("x-user", "alice")]).await;
    let call = call(7, "any");
    let answer =
        send(&raw, Some(&id), call.clone(), &[("x-user", "alice"), ("x_user", "bob")]).await;
    assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "alice"));
    assert_eq!(status(&raw, &id, &[("x-user", "bob")]).await, 404);
    assert_eq!(status(&raw, &id, &[]).await, 404);
    assert_eq!(status(&raw, &id, &[("x-user", "alice"), ("x-user", "bob")]).await, 404);

    let other = Gateway::before(&[server.uri()], &[header, "--trust=10.0.0.0/8"]).await;
    let raw = Raw::new(&other.uri());
    let id = open(&raw, &[("x-user", "alice")]).await;
    let answer = send(&raw, Some(&id), call, &[("x-user", "alice"), ("x_user", "alice")]).await;
    assert_eq!((answer.status.as_u16(), &*answer.text()), (401, ""), "the backend does not see it");

    let mut refused = Process::start(
        env!("CARGO_BIN_EXE_bartizan-gateway"),
        &["--listen=127.0.0.1:0", &format!("--backend={}", server.uri()), header],
    );
    refused.error_line_with("--trust").await;
    assert_eq!(refused.wait().await, Some(1));
}

/// Two replicas: a client that gets its token during a session.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_opened_without_a_token_belongs_to_the_first_that_is_accepted() {
    let (redis, server) = (RedisServer::start().await, backend().await);
    let store = format!("--store={}", redis.url());
    let args = [&*store, "--principal=jwt"];
    let mut gateways = Vec::new();
    for _ in 0..2 {
        let gateway = Gateway::with_admin(&[server.uri()], &args).await;
        let admin = Raw::new(&gateway.admin_uri());
        eventually("the replica is ready", PATIENCE, || is_ready(&admin)).await;
        gateways.push(gateway);
    }
    let [a, b] = [0, 1].map(|at: usize| Raw::new(&gateways[at].uri()));
    let id = open(&a, &[]).await;
    // In the near-caches of both.
    for raw in [&a, &b] {
        assert_eq!(status(raw, &id, &[]).await, 401);
        assert_eq!(with_token(raw, &id, FORGED).await, 401, "it decides nothing");
    }
    assert_eq!(with_token(&b, &id, ALICE).await, 200);
    eventually("the other replica knows", PATIENCE, || async {
        with_token(&a, &id, BOB).await == 404 && status(&a, &id, &[]).await == 404
    })
    .await;
    for raw in [&a, &b] {
        assert_eq!(with_token(raw, &id, BOB).await, 404);
        assert_eq!(status(raw, &id, &[]).await, 404);
        assert_eq!(with_token(raw, &id, REFRESHED).await, 200);
    }

    // At two replicas at once: exactly one wins.
    let together = call(1, "together");
    let mut wins = [0, 0];
    for _ in 0..30 {
        let id = open(&a, &[]).await;
        let calls = [(&a, ALICE), (&b, BOB)].map(|(raw, token)| {
            let (id, together) = (&id, together.clone());
            async move { send(raw, Some(id), together, &[("authorization", token)]).await }
        });
        let [alice, bob] = calls;
        let (alice, bob) = tokio::join!(alice, bob);
        let (winner, loser) = match (alice.status.as_u16(), bob.status.as_u16()) {
            (200, 404) => (ALICE, BOB),
            (404, 200) => (BOB, ALICE),
            other => panic!("{other:?}"),
        };
        wins[usize::from(winner == BOB)] += 1;
        eventually("both replicas know", PATIENCE, || async {
            with_token(&a, &id, loser).await == 404 && with_token(&b, &id, loser).await == 404
        })
        .await;
        assert_eq!(with_token(&a, &id, winner).await, 200);
        assert_eq!(with_token(&b, &id, winner).await, 200);
    }
    println!("first of two at once, by replica: {wins:?}");
}

async fn is_ready(admin: &Raw) -> bool {
    let request = Request::get(admin.endpoint().replace("/mcp", "/readyz"));
    let answer = admin.try_send(request.body(Full::default()).unwrap()).await;
    answer.is_ok_and(|answer| answer.status == 200)
}

const WARNING: &str = "sessions have no owner";

#[cfg(unix)]
#[tokio::test]
async fn sessions_without_an_owner_are_warned_of_where_others_can_reach_the_gateway() {
    let backend = "--backend=http://127.0.0.1:9";
    for (args, warns) in [
        (&["--listen=0.0.0.0:0"][..], true),
        (&["--listen=[::]:0", "--principal=none"], true),
        (&["--listen=127.0.0.1:0"], false),
        (&["--listen=[::1]:0"], false),
        (&["--listen=0.0.0.0:0", "--principal=jwt"], false),
    ] {
        let mut command = command();
        let command = command
            .args(args)
            .args([backend, "--drain-delay=0s"])
            .stderr(std::process::Stdio::piped());
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut lines = tokio::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        tokio::io::AsyncBufReadExt::read_line(&mut lines, &mut line).await.unwrap();
        assert!(line.contains("listening on"), "{line}");
        signal(child.id().unwrap(), "TERM").await;
        let output = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(log.matches(WARNING).count(), usize::from(warns), "{args:?}: {log}");
        assert!(!warns || log.contains("WARN") && log.contains("--principal"), "{log}");
    }
}
