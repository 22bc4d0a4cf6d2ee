//! Backends with host names, with each transport, and real servers at several loopback addresses.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bartizan_core::{Backend, failure::FailureKind};
use bytes::Bytes;
use futures_util::future::{join_all, pending};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::Resolver;
use crate::transport::{
    ByProtocol, HyperTransport, Transport, TransportBuilder, TransportError, config::Config,
};

type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
pub(super) type Script = Arc<dyn Fn(&str) -> Answer + Send + Sync>;

/// The answer to lookups, until a test changes it.
#[derive(Clone)]
struct Dns(Arc<Mutex<Say>>);

#[derive(Clone)]
enum Say {
    /// These addresses, starting with another one each time.
    Rotating(Vec<SocketAddr>),
    /// These addresses, but later than a call may take.
    Slowly(Vec<SocketAddr>),
    Failure,
    Silence,
}

impl Dns {
    fn new(answer: &[SocketAddr]) -> Self {
        Self(Arc::new(Mutex::new(Say::Rotating(answer.to_vec()))))
    }

    fn say(&self, say: Say) {
        *self.0.lock().unwrap() = say;
    }

    fn answer(&self) -> Answer {
        let mut say = self.0.lock().unwrap();
        match &mut *say {
            Say::Rotating(answer) => {
                let by = answer.len().min(1);
                answer.rotate_left(by);
                let answer = answer.clone();
                Box::pin(async { Ok(answer) })
            }
            Say::Slowly(answer) => {
                let answer = answer.clone();
                Box::pin(async {
                    sleep(Duration::from_millis(30)).await;
                    Ok(answer)
                })
            }
            Say::Failure => Box::pin(async { Err(io::Error::other("NXDOMAIN")) }),
            Say::Silence => Box::pin(pending()),
        }
    }

    fn config(&self) -> Config {
        let dns = self.clone();
        let resolver = Resolver::Scripted(Arc::new(move |_| dns.answer()));
        let builder = TransportBuilder::new().connect_timeout(Duration::from_secs(2));
        Config { resolver, ..builder.into_config() }
    }
}

/// A server that responds with its own address.
struct Server {
    address: SocketAddr,
    // Aborted when dropped, including the connections.
    _serving: JoinSet<()>,
}

impl Server {
    async fn start(address: SocketAddr) -> Self {
        Self::run(address, true).await
    }

    /// One that closes each connection after a response.
    async fn that_closes(address: SocketAddr) -> Self {
        Self::run(address, false).await
    }

    async fn run(address: SocketAddr, keeps: bool) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(async move {
                    let respond = service_fn(move |_| async move {
                        // Long enough that concurrent requests overlap.
                        sleep(Duration::from_millis(1)).await;
                        let body = Full::<Bytes>::from(address.to_string());
                        Ok::<_, io::Error>(Response::new(body))
                    });
                    let mut server = auto::Builder::new(TokioExecutor::new());
                    server.http1().keep_alive(keeps);
                    let _ = server.serve_connection(TokioIo::new(stream), respond).await;
                });
            }
        });
        Self { address, _serving: serving }
    }
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Two servers at the same port of two addresses.
async fn two() -> (Server, Server) {
    let first = Server::start(at("127.0.0.1:0")).await;
    let second = Server::start(SocketAddr::new([127, 0, 0, 2].into(), first.address.port())).await;
    (first, second)
}

async fn call<T>(transport: &T, origin: &str) -> Result<SocketAddr, TransportError>
where
    T: Transport<Full<Bytes>, Body: http_body::Body<Data = Bytes>>,
{
    let backend: Backend = origin.parse().unwrap();
    let request = Request::get("/").body(Full::default()).unwrap();
    let body = transport.send(&backend, request).await?.into_body();
    let body = body.collect().await.ok().unwrap().to_bytes();
    Ok(at(std::str::from_utf8(&body).unwrap()))
}

