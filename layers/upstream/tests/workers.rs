//! Services for several workers, each on a thread with its own runtime.
//!
//! | | test |
//! |---|---|
//! | without a limit, each worker has its own connections | `each_worker_uses_its_own_connections_again` |
//! | the maximum number of connections holds for all workers, and all requests are served | `the_bound_of_connections_holds_for_all_workers` |
//! | a waiting request takes a connection that another worker has finished with | `a_request_that_waits_takes_another_workers_connection` |
//! | a worker that has ended holds no connections | `a_worker_that_has_ended_keeps_no_connection` |
//! | the maximum number of unused connections holds for all workers | `the_bound_of_unused_connections_holds_for_all_workers` |
//! | HTTP/2: the same | `over_http2_too` |
#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

mod common;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use bartizan_core::Work;
use bartizan_testkit::{BoxBody, eventually, server::boxed};
use bartizan_upstream::{Upstream, transport::TransportBuilder};
use bytes::Bytes;
use common::send;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::TcpListener,
    runtime::Builder,
    sync::{Barrier, oneshot},
    time::sleep,
};

const SOON: Duration = Duration::from_secs(5);

/// A backend that counts its connections.
#[derive(Clone)]
struct Backend {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Backend {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (accepted, open, most) = Default::default();
        let backend = Self { address: listener.local_addr().unwrap(), accepted, open, most };
        let counts = backend.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counts.accepted.fetch_add(1, Ordering::SeqCst);
                let open = counts.open.fetch_add(1, Ordering::SeqCst) + 1;
                counts.most.fetch_max(open, Ordering::SeqCst);
                let counts = counts.clone();
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    let respond = service_fn(respond);
                    let _ = server.serve_connection(TokioIo::new(stream), respond).await;
                    counts.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        backend
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

async fn respond(_: Request<Incoming>) -> Result<Response<BoxBody>, hyper::Error> {
    // Long enough that concurrent requests overlap.
    sleep(Duration::from_millis(2)).await;
    Ok(Response::new(boxed(Full::from("ok"))))
}

/// Runs `work` on a thread with its own runtime and service.
fn worker<F, T>(
    upstream: &Upstream,
    work: impl FnOnce(Upstream) -> F + Send + 'static,
) -> JoinHandle<T>
where
    F: Future<Output = T>,
    T: Send + 'static,
{
    let upstream = upstream.for_worker();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work(upstream))
    })
}

/// Waits for a thread, while the backend runs on this one.
async fn joined<T: Send + 'static>(thread: JoinHandle<T>) -> T {
    tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap()
}

async fn open(upstream: &Upstream, origin: &str) -> Response<BoxBody> {
    let request = Request::get("/").body(boxed(Full::<Bytes>::default())).unwrap();
    let response = send(upstream, origin, Work::Pinned, request).await;
    assert_eq!(response.status(), 200);
    response
}

async fn call(upstream: &Upstream, origin: &str) {
    let response = open(upstream, origin).await;
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
}

fn upstream(transport: TransportBuilder) -> Upstream {
    Upstream::builder().connections(transport).build()
}

/// Four workers make 20 rounds of 8 concurrent calls. They end together, because one may use the connections of
/// another.
async fn load(upstream: &Upstream, origin: &str) {
    let done = Arc::new(Barrier::new(4));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (origin, done) = (origin.to_owned(), Arc::clone(&done));
            worker(upstream, async move |upstream| {
                for _ in 0..20 {
                    join_all((0..8).map(|_| call(&upstream, &origin))).await;
                }
                done.wait().await;
            })
        })
        .collect();
    for worker in workers {
        joined(worker).await;
    }
}

#[tokio::test]
async fn each_worker_uses_its_own_connections_again() {
    let backend = Backend::start().await;
    let origin = format!("http://{}", backend.address);
    load(&upstream(TransportBuilder::new()), &origin).await;
    // Each round reuses the connections of the last one, except for a few that are not ready yet. There are 640 calls.
    assert!((32..=64).contains(&backend.accepted()), "{}", backend.accepted());
    assert!(backend.most() > 8, "{}", backend.most());
}

