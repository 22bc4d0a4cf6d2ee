//! The two logs of the gateway as a process: what they contain, and that session ids are not in
//! them.

use std::{path::Path, process::Stdio, time::Duration};

use bartizan_testkit::{CounterServer, client::Raw, eventually, process::signal};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    time::timeout,
};

use crate::fixtures::{Gateway, PATIENCE, command};

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_access_log_has_a_line_per_request_and_no_session_id() {
    let server = CounterServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("access.log");
    std::fs::write(&file, "{\"earlier\":true}\n").unwrap();
    let option = format!("--access-log={}", file.display());
    let mut gateway = Gateway::before(&[server.uri()], &[&option]).await;
    let client = Raw::new(&gateway.uri());
    let session = client.initialize().await;
    assert_eq!(client.increment(&session).await.count(), Some(1));
    assert_eq!(client.increment("unknown-id").await.status, 404);
    let written = async || lines(&file).len() == 5;
    eventually("the lines are written while it runs", PATIENCE, written).await;
    let deleted = client.delete(Some(&session)).await.status;
    gateway.process.terminate().await;
    assert_eq!(gateway.process.wait().await, Some(0));

    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains(&session) && !text.contains("unknown-id"), "{text}");
    let lines = lines(&file);
    assert!(lines.len() == 6 && lines[0]["earlier"] == true, "{text}");
    let of = |name: &str| lines[1..].iter().map(|line| line[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("method"), ["POST", "POST", "POST", "POST", "DELETE"]);
    assert_eq!(of("status"), [200, 202, 200, 404, deleted.as_u16()]);
    assert!(of("path").iter().all(|path| path == "/mcp"));
    assert!(of("end").iter().all(|end| end == "complete"), "{text}");
    assert!(of("client").iter().all(|client| client == "127.0.0.1"));
    let (reasons, backends, sessions) = (of("reason"), of("backend"), of("session"));
    assert_eq!(reasons[3], "UnknownSession");
    assert!(backends[3].is_null(), "refused before a backend was chosen");
    for at in [0, 1, 2, 4] {
        assert!(reasons[at].is_null() && backends[at] == server.uri().as_str(), "{text}");
        assert_eq!(sessions[at], sessions[0]);
        assert!(lines[at + 1]["total_ms"].as_f64() >= lines[at + 1]["head_ms"].as_f64());
    }
    assert!(sessions[3] != sessions[0] && lines[4]["response_bytes"].as_u64() > Some(0), "{text}");
}

/// Requests that the server itself refuses are logged, too.
#[tokio::test]
async fn the_access_log_on_standard_output_has_refusals() {
    let server = CounterServer::start().await;
    let mut gateway = Gateway::before(&[server.uri()], &["--access-log=-"]).await;
    let request = b"GET /secret?query HTTP/1.1\r\nHost: a b\r\n\r\n";
    bartizan_testkit::raw::exchange(gateway.address, request, Duration::from_millis(200)).await;
    let line = gateway.process.line_with("InvalidHost").await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["status"], &line["path"]), (&400.into(), &"/secret".into()));
    assert!(line["backend"].is_null() && line["session"].is_null());
}

#[tokio::test]
async fn an_access_log_that_cannot_be_opened_is_named_before_anything_listens() {
    let args =
        ["--backend=http://127.0.0.1:9", "--listen=127.0.0.1:0", "--access-log=/nowhere/log"];
    let output = timeout(PATIENCE, command().args(args).output()).await.unwrap().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(error.contains("--access-log /nowhere/log"), "{error}");
}

/// A pipe without a reader is full after 64 KiB: requests must still be served.
#[tokio::test]
async fn a_reader_that_stops_holds_up_no_request() {
    let server = CounterServer::start().await;
    let mut gateway = command()
        .args(["--listen=127.0.0.1:0", "--drain-delay=0s", "--access-log=-"])
        .arg(format!("--backend={}", server.uri()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(gateway.stdout.take().unwrap());
    let mut line = String::new();
    timeout(PATIENCE, out.read_line(&mut line)).await.unwrap().unwrap();
    let address = line.strip_prefix("listening on ").unwrap().split(',').next().unwrap();
    let client = Raw::new(address);
    let id = client.initialize().await;
    for expected in 1..=1_000 {
        let answer = timeout(PATIENCE, client.increment(&id)).await.unwrap();
        assert_eq!(answer.count(), Some(expected));
    }
    gateway.kill().await.unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).await.unwrap();
    assert!(!rest.is_empty() && !rest.contains(&id));
}

/// The log of a gateway that gets no requests, from its start to its end.
async fn log_of(args: &[&str], variables: &[(&str, &str)]) -> String {
    let mut gateway = command()
        .args(["--backend=http://127.0.0.1:9", "--listen=127.0.0.1:0", "--drain-delay=0s"])
        .args(args)
        .env_remove("RUST_LOG")
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(gateway.stdout.take().unwrap());
    timeout(PATIENCE, out.read_line(&mut String::new())).await.unwrap().unwrap();
    signal(gateway.id().unwrap(), "INT").await;
    let output = timeout(PATIENCE, gateway.wait_with_output()).await.unwrap().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[cfg(unix)]
#[tokio::test]
async fn the_log_is_lines_for_people_or_json() {
    let text = log_of(&[], &[]).await;
    assert!(text.contains("INFO") && text.contains("stopped"), "{text}");
    let json = log_of(&["--log-format=json"], &[]).await;
    let events: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let stopped = events.iter().find(|event| event["message"] == "stopped").unwrap();
    assert_eq!(stopped["level"], "INFO");
    assert!(stopped["timestamp"].is_string() && stopped["target"].is_string(), "{stopped}");
    let by_variable = log_of(&[], &[("BARTIZAN_LOG_FORMAT", "json")]).await;
    assert!(by_variable.starts_with('{'), "{by_variable}");
}

#[cfg(unix)]
#[tokio::test]
async fn rust_log_counts_unless_the_option_is_given() {
    let quiet = [("RUST_LOG", "error")];
    assert_eq!(log_of(&[], &quiet).await, "");
    assert!(log_of(&["--log=info"], &quiet).await.contains("stopped"));
    let both = [("RUST_LOG", "error"), ("BARTIZAN_LOG", "info")];
    assert!(log_of(&[], &both).await.contains("stopped"));
    let odd = log_of(&[], &[("RUST_LOG", "a=b=c")]).await;
    assert!(odd.contains("WARN") && odd.contains("RUST_LOG") && odd.contains("stopped"), "{odd}");
}