/// Runs each test by the lean transport, and by hyper-util's client with HTTP/1.1 and HTTP/2.
macro_rules! on_each_transport {
    ($($test:ident),* $(,)?) => {
        mod lean {
            $(#[tokio::test]
            async fn $test() {
                super::$test(|config| super::ByProtocol::new(config), "http").await;
            })*
        }
        mod hyper_http1 {
            $(#[tokio::test]
            async fn $test() {
                super::$test(|config| super::HyperTransport::new(config), "http").await;
            })*
        }
        mod hyper_http2 {
            $(#[tokio::test]
            async fn $test() {
                super::$test(|config| super::HyperTransport::new(config), "h2c").await;
            })*
        }
    };
}

on_each_transport! {
    calls_to_a_name_of_two_servers_reach_one,
    calls_go_on_when_the_name_is_not_answered_any_more,
    a_name_that_moves_takes_its_calls_along,
    a_stranger_at_the_old_address_is_not_called,
    a_name_that_was_never_answered_is_a_failure_of_dns,
    an_address_that_refuses_is_given_up_after_five_seconds,
    a_blip_does_not_send_calls_elsewhere,
    one_server_with_two_families_is_reached_by_either,
}

async fn calls_to_a_name_of_two_servers_reach_one<T>(new: fn(&Config) -> T, scheme: &str)
where
    T: Transport<Full<Bytes>, Body: http_body::Body<Data = Bytes>>,
{
    let (first, second) = two().await;
    let dns = Dns::new(&[first.address, second.address]);
    let origin = format!("{scheme}://tools:{}", first.address.port());
    let transport = new(&dns.config());
    let mut seen = HashMap::new();
    for _ in 0..20 {
        for server in join_all((0..10).map(|_| call(&transport, &origin))).await {
            *seen.entry(server.unwrap()).or_insert(0) += 1;
        }
    }
    assert_eq!(seen, HashMap::from([(first.address, 200)]));
    // Another gateway chooses the same.
    assert_eq!(call(&new(&dns.config()), &origin).await, Ok(first.address));
}

async fn calls_go_on_when_the_name_is_not_answered_any_more<T>(new: fn(&Config) -> T, scheme: &str)
where
    T: Transport<Full<Bytes>, Body: http_body::Body<Data = Bytes>>,
{
    let server = Server::that_closes(at("127.0.0.1:0")).await;
    let dns = Dns::new(&[server.address]);
    let origin = format!("{scheme}://tools:{}", server.address.port());
    let transport = new(&dns.config());
    assert_eq!(call(&transport, &origin).await, Ok(server.address));
    dns.say(Say::Failure);
    for _ in 0..10 {
        for server_of in join_all((0..5).map(|_| call(&transport, &origin))).await {
            assert_eq!(server_of, Ok(server.address));
        }
    }
    // Not even a negative answer.
    dns.say(Say::Silence);
    tokio::time::pause();
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(call(&transport, &origin).await, Ok(server.address));
    }
    assert!(start.elapsed() < Duration::from_millis(1900), "one wait, not twenty");
}

async fn a_name_that_moves_takes_its_calls_along<T>(new: fn(&Config) -> T, scheme: &str)
where
    T: Transport<Full<Bytes>, Body: http_body::Body<Data = Bytes>>,
{
    let (first, second) = two().await;
    let dns = Dns::new(&[first.address]);
    let origin = format!("{scheme}://tools:{}", first.address.port());
    let transport = new(&dns.config());
    let calls = async |number| join_all((0..number).map(|_| call(&transport, &origin))).await;
    assert_eq!(calls(3).await, [Ok(first.address); 3]);
    let mut number = 3;
    for (old, new) in [(&first, &second), (&second, &first)] {
        dns.say(Say::Slowly(vec![new.address]));
        // A request that gets an existing connection does not look up the name.
        assert_eq!(calls(1).await, [Ok(old.address)]);
        number += 3;
        let seen = calls(number).await;
        if scheme == "h2c" {
            // One is enough for all.
            assert_eq!(seen, vec![Ok(old.address); number]);
            return;
        }
        assert!(seen.contains(&Ok(old.address)), "{seen:?}");
        // hyper-util's client makes a connection even if another has become free for the request in the meantime.
        sleep(Duration::from_millis(100)).await;
        for _ in 0..3 {
            assert_eq!(calls(number).await, vec![Ok(new.address); number]);
        }
    }
}

