//! The subcommands, as processes.

use std::process::Stdio;

use tokio::time::timeout;

use crate::fixtures::{Backend, Gateway, PATIENCE, command};

#[tokio::test]
async fn the_demonstration_ends_well_and_says_so() {
    let run = command().args(["demo", "--once"]).output();
    let output = timeout(PATIENCE, run).await.unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}{log}");
    assert!(text.contains("ok: all 20 sessions counted 1 to 5, each on one backend"), "{text}");
    // All three servers are listed, each has sessions, and the calls add up.
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("counter-")).collect();
    let column =
        |row: &str, at: usize| -> u64 { row.split_whitespace().nth(at).unwrap().parse().unwrap() };
    let sum = |at: usize| rows.iter().map(|row| column(row, at)).sum::<u64>();
    assert!(rows.iter().all(|row| column(row, 2) > 0), "{text}");
    assert_eq!((rows.len(), sum(2), sum(3), sum(4)), (3, 20, 100, 0), "{text}");
}

/// Runs the command with `args`; returns whether it succeeded, and what it printed.
async fn output(args: &[&str]) -> (bool, String) {
    let output = timeout(PATIENCE, command().args(args).output()).await.unwrap().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn the_health_check_says_whether_a_gateway_is_ready() {
    let backend = Backend::start().await;
    let gateway = Gateway::with_admin(&[backend.server.uri()], &[]).await;
    gateway.until_readiness(200, "ready").await;
    let admin = gateway.admin_uri();
    let admin = admin.strip_prefix("http://").unwrap();
    let (is_ready, answer) = output(&["health", "--admin", admin]).await;
    assert!(is_ready && answer.contains("ready"), "{answer}");
    drop(gateway);
    let (is_ready, answer) = output(&["health", "--admin", admin]).await;
    assert!(!is_ready && answer.contains(admin), "{answer}");
    // The server that answers is not the admin listener of a gateway.
    let other = backend.server.uri();
    let (is_ready, _) =
        output(&["health", "--admin", other.strip_prefix("http://").unwrap()]).await;
    assert!(!is_ready);
}

#[tokio::test]
async fn completions_and_the_man_page_know_the_options() {
    for shell in ["bash", "zsh", "fish"] {
        let (is_printed, text) = output(&["completions", shell]).await;
        assert!(is_printed && text.contains("max-sessions"), "{shell}");
    }
    let (is_printed, text) = output(&["man"]).await;
    assert!(is_printed && text.contains(r"max\-sessions"));
}

/// Standard output may be closed, or a file on a full disk.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn output_that_cannot_be_written_is_an_error() {
    for args in [&["completions", "bash"][..], &["man"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = command();
        let child = command.args(args).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let output = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
        assert!(text.contains("No space left") && !text.contains("panicked"), "{args:?}: {text}");
    }
}
