//! Clients that do not read, are idle, reset their requests, or upload what the service does not read.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::{
    BodyExt, Empty, Full, StreamBody, channel::Channel, combinators::UnsyncBoxBody,
};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2::{Builder, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
    time::Instant,
};
use tower::service_fn;

use super::{admission::RequestBody, *};

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(30);
const GET: &[u8] = b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n";

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A server whose responses depend on the path, and the number of responses in flight.
#[derive(Clone, Debug)]
struct Server {
    address: SocketAddr,
    under_way: Arc<Semaphore>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            under_way: Arc::new(Semaphore::new(1000)),
        };
        let under_way = Arc::clone(&server.under_way);
        let service = service_fn(move |request| respond(request, Arc::clone(&under_way)));
        tests::spawn(listener, service, limits, None, CancellationToken::new());
        server
    }

    fn under_way(&self) -> usize {
        1000 - self.under_way.available_permits()
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// An HTTP/2 connection that answers pings, and its end.
    async fn connect_http2<B>(&self) -> (SendRequest<B>, JoinHandle<hyper::Result<()>>)
    where
        B: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync>
            + Send
            + Unpin
            + 'static,
    {
        let io = TokioIo::new(self.connect().await);
        let mut builder = Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).initial_stream_window_size(65_535);
        let (sender, connection) = builder.handshake(io).await.unwrap();
        (sender, tokio::spawn(connection))
    }

    async fn get(&self, sender: &mut SendRequest<Empty<Bytes>>, path: &str) -> Response<Incoming> {
        sender.send_request(self.request(path, Empty::new())).await.unwrap()
    }

    fn request<B>(&self, path: &str, body: B) -> Request<B> {
        Request::post(format!("http://{}{path}", self.address)).body(body).unwrap()
    }

    async fn is_under_way(&self, count: usize) {
        let start = Instant::now();
        while self.under_way() != count {
            assert!(start.elapsed() < LONG, "{} instead of {count}", self.under_way());
            sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn respond(
    request: Request<RequestBody>,
    under_way: Arc<Semaphore>,
) -> Result<Response<Body>, Infallible> {
    let permit = under_way.acquire_owned().await.unwrap();
    let path = request.uri().path().to_owned();
    let body = match path.as_str() {
        "/never" => std::future::pending().await,
        // The body is not read.
        "/deaf" => {
            let _body = request.into_body();
            std::future::pending().await
        }
        "/endless" => {
            let frames = futures_util::stream::repeat_with(move || {
                let _under_way = &permit;
                Ok(Frame::data(Bytes::from_static(&[b'x'; 16_384])))
            });
            UnsyncBoxBody::new(StreamBody::new(frames))
        }
        "/events" => {
            let (mut sender, body) = Channel::new(1);
            tokio::spawn(async move {
                let _permit = permit;
                let _ = sender.send_data(Bytes::from_static(b"data: hello\n\n")).await;
                std::future::pending::<()>().await;
            });
            UnsyncBoxBody::new(body)
        }
        _ => {
            let read = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
            UnsyncBoxBody::new(Full::from(read.to_string()))
        }
    };
    Ok(Response::new(body))
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up_and_a_slow_one_is_not() {
    let server = Server::start(Limits { stall: SHORT, ..Limits::default() }).await;
    let mut slow = server.connect().await;
    slow.write_all(GET).await.unwrap();
    let mut deaf = server.connect().await;
    deaf.write_all(GET).await.unwrap();
    server.is_under_way(2).await;
    let reading = async {
        let mut bytes = vec![0; 1 << 22];
        loop {
            slow.read_exact(&mut bytes).await.unwrap();
            sleep(SHORT / 4).await;
        }
    };
    tokio::select! { () = reading => {}, () = server.is_under_way(1) => {} }
    let reading = async {
        let mut bytes = vec![0; 1 << 22];
        for _ in 0..10 {
            slow.read_exact(&mut bytes).await.unwrap();
            sleep(SHORT / 4).await;
        }
    };
    reading.await;
    assert_eq!(server.under_way(), 1);
    drop(deaf);
}

#[tokio::test]
async fn a_stream_that_is_not_read_is_reset_and_the_others_go_on() {
    let server = Server::start(Limits { stall: SHORT, ..Limits::default() }).await;
    let (mut sender, connection) = server.connect_http2().await;
    let mut events = server.get(&mut sender, "/events").await.into_body();
    events.frame().await.unwrap().unwrap();
    let unread = server.get(&mut sender, "/endless").await;
    let mut read = server.get(&mut sender, "/endless").await.into_body();
    let reading = async {
        loop {
            read.frame().await.unwrap().unwrap();
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! { () = reading => {}, () = server.is_under_way(2) => {} }
    // What had already arrived can be read; then the stream breaks off.
    let error = unread.into_body().collect().await.unwrap_err();
    assert!(format!("{error:?}").contains("CANCEL"), "{error:?}");
    // The silent stream and the stream that is read are still open.
    for _ in 0..100 {
        read.frame().await.unwrap().unwrap();
    }
    assert!(timeout(SHORT, events.frame()).await.is_err());
    assert_eq!(server.get(&mut sender, "/").await.status(), 200);
    assert!(!connection.is_finished());
}

#[tokio::test]
async fn an_idle_connection_of_http2_ends_though_it_answers_pings() {
    let server = Server::start(Limits { idle: SHORT, ..Limits::default() }).await;
    let (mut idle, idle_connection) = server.connect_http2().await;
    assert_eq!(server.get(&mut idle, "/").await.status(), 200);
    let (mut busy, busy_connection) = server.connect_http2().await;
    let mut events = server.get(&mut busy, "/events").await.into_body();
    events.frame().await.unwrap().unwrap();
    timeout(LONG, idle_connection).await.unwrap().unwrap().unwrap();
    assert!(timeout(SHORT * 3, events.frame()).await.is_err());
    assert!(!busy_connection.is_finished());
}

/// Writes HTTP/2 frames by hand, and never answers a ping.
#[tokio::test]
async fn an_idle_connection_that_does_not_answer_ends_soon_after() {
    let server = Server::start(Limits { idle: SHORT, ..Limits::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut seen = Vec::new();
    timeout(Duration::from_secs(5), stream.read_to_end(&mut seen)).await.unwrap().unwrap();
    // GOAWAY, length 8, on stream 0.
    assert!(seen.windows(9).any(|head| head == [0, 0, 8, 7, 0, 0, 0, 0, 0]), "{seen:?}");
}

#[tokio::test]
async fn past_the_bound_the_connection_that_is_idle_the_longest_makes_room() {
    let server = Server::start(Limits { connections: 3, ..Limits::default() }).await;
    let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let ask = async |stream: &mut TcpStream| {
        stream.write_all(request).await.unwrap();
        timeout(LONG, stream.read_exact(&mut [0; 12])).await.unwrap().unwrap();
    };
    let mut oldest = server.connect().await;
    ask(&mut oldest).await;
    sleep(SHORT / 4).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    server.is_under_way(1).await;
    let (mut http2, connection) = server.connect_http2().await;
    assert_eq!(server.get(&mut http2, "/").await.status(), 200);

    let mut fourth = server.connect().await;
    ask(&mut fourth).await;
    timeout(LONG, oldest.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    assert!(!connection.is_finished());
    let mut fifth = server.connect().await;
    ask(&mut fifth).await;
    timeout(LONG, connection).await.unwrap().unwrap().unwrap();
    // All three are busy: the next connection waits until one of them is idle.
    for stream in [&mut fourth, &mut fifth] {
        stream.write_all(b"GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    }
    server.is_under_way(3).await;
    let mut sixth = server.connect().await;
    sixth.write_all(request).await.unwrap();
    assert!(timeout(SHORT * 2, sixth.read_exact(&mut [0; 12])).await.is_err());
    drop(busy);
    timeout(LONG, sixth.read_exact(&mut [0; 12])).await.unwrap().unwrap();
}

/// Resets `count` requests, one after the other, before they are answered.
async fn give_up(server: &Server, sender: &mut SendRequest<Empty<Bytes>>, count: usize) {
    for _ in 0..count {
        let Ok(()) = sender.ready().await else { return };
        let request = sender.send_request(server.request("/never", Empty::new()));
        let begun = async {
            while server.under_way() == 0 && !server.under_way.is_closed() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! { _ = request => return, () = begun => {} }
        server.is_under_way(0).await;
    }
}

#[tokio::test]
async fn a_client_that_gives_up_its_requests_is_told_to_calm_down() {
    let server = Server::start(Limits::default()).await;
    let (mut sender, connection) = server.connect_http2().await;
    give_up(&server, &mut sender, 95).await;
    assert_eq!(server.get(&mut sender, "/").await.status(), 200);
    give_up(&server, &mut sender, 20).await;
    let error = timeout(LONG, connection).await.unwrap().unwrap().unwrap_err();
    assert!(format!("{error:?}").contains("ENHANCE_YOUR_CALM"), "{error:?}");
    // The client may connect again.
    let (mut sender, _connection) = server.connect_http2().await;
    assert_eq!(server.get(&mut sender, "/").await.status(), 200);
}

#[tokio::test]
async fn a_proxy_may_give_up_more_and_event_streams_end_as_they_like() {
    let server = Server::start(Limits { proxies: Proxies::All, ..Limits::default() }).await;
    let (mut sender, connection) = server.connect_http2().await;
    give_up(&server, &mut sender, 200).await;
    assert_eq!(server.get(&mut sender, "/").await.status(), 200);
    assert!(!connection.is_finished());

    let server = Server::start(Limits::default()).await;
    let (mut sender, connection) = server.connect_http2().await;
    for _ in 0..200 {
        drop(server.get(&mut sender, "/events").await);
    }
    assert_eq!(server.get(&mut sender, "/").await.status(), 200);
    assert!(!connection.is_finished());
}

#[tokio::test]
async fn uploads_that_are_not_read_do_not_block_another() {
    let server = Server::start(Limits::default()).await;
    let (mut sender, _connection) = server.connect_http2().await;
    let mut uploads = Vec::new();
    for _ in 0..8 {
        let (mut body, channel) = Channel::<Bytes>::new(1);
        let response = sender.send_request(server.request("/deaf", channel));
        uploads.push(tokio::spawn(async move {
            // More than the flow-control window of a stream.
            let sending = async {
                for _ in 0..100 {
                    body.send_data(Bytes::from(vec![0; 16_384])).await.unwrap();
                }
            };
            let _ = tokio::join!(sending, response);
        }));
    }
    server.is_under_way(8).await;
    sleep(SHORT).await;
    let (mut body, channel) = Channel::<Bytes>::new(1);
    let response = sender.send_request(server.request("/", channel));
    let sending = async move {
        for _ in 0..50 {
            body.send_data(Bytes::from(vec![0; 16_384])).await.unwrap();
        }
    };
    let both = async { tokio::join!(sending, response).1.unwrap() };
    let response = timeout(Duration::from_secs(5), both).await.unwrap();
    let read = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(read, (50 * 16_384).to_string());
    uploads.iter().for_each(JoinHandle::abort);
    join_all(uploads).await;
}