/// A worker does not keep using connections to the old address after another worker has moved.
#[tokio::test]
async fn workers_go_to_one_address_and_move_together() {
    for scheme in ["http", "h2c"] {
        let (first, second) = two().await;
        let dns = Dns::new(&[first.address]);
        let origin = format!("{scheme}://tools:{}", first.address.port());
        let one = ByProtocol::new(&dns.config());
        let other = one.for_worker();
        assert_eq!(call(&one, &origin).await, Ok(first.address));
        assert_eq!(call(&other, &origin).await, Ok(first.address));
        // If two addresses work equally well, all workers use the kept one.
        dns.say(Say::Rotating(vec![second.address, first.address]));
        for worker in [&one, &other, &one.for_worker()] {
            let calls = join_all((0..5).map(|_| call(worker, &origin))).await;
            assert_eq!(calls, vec![Ok(first.address); 5], "{scheme}");
        }
        dns.say(Say::Rotating(vec![second.address]));
        // A worker without a connection is the first to notice.
        assert_eq!(call(&one.for_worker(), &origin).await, Ok(second.address));
        for worker in [&one, &other] {
            for _ in 0..3 {
                assert_eq!(call(worker, &origin).await, Ok(second.address), "{scheme}");
            }
        }
    }
}

async fn a_stranger_at_the_old_address_is_not_called<T>(new: fn(&Config) -> T, scheme: &str)
where
    T: Transport<Full<Bytes>, Body: http_body::Body<Data = Bytes>>,
{
    let (old, young) = two().await;
    let dns = Dns::new(&[old.address]);
    let origin = format!("{scheme}://tools:{}", old.address.port());
    let transport = new(&dns.config());
    assert_eq!(call(&transport, &origin).await, Ok(old.address));
    dns.say(Say::Rotating(vec![young.address]));
    let address = old.address;
    drop(old);
    sleep(Duration::from_millis(50)).await;
    let _stranger = Server::start(address).await;
    for _ in 0..3 {
        for server in join_all((0..8).map(|_| call(&transport, &origin))).await {
            assert_eq!(server, Ok(young.address));
        }
    }
}

async fn a_name_that_was_never_answered_is_a_failure_of_dns<T>(new: fn(&Config) -> T, scheme: &str)
where
    T: Transport<Full<Bytes>, Body: http_body::Body<Data = Bytes>>,
{
    let dns = Dns::new(&[]);
    let origin = format!("{scheme}://tools:1");
    let transport = new(&dns.config());
    let failed = |kind| Err(TransportError::Failed(kind));
    assert_eq!(call(&transport, &origin).await, failed(FailureKind::Dns));
    dns.say(Say::Failure);
    assert_eq!(call(&transport, &origin).await, failed(FailureKind::Dns));
    dns.say(Say::Silence);
    tokio::time::pause();
    assert_eq!(call(&transport, &origin).await, failed(FailureKind::Dns));
}

async fn an_address_that_refuses_is_given_up_after_five_seconds<T>(
    new: fn(&Config) -> T,
    scheme: &str,
) where
    T: Transport<Full<Bytes>, Body: http_body::Body<Data = Bytes>>,
{
    let (first, second) = two().await;
    let dns = Dns::new(&[first.address, second.address]);
    let origin = format!("{scheme}://tools:{}", first.address.port());
    let transport = new(&dns.config());
    assert_eq!(call(&transport, &origin).await, Ok(first.address));
    let address = first.address;
    drop(first);
    tokio::time::pause();
    sleep(Duration::from_millis(50)).await;
    let refused = Err(TransportError::Failed(FailureKind::Refused));
    assert_eq!(call(&transport, &origin).await, refused);
    // No requests in the meantime.
    sleep(Duration::from_secs(4)).await;
    assert_eq!(call(&transport, &origin).await, refused);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(call(&transport, &origin).await, Ok(second.address));
    let _again = Server::start(address).await;
    for _ in 0..3 {
        assert_eq!(call(&transport, &origin).await, Ok(second.address));
    }
}

