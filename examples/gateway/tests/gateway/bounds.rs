//! Requests that the gateway refuses before it forwards anything, through the whole stack.

use bartizan_testkit::{client::Raw, raw};
use http::Method;
use http_body_util::Full;

use crate::fixtures::{Backend, Gateway, PATIENCE, command};

#[tokio::test]
async fn a_body_past_the_bound_is_refused_with_413_whether_it_says_so_or_not() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend, &["--max-body=1KB"]).await;
    let client = Raw::new(&gateway.uri());
    let session = client.initialize().await;
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: a\r\nmcp-session-id: {session}\r\nconnection: close\r\n"
    );
    for (bytes, status) in [(1000, 200), (1001, 413)] {
        let content = " ".repeat(bytes);
        let declared = format!("{head}content-length: {bytes}\r\n\r\n{content}");
        let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{bytes:x}\r\n{content}");
        for request in [declared, format!("{chunked}\r\n0\r\n\r\n")] {
            let reply = raw::exchange(gateway.address, request.as_bytes(), PATIENCE).await;
            assert_eq!(reply.status(), Some(status), "{}", reply.text());
            assert_eq!(reply.text().contains(r#""jsonrpc":"2.0""#), status == 413);
        }
    }
    // The same applies to a body that the gateway reads because it may open a session.
    let request = client.request(Method::POST, None).body(Full::from(" ".repeat(1001))).unwrap();
    assert_eq!(client.send(request).await.status, 413);
    // The session is unchanged.
    assert_eq!(client.post(Some(&session), "{}").await.status, 200);
}

#[tokio::test]
async fn a_head_past_the_bound_is_refused_with_431() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(&backend, &[]).await;
    for fields in [format!("x-long: {}\r\n", "a".repeat(140_000)), "x-many: a\r\n".repeat(101)] {
        let head = format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        let reply = raw::exchange(gateway.address, head.as_bytes(), PATIENCE).await;
        assert_eq!(reply.status(), Some(431), "{}", reply.text());
    }
}

#[tokio::test]
async fn a_mistake_on_the_command_line_names_the_option() {
    let output = command().args(["--backend=http://a/x"]).output().await.unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("--backend") && text.contains("an origin"), "{text}");

    let environment = [("BARTIZAN_BACKEND", "http://a,http://b"), ("BARTIZAN_IDLE", "soon")];
    let output = command().envs(environment).output().await.unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("--idle") && text.contains("a duration"), "{text}");
}

/// The gateway checks its configuration before it listens.
#[tokio::test]
async fn settings_that_do_not_go_together_are_refused_before_anything_listens() {
    for args in [
        &["--record-keys=/keys"][..],
        &["--backend=http://a"],
        &["--backend=http://127.0.0.1:8080", "--listen=127.0.0.1:8080"],
        &["--stream-keepalive=1ms"],
        &["--drain-delay=1h"],
        &["--on-lost=resume", "--session-header=x-s"],
        &["--on-lost=resume", "--record-keys=/nowhere/keys"],
        &["--principal=header:x-user"],
        &["demo"],
    ] {
        let output =
            command().args(["--backend=http://A:80", "--admin=127.0.0.1:0"]).args(args).output();
        let output = tokio::time::timeout(PATIENCE, output).await.unwrap().unwrap();
        let (out, error) = (output.stdout, String::from_utf8(output.stderr).unwrap());
        assert!(!output.status.success() && out.is_empty(), "{args:?}: {error}");
        let option = args.last().unwrap().split('=').next().unwrap();
        assert!(error.contains(option), "{args:?}: {error}");
    }
}

#[tokio::test]
async fn a_variable_that_names_no_option_is_warned_of() {
    let mut gateway = command()
        .args(["--backend=http://127.0.0.1:9", "--listen=127.0.0.1:0", "--near-cache=5"])
        .env("BARTIZAN_IDEL", "secret")
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let lines = tokio::io::BufReader::new(gateway.stderr.take().unwrap());
    let mut lines = tokio::io::AsyncBufReadExt::lines(lines);
    for name in ["BARTIZAN_IDEL", "--near-cache"] {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let line = line.unwrap().unwrap().unwrap();
        assert!(line.contains("WARN") && line.contains(name) && !line.contains("secret"), "{line}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let backend = Backend::start().await;
    let address = backend.server.addr.to_string();
    let output = command().args(["--listen", &address, "--backend=http://a"]).output();
    let output = output.await.unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains(&format!("cannot listen on {address}")), "{text}");
}
