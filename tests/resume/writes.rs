//! A write whose outcome is unknown is sent once.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bartizan_testkit::client::{Raw, call_with};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{
    common::resuming,
    scripted::{Opening, Scripted},
};

/// The point at which a backend fails during a write.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// Before the connection: nothing listens.
    Away,
    /// After this many bytes of the request.
    AfterRead(usize),
    /// After the whole of it, without an answer.
    AfterAll,
    /// After this many bytes of an answer.
    AfterAnswer(usize),
}

/// A backend that opens sessions, and fails during each write.
struct Dying {
    addr: SocketAddr,
    death: Arc<Mutex<Death>>,
    /// The bytes of each connection that was not a handshake.
    read: Arc<Mutex<Vec<Vec<u8>>>>,
    task: Option<JoinHandle<()>>,
}

impl Dying {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut dying = Self {
            addr,
            death: Arc::new(Mutex::new(Death::AfterAll)),
            read: Arc::default(),
            task: None,
        };
        dying.listen(listener);
        dying
    }

    fn listen(&mut self, listener: TcpListener) {
        let (death, read) = (Arc::clone(&self.death), Arc::clone(&self.read));
        self.task = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(die(stream, Arc::clone(&death), Arc::clone(&read)));
            }
        }));
    }

    async fn set(&mut self, death: Death) {
        *self.death.lock().unwrap() = death;
        match (death, self.task.take()) {
            (Death::Away, Some(task)) => {
                task.abort();
                let _ = task.await;
            }
            (Death::Away, None) => {}
            (_, Some(task)) => self.task = Some(task),
            (_, None) => self.listen(TcpListener::bind(self.addr).await.unwrap()),
        }
    }

    /// On how many connections `text`, or the beginning of its request, arrived.
    fn saw(&self, text: &str) -> usize {
        let read = self.read.lock().unwrap();
        read.iter().filter(|bytes| String::from_utf8_lossy(bytes).contains(text)).count()
    }
}

async fn die(mut stream: TcpStream, death: Arc<Mutex<Death>>, read: Arc<Mutex<Vec<Vec<u8>>>>) {
    const RESULT: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"s","version":"0"}}}"#;
    let death = *death.lock().unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let reset = |stream: &TcpStream| stream.set_zero_linger().unwrap();
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let is_handshake = text.contains("x-step: handshake");
        if let (Death::AfterRead(most), false) = (death, is_handshake)
            && bytes.len() >= most
        {
            reset(&stream);
            break;
        }
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if length.is_some_and(|length| body.len() < length.parse().unwrap()) {
            continue;
        }
        let answer = if body.contains("\"initialize\"") {
            let length = RESULT.len();
            format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\nmcp-session-id: dying-{}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{RESULT}",
                fastrand(),
            )
        } else if body.contains("notifications/") {
            "HTTP/1.1 202 Accepted\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned()
        } else {
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 300\r\n\r\n{\"jsonrpc\":\"2.0\"".to_owned()
        };
        let most = match death {
            _ if is_handshake => answer.len(),
            Death::AfterAnswer(most) => most.min(answer.len()),
            _ => 0,
        };
        let _ = stream.write_all(&answer.as_bytes()[..most]).await;
        if !is_handshake {
            reset(&stream);
        }
        break;
    }
    if !String::from_utf8_lossy(&bytes).contains("x-step: handshake") {
        read.lock().unwrap().push(bytes);
    }
}

fn fastrand() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_sent_once_wherever_its_backend_dies() {
    const TRIES: u32 = 1_000;
    let mut dying = Dying::start().await;
    let other = Scripted::start(Opening::Good).await;
    let uri = format!("http://{}", dying.addr);
    let (gateway, counts) = resuming(std::slice::from_ref(&uri), |layer| layer).await;
    let client = Raw::new(&gateway.uri());
    let (mut chance, mut moved, mut unknown) = (7_u64, 0, 0);
    for n in 0..TRIES {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let draw = usize::try_from(chance >> 40).unwrap();
        let death = match draw % 10 {
            0 => Death::Away,
            1..=4 => Death::AfterRead(1 + draw / 10 % 700),
            5 | 6 => Death::AfterAll,
            _ => Death::AfterAnswer(draw / 10 % 90),
        };
        dying.set(Death::AfterAll).await;
        gateway.backends.add(uri.parse().unwrap());
        let request = client.request(http::Method::POST, None).header("x-step", "handshake");
        let body = bartizan_testkit::client::INITIALIZE;
        let opened = client.send(request.body(body.into()).unwrap()).await;
        let id = opened.session().unwrap().to_owned();
        gateway.backends.add(other.uri().parse().unwrap());
        dying.set(death).await;
        let write = format!("write-{n}-");
        let body = call_with(7, "write", &serde_json::json!({ "text": write }));
        let request = client.request(http::Method::POST, Some(&id)).body(body.into()).unwrap();
        let answer = client.try_send(request).await.ok();
        let status = answer.as_ref().map(|answer| answer.status.as_u16());
        let (there, elsewhere) = (dying.saw(&write), other.saw(&write));
        match death {
            Death::Away => {
                let count = answer.as_ref().and_then(bartizan_testkit::client::Answer::count);
                assert_eq!(count, Some(1), "{death:?}: {answer:?}");
                assert_eq!((there, elsewhere), (0, 1), "{death:?}");
                moved += 1;
            }
            // Before the whole of it was read, the text may be among what came, or not.
            Death::AfterRead(_) => {
                assert_eq!(status, Some(502), "{death:?}: {answer:?}");
                assert!(there <= 1 && elsewhere == 0, "{death:?}: {there} {elsewhere}");
                unknown += 1;
            }
            _ => {
                // Read completely: once, on only one connection. An answer that breaks off is
                // passed on as far as it arrived.
                assert!(matches!(status, Some(502) | None), "{death:?}: {answer:?}");
                assert_eq!((there, elsewhere), (1, 0), "{death:?}");
                unknown += 1;
            }
        }
        if elsewhere > 0 {
            client.delete(Some(&id)).await;
        }
        gateway.backends.remove(&other.uri().parse().unwrap());
    }
    println!("{moved} moved, {unknown} of unknown outcome, of {TRIES}");
    assert_eq!(counts.resumed(), moved);
    let none = || async { other.live() == 0 };
    bartizan_testkit::eventually("all were ended", Duration::from_secs(5), none).await;
}