async fn a_blip_does_not_send_calls_elsewhere<T>(new: fn(&Config) -> T, scheme: &str)
where
    T: Transport<Full<Bytes>, Body: http_body::Body<Data = Bytes>>,
{
    let (mut first, second) = two().await;
    let address = first.address;
    let dns = Dns::new(&[address, second.address]);
    let origin = format!("{scheme}://tools:{}", address.port());
    let transport = new(&dns.config());
    assert_eq!(call(&transport, &origin).await, Ok(address));
    tokio::time::pause();
    for _ in 0..3 {
        drop(first);
        sleep(Duration::from_millis(50)).await;
        let refused = Err(TransportError::Failed(FailureKind::Refused));
        assert_eq!(call(&transport, &origin).await, refused);
        sleep(Duration::from_secs(2)).await;
        first = Server::start(address).await;
        // Longer than the span, with no call in it.
        sleep(Duration::from_secs(6)).await;
    }
    assert_eq!(call(&transport, &origin).await, Ok(address));
}

async fn one_server_with_two_families_is_reached_by_either<T>(new: fn(&Config) -> T, scheme: &str)
where
    T: Transport<Full<Bytes>, Body: http_body::Body<Data = Bytes>>,
{
    let v4 = Server::start(at("127.0.0.1:0")).await;
    let v6 = SocketAddr::new([0, 0, 0, 0, 0, 0, 0, 1].into(), v4.address.port());
    let dns = Dns::new(&[v4.address, v6]);
    let origin = format!("{scheme}://localhost:{}", v6.port());
    let transport = new(&dns.config());
    for _ in 0..3 {
        assert_eq!(call(&transport, &origin).await, Ok(v4.address));
    }
    if TcpListener::bind("[::1]:0").await.is_err() {
        return;
    }
    drop(v4);
    let v6 = Server::start(v6).await;
    sleep(Duration::from_millis(50)).await;
    for _ in 0..3 {
        assert_eq!(call(&transport, &origin).await, Ok(v6.address));
    }
    drop(v6);
    sleep(Duration::from_millis(50)).await;
    let refused = Err(TransportError::Failed(FailureKind::Refused));
    assert_eq!(call(&transport, &origin).await, refused);
}

#[tokio::test]
async fn the_names_that_are_remembered_are_bounded() {
    let dns = Dns::new(&[]);
    let config = dns.config();
    let names = super::Names::new(config.resolver.clone(), config.connect_timeout);
    for name in 0..1500 {
        let uri = format!("http://name{name}:1").parse().unwrap();
        assert!(names.connect(&uri).await.is_err());
    }
    assert_eq!(names.remembered(), 1024);
}

#[tokio::test]
async fn there_is_one_look_up_at_a_time() {
    let server = Server::that_closes(at("127.0.0.1:0")).await;
    let dns = Dns::new(&[server.address]);
    let count = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&count);
    let resolver = Resolver::Scripted(Arc::new(move |_| {
        *counted.lock().unwrap() += 1;
        dns.answer()
    }));
    let config = Config { resolver, ..TransportBuilder::new().into_config() };
    let transport = ByProtocol::new(&config);
    let origin = format!("http://tools:{}", server.address.port());
    for answer in join_all((0..50).map(|_| call(&transport, &origin))).await {
        assert_eq!(answer, Ok(server.address));
    }
    assert_eq!(*count.lock().unwrap(), 1);
    // Each connection after that looks the name up again.
    assert_eq!(call(&transport, &origin).await, Ok(server.address));
    assert_eq!(*count.lock().unwrap(), 2);
}