#[tokio::test]
async fn the_bound_of_connections_holds_for_all_workers() {
    let backend = Backend::start().await;
    let origin = format!("http://{}", backend.address);
    for bound in [1, 3] {
        load(&upstream(TransportBuilder::new().max_connections_per_backend(bound)), &origin).await;
        assert_eq!(backend.most.swap(0, Ordering::SeqCst), bound);
    }
}

#[tokio::test]
async fn a_request_that_waits_takes_another_workers_connection() {
    let backend = Backend::start().await;
    let origin = format!("http://{}", backend.address);
    let upstream = upstream(TransportBuilder::new().max_connections_per_backend(1));
    let (has, told) = oneshot::channel();
    let (go_on, going_on) = oneshot::channel::<()>();
    let (done, ended) = oneshot::channel::<()>();
    let (first, second) = (origin.clone(), origin.clone());
    let holder = worker(&upstream, async move |upstream| {
        let held = open(&upstream, &first).await;
        has.send(()).unwrap();
        going_on.await.unwrap();
        held.into_body().collect().await.unwrap();
        // This runtime drives the connection.
        ended.await.unwrap();
    });
    told.await.unwrap();
    let waiter = worker(&upstream, async move |upstream| call(&upstream, &second).await);
    sleep(Duration::from_millis(100)).await;
    go_on.send(()).unwrap();
    joined(waiter).await;
    done.send(()).unwrap();
    joined(holder).await;
    assert_eq!((backend.accepted(), backend.most()), (1, 1));
}

#[tokio::test]
async fn a_worker_that_has_ended_keeps_no_connection() {
    let backend = Backend::start().await;
    let origin = format!("http://{}", backend.address);
    let upstream = upstream(TransportBuilder::new().max_connections_per_backend(1));
    for number in 1..=3 {
        let origin = origin.clone();
        joined(worker(&upstream, async move |upstream| call(&upstream, &origin).await)).await;
        assert_eq!((backend.accepted(), backend.most()), (number, 1));
        eventually("it is closed", SOON, async || backend.open() == 0).await;
    }
}

#[tokio::test]
async fn the_bound_of_unused_connections_holds_for_all_workers() {
    let backend = Backend::start().await;
    let origin = format!("http://{}", backend.address);
    let upstream = upstream(TransportBuilder::new().max_idle_per_backend(3));
    let (mut workers, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let origin = origin.clone();
        let (end, ended) = oneshot::channel::<()>();
        ends.push(end);
        workers.push(worker(&upstream, async move |upstream| {
            join_all((0..8).map(|_| call(&upstream, &origin))).await;
            // This runtime drives the pooled connections.
            ended.await.unwrap();
        }));
    }
    eventually("three are kept", SOON, async || backend.accepted() > 8 && backend.open() == 3)
        .await;
    for (end, worker) in ends.into_iter().zip(workers) {
        end.send(()).unwrap();
        joined(worker).await;
    }
}

#[tokio::test]
async fn over_http2_too() {
    let backend = Backend::start().await;
    let origin = format!("h2c://{}", backend.address);
    load(&upstream(TransportBuilder::new()), &origin).await;
    assert_eq!(backend.accepted(), 4);
    eventually("they are closed", SOON, async || backend.open() == 0).await;
    backend.most.store(0, Ordering::SeqCst);
    let one = upstream(TransportBuilder::new().max_connections_per_backend(1));
    // The worker that makes the connection must outlast the others, which use it.
    let (done, ended) = oneshot::channel::<()>();
    let (ready, made) = oneshot::channel();
    let first = origin.clone();
    let maker = worker(&one, async move |upstream| {
        call(&upstream, &first).await;
        ready.send(()).unwrap();
        ended.await.unwrap();
    });
    made.await.unwrap();
    load(&one, &origin).await;
    assert_eq!((backend.accepted(), backend.most()), (5, 1));
    done.send(()).unwrap();
    joined(maker).await;
}
