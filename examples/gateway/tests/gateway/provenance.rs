//! What the gateway, as a process, sends to a backend about the client.

use std::time::Duration;

use bartizan_testkit::{Recorder, raw};

use crate::fixtures::Gateway;

const GENERIC: &str = "--session-header=x-session";
const QUIET: Duration = Duration::from_millis(300);

/// Every field that describes where a request comes from.
const SPOOFED: [&str; 25] = [
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Real-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Fastly-Client-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Original-URL",
    "X-Original-Host",
    "X-Envoy-External-Address",
    "X-Rewrite-URL",
    "X-Host",
    "Client-IP",
    "X-ProxyUser-Ip",
    "Front-End-Https",
    "Client-Cert",
    "Client-Cert-Chain",
    "X-Bartizan-Internal",
];

/// Sends a request with `fields`. Returns the status of the response and what the backend has received by then.
async fn send(gateway: &Gateway, recorder: &Recorder, fields: &str) -> (Option<u16>, String) {
    let request = format!("GET /x HTTP/1.1\r\nHost: public.example:8080\r\n{fields}\r\n");
    let reply = raw::exchange(gateway.address, request.as_bytes(), QUIET).await;
    (reply.status(), recorder.text().to_ascii_lowercase())
}

#[tokio::test]
async fn with_no_trust_nothing_that_a_client_made_up_reaches_the_backend() {
    let recorder = Recorder::start().await;
    let all = "--forwarded-fields=x-forwarded-for,x-forwarded-proto,x-forwarded-host,x-forwarded-port,x-real-ip,forwarded";
    let gateway = Gateway::before(&[recorder.uri()], &[GENERIC, all]).await;
    let mixed = |name: &str| -> String {
        let swap = |(at, char): (usize, char)| {
            if at % 2 == 0 { char.to_ascii_lowercase() } else { char.to_ascii_uppercase() }
        };
        name.char_indices().map(swap).collect()
    };
    let spellings: [&dyn Fn(&str) -> String; 3] =
        [&str::to_owned, &mixed, &|name| name.replace('-', "_")];
    for spelling in spellings {
        // Each field twice.
        let twice = |name: &&str| format!("{0}: spoofed-1\r\n{0}: spoofed-2\r\n", spelling(name));
        let fields: String = SPOOFED.iter().map(twice).collect();
        let (status, text) = send(&gateway, &recorder, &fields).await;
        assert_eq!(status, Some(200));
        assert!(!text.contains("spoofed"), "{text}");
    }
    let text = recorder.text().to_ascii_lowercase();
    for line in [
        "x-forwarded-for: 127.0.0.1",
        "x-real-ip: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: public.example:8080",
        "x-forwarded-port: 8080",
        "forwarded: for=127.0.0.1;host=\"public.example:8080\";proto=http",
    ] {
        assert_eq!(text.matches(&format!("\r\n{line}\r\n")).count(), 3, "{line}: {text}");
    }
    // `Connection` names a field that no proxy in front could have named: the request is not
    // forwarded.
    for name in SPOOFED {
        let nominated = format!("Connection: close, {name}\r\n{name}: spoofed\r\n");
        let (status, text) = send(&gateway, &recorder, &nominated).await;
        assert_eq!(status, Some(400), "{name}");
        assert!(!text.contains("spoofed"), "{text}");
    }
    assert_eq!(recorder.requests(), 3);
}

/// Three proxies, of which the test is the last: the leftmost entry is the client's own claim, the rightmost is a
/// proxy.
#[tokio::test]
async fn with_trust_the_client_behind_three_proxies_is_found() {
    let chain = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 198.51.100.5, 10.0.0.8\r\nX-Forwarded-For: 10.0.0.7\r\n";
    let fields = "--forwarded-fields=x-forwarded-for,x-real-ip";
    for (args, expected) in [
        (
            &["--trust=127.0.0.0/8,10.0.0.0/8"][..],
            ["198.51.100.5, 10.0.0.8, 10.0.0.7, 127.0.0.1", "198.51.100.5"],
        ),
        (&["--trust-count=3"], ["198.51.100.5, 10.0.0.8, 10.0.0.7, 127.0.0.1", "198.51.100.5"]),
        (
            &["--trust=127.0.0.0/8", "--trust=10.0.0.0/8", "--forwarded=replace"],
            ["198.51.100.5"; 2],
        ),
        (&["--trust=10.0.0.0/8"], ["127.0.0.1"; 2]),
    ] {
        let recorder = Recorder::start().await;
        let args: Vec<_> = [GENERIC, fields].iter().chain(args).copied().collect();
        let gateway = Gateway::before(&[recorder.uri()], &args).await;
        let (status, text) = send(&gateway, &recorder, chain).await;
        assert_eq!(status, Some(200));
        let [chain, client] = expected;
        assert!(text.contains(&format!("\r\nx-forwarded-for: {chain}\r\n")), "{args:?}: {text}");
        assert!(text.contains(&format!("\r\nx-real-ip: {client}\r\n")), "{args:?}: {text}");
        assert!(!text.contains("6.6.6.6"), "{text}");
    }
}

#[tokio::test]
async fn off_is_nothing_at_all() {
    let recorder = Recorder::start().await;
    let args = [GENERIC, "--forwarded=off", "--trust=127.0.0.0/8"];
    let gateway = Gateway::before(&[recorder.uri()], &args).await;
    let (status, text) = send(&gateway, &recorder, "X-Forwarded-For: 198.51.100.5\r\n").await;
    assert_eq!(status, Some(200));
    assert!(!text.contains("forwarded") && !text.contains("198.51.100.5"), "{text}");
}

#[tokio::test]
async fn a_field_may_be_kept_and_a_trusted_proxy_may_name_the_client_in_one() {
    let fields = "X-Host: kept\r\nX-Rewrite-URL: dropped\r\nCF-Connecting-IP: 198.51.100.5\r\n";
    let recorder = Recorder::start().await;
    let gateway = Gateway::before(&[recorder.uri()], &[GENERIC, "--keep-field=X-Host"]).await;
    let (status, text) = send(&gateway, &recorder, fields).await;
    assert_eq!(status, Some(200));
    assert!(text.contains("x-host: kept") && !text.contains("dropped"), "{text}");
    assert!(!text.contains("198.51.100.5"), "{text}");

    let named = "--client-ip-header=CF-Connecting-IP";
    for (trust, expected) in
        [("127.0.0.0/8", "198.51.100.5, 127.0.0.1"), ("10.0.0.0/8", "127.0.0.1")]
    {
        let recorder = Recorder::start().await;
        let args = [GENERIC, named, "--trust", trust];
        let gateway = Gateway::before(&[recorder.uri()], &args).await;
        let (status, text) = send(&gateway, &recorder, fields).await;
        assert_eq!(status, Some(200));
        assert!(text.contains(&format!("\r\nx-forwarded-for: {expected}\r\n")), "{text}");
    }
}
