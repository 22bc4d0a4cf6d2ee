//! How many connections there may be: tunnels count, and the process gets the file descriptors for them.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    time::{Duration, timeout},
};

use crate::fixtures::{Gateway, PATIENCE};

/// Longer than the gateway takes to close an idle connection for a new one.
const LONGER_THAN_A_LOOK: Duration = Duration::from_millis(500);
const UPGRADE: &[u8] =
    b"GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

/// A backend that agrees to every upgrade, and sends back what comes through the tunnel.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(respond(stream));
        }
    });
    address
}

async fn respond(mut stream: TcpStream) {
    if !read_head(&mut stream).await.contains("upgrade: websocket\r\n") {
        let response = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        return stream.write_all(response).await.unwrap();
    }
    let agreed =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(agreed.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let _ = copy(&mut reading, &mut writing).await;
    let _ = writing.shutdown().await;
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn ask(gateway: &Gateway, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream
}

#[tokio::test]
async fn a_tunnel_keeps_its_place_until_it_ends() {
    let origin = format!("http://{}", echo().await);
    for workers in ["--workers=1", "--workers=2"] {
        let args = ["--max-connections=1", "--session-header=x-s", workers];
        let gateway = Gateway::before(std::slice::from_ref(&origin), &args).await;
        let mut tunnel = ask(&gateway, UPGRADE).await;
        assert!(read_head(&mut tunnel).await.starts_with("HTTP/1.1 101 "));
        let mut next = ask(&gateway, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let served = timeout(LONGER_THAN_A_LOOK, next.peek(&mut [0])).await;
        assert!(served.is_err(), "{workers}: the tunnel has the only place");
        // It is not closed for another client, as an idle connection would be.
        tunnel.write_all(b"ping").await.unwrap();
        let mut pong = [0; 4];
        timeout(PATIENCE, tunnel.read_exact(&mut pong)).await.unwrap().unwrap();
        assert_eq!(&pong, b"ping");
        drop(tunnel);
        assert!(read_head(&mut next).await.starts_with("HTTP/1.1 200 "));
        // This one is idle from now on, and leaves.
        let mut last = ask(&gateway, UPGRADE).await;
        assert!(read_head(&mut last).await.starts_with("HTTP/1.1 101 "));
    }
}

#[cfg(target_os = "linux")]
mod descriptors {
    use std::fs;

    use super::*;
    use crate::fixtures::PROGRAM;

    /// Starts a gateway that may open so many files, and more if it asks for it.
    async fn start(soft: u32, hard: u32, args: &[&str]) -> Gateway {
        let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
        let origins = ["http://127.0.0.1:9".to_owned()];
        Gateway::run(&["sh", "-c", &script, PROGRAM], &origins, args).await
    }

    /// The soft limit.
    fn limit(gateway: &Gateway) -> u32 {
        let limits = fs::read_to_string(format!("/proc/{}/limits", gateway.process.id())).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn the_limit_is_raised_whether_or_not_the_number_of_connections_is_given() {
        for args in [&[][..], &["--max-connections=100"]] {
            let gateway = start(64, 1000, args).await;
            bartizan_testkit::eventually("the limit is raised", PATIENCE, || {
                let limit = limit(&gateway);
                async move { limit == 1000 }
            })
            .await;
        }
    }

    #[tokio::test]
    async fn more_connections_than_descriptors_are_warned_of() {
        // (1000 - 32 - 4) / 2
        for (connections, warns) in [("482", false), ("483", true)] {
            let option = format!("--max-connections={connections}");
            let mut gateway = start(64, 1000, &[&option, "--workers=2"]).await;
            gateway.process.signal("INT").await;
            let line = gateway.process.error_line_with(if warns { &option } else { "INFO" }).await;
            let expected = if warns { "room for 482" } else { "stopping" };
            assert!(line.contains(expected), "{line}");
        }
    }
}
