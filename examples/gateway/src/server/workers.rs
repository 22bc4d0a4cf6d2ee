//! The threads that serve connections: each has its own runtime, and keeps a connection until it ends.
//!
//! One accept loop gives each connection to the worker with the fewest. With a listener for each worker
//! (`SO_REUSEPORT`), the system would distribute connections by a hash of their addresses: of 32 connections, one of
//! four workers may get 3 and another 13, and long streams would stay where they landed.
//!
//! With one worker, no thread is started: the runtime of the accept loop also serves the
//! connections.

use std::{
    convert::Infallible,
    io, iter,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, SyncSender},
    },
    thread,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    runtime::{Builder, Handle},
    sync::oneshot,
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long the thread of a worker may take to end after it was told to stop.
const PATIENCE: Duration = Duration::from_secs(1);

/// The workers of a server, each with its service.
#[derive(Debug)]
pub(crate) struct Workers<S> {
    first: Worker<S>,
    others: Vec<Worker<S>>,
    // The worker that is next in turn if several have equally few connections.
    next: AtomicUsize,
}

/// One worker.
#[derive(Debug)]
pub(super) struct Worker<S> {
    service: S,
    runtime: Handle,
    open: Arc<AtomicUsize>,
    // `None` if it is the accepting thread.
    thread: Option<Thread>,
}

#[derive(Debug)]
struct Thread {
    end: DropGuard,
    // Closed when it has ended.
    ended: oneshot::Receiver<Infallible>,
}

/// Counts a connection for its worker until it is dropped.
#[derive(Debug)]
pub(super) struct Load(Arc<AtomicUsize>);

/// A connection on its way to its worker.
#[derive(Debug)]
pub(super) enum Handed {
    /// For the runtime that accepted it.
    Here(TcpStream),
    /// For another runtime, which has to register it.
    Away(std::net::TcpStream),
}

impl<S> Workers<S> {
    /// One worker: the current runtime.
    pub(crate) fn here(service: S) -> Self {
        let (runtime, open) = (Handle::current(), Arc::default());
        let first = Worker { service, runtime, open, thread: None };
        Self { first, others: Vec::new(), next: AtomicUsize::new(0) }
    }

    /// Starts `count` workers, each with a service that `service` makes. They end when this is dropped.
    ///
    /// # Errors
    ///
    /// If the system allows no more threads or descriptors.
    pub(crate) fn start(count: NonZeroUsize, service: impl Fn() -> S) -> io::Result<Self> {
        if count == NonZeroUsize::MIN {
            return Ok(Self::here(service()));
        }
        let first = Worker::start(1, service())?;
        let others = (2..=count.get()).map(|number| Worker::start(number, service()));
        Ok(Self { first, others: others.collect::<io::Result<_>>()?, next: AtomicUsize::new(0) })
    }

    /// The worker with the fewest connections; if several have equally few, each in turn.
    pub(super) fn least_busy(&self) -> &Worker<S> {
        let count = 1 + self.others.len();
        let start = self.next.fetch_add(1, Ordering::Relaxed) % count;
        let in_turn = self.all().cycle().skip(start).take(count);
        in_turn.min_by_key(|worker| worker.open.load(Ordering::Relaxed)).unwrap_or(&self.first)
    }

    fn all(&self) -> impl Iterator<Item = &Worker<S>> + Clone {
        iter::once(&self.first).chain(&self.others)
    }

    /// Ends the threads and the connections that they still serve. Waits for a blocked thread for 2 s.
    pub(crate) async fn end(self) {
        let threads = iter::once(self.first).chain(self.others).filter_map(|worker| worker.thread);
        // Stops all workers before waiting for any of them.
        let ended: Vec<_> = threads.map(Thread::end).collect();
        let ending = async {
            for ended in ended {
                let _ = ended.await;
            }
        };
        // Each thread takes up to `PATIENCE` itself.
        if timeout(2 * PATIENCE, ending).await.is_err() {
            tracing::error!("a worker is blocked: what it serves is cut off");
        }
    }
}

impl Thread {
    /// Tells it to end; what it returns is closed when it has.
    fn end(self) -> oneshot::Receiver<Infallible> {
        drop(self.end);
        self.ended
    }
}

/// Makes a runtime, sends its handle to `started`, and runs its tasks until `end`.
fn run(started: &SyncSender<io::Result<Handle>>, end: &CancellationToken) {
    // Made here: a runtime cannot be dropped where another one runs, not even because its thread cannot be started.
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let _ = started.send(Ok(runtime.handle().clone()));
    runtime.block_on(end.cancelled());
    // A DNS lookup may block one of its threads for longer.
    runtime.shutdown_timeout(PATIENCE);
}

impl<S> Worker<S> {
    /// Starts a thread for it, which ends when this is dropped.
    fn start(number: usize, service: S) -> io::Result<Self> {
        let (tell, told) = mpsc::sync_channel(1);
        let (running, ended) = oneshot::channel();
        let end = CancellationToken::new();
        let is_over = end.clone();
        let thread = move || {
            let _running = running;
            // A panic of a task does not come here: the runtime catches it.
            if catch_unwind(AssertUnwindSafe(|| run(&tell, &is_over))).is_err() {
                tracing::error!("a worker has panicked: the process ends with it");
                process::exit(1);
            }
        };
        thread::Builder::new().name(format!("worker-{number}")).spawn(thread)?;
        let runtime = told.recv().map_err(io::Error::other)??;
        let thread = Some(Thread { end: end.drop_guard(), ended });
        Ok(Self { service, runtime, open: Arc::default(), thread })
    }

    /// Takes `stream`, which counts as its own from now on.
    ///
    /// # Errors
    ///
    /// If the connection cannot be deregistered from the runtime that accepted it.
    pub(super) fn take(&self, stream: TcpStream) -> io::Result<(Handed, Load)> {
        let handed = match self.thread {
            None => Handed::Here(stream),
            Some(_) => Handed::Away(stream.into_std()?),
        };
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok((handed, Load(Arc::clone(&self.open))))
    }

    /// The runtime that serves its connections.
    pub(super) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The service for its connections.
    pub(super) const fn service(&self) -> &S {
        &self.service
    }
}

impl Handed {
    /// Registers the connection with the current runtime.
    ///
    /// # Errors
    ///
    /// If it cannot be registered.
    pub(super) fn arrive(self) -> io::Result<TcpStream> {
        match self {
            Self::Here(stream) => Ok(stream),
            Self::Away(stream) => TcpStream::from_std(stream),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, net::SocketAddr};

    use http::{Request, Response, StatusCode};
    use http_body_util::Full;
    use hyper_util::rt::TokioIo;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        sync::Notify,
        task::JoinHandle,
    };
    use tower::service_fn;

    use super::{
        super::{Limits, Listener, Records, admission::RequestBody, serve},
        *,
    };

    const LONG: Duration = Duration::from_secs(20);

    /// A server with four workers, whose responses contain the name of the thread.
    struct Server {
        address: SocketAddr,
        stop: CancellationToken,
        serving: JoinHandle<usize>,
        // How many connections each worker has.
        open: Vec<Arc<AtomicUsize>>,
        // Told of each call, before it is answered.
        called: Arc<Notify>,
        // A call of `/block` blocks its thread until the test sends a message.
        release: mpsc::Sender<()>,
    }

    impl Server {
        async fn start(limits: Limits) -> Self {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let (release, released) = mpsc::channel();
            let released = Arc::new(std::sync::Mutex::new(released));
            let called = Arc::new(Notify::new());
            let call = Arc::clone(&called);
            let service = service_fn(move |mut request: Request<RequestBody>| {
                let released = Arc::clone(&released);
                call.notify_one();
                async move {
                    let name = thread::current().name().unwrap().to_owned();
                    let mut response = Response::new(Full::<bytes::Bytes>::from(name));
                    match request.uri().path() {
                        "/block" => released.lock().unwrap().recv().unwrap(),
                        "/panic" => panic!("as it is meant to"),
                        "/endless" => std::future::pending().await,
                        "/tunnel" => {
                            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                            *response.body_mut() = Full::default();
                            let upgrade = hyper::upgrade::on(&mut request);
                            tokio::spawn(async move {
                                let mut tunnel = TokioIo::new(upgrade.await.unwrap());
                                while tunnel.read_u8().await.is_ok() {}
                            });
                        }
                        _ => {}
                    }
                    Ok(response)
                }
            });
            let count = NonZeroUsize::new(4).unwrap();
            let workers = Workers::start(count, || service.clone()).unwrap();
            let open = workers.all().map(|worker| Arc::clone(&worker.open)).collect();
            let listener = Listener::new(listener, None);
            let stop = CancellationToken::new();
            let ending = stop.clone();
            let serving = tokio::spawn(async move {
                let cut = serve(listener, &workers, limits, None, Records::default(), ending).await;
                workers.end().await;
                cut
            });
            Self { address, stop, serving, open, called, release }
        }

        /// How many connections the workers have.
        fn open(&self) -> Vec<usize> {
            self.open.iter().map(|open| open.load(Ordering::Relaxed)).collect()
        }

        async fn until_open(&self, expected: &[usize]) {
            let is_so = async {
                while self.open() != expected {
                    tokio::task::yield_now().await
                }
            };
            let waited = timeout(LONG, is_so).await;
            assert!(waited.is_ok(), "{:?} and not {expected:?}", self.open());
        }

        async fn connect(&self) -> Client {
            Client(TcpStream::connect(self.address).await.unwrap())
        }

        /// Connects `count` clients one after the other, and lets each make a call.
        async fn clients(&self, count: usize) -> Vec<(String, Client)> {
            let mut clients = Vec::new();
            for _ in 0..count {
                let mut client = self.connect().await;
                clients.push((client.get("/").await, client));
            }
            clients
        }
    }

    struct Client(TcpStream);

    impl Client {
        async fn send(&mut self, path: &str) {
            let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
            self.0.write_all(head.as_bytes()).await.unwrap();
        }

        async fn receive_head(&mut self) -> String {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(timeout(LONG, self.0.read_u8()).await.unwrap().unwrap());
            }
            String::from_utf8(head).unwrap()
        }

        /// The name of the thread that responds.
        async fn receive(&mut self) -> String {
            self.receive_head().await;
            let mut name = vec![0; "worker-1".len()];
            self.0.read_exact(&mut name).await.unwrap();
            String::from_utf8(name).unwrap()
        }

        async fn get(&mut self, path: &str) -> String {
            self.send(path).await;
            self.receive().await
        }

        async fn wait_for_end(mut self) {
            let mut rest = Vec::new();
            // The connection may be cut.
            let _ = timeout(LONG, self.0.read_to_end(&mut rest)).await.unwrap();
            assert!(rest.is_empty());
        }
    }

    fn spread(clients: &[(String, Client)]) -> BTreeMap<&str, usize> {
        let mut spread = BTreeMap::new();
        for (name, _) in clients {
            *spread.entry(name.as_str()).or_default() += 1;
        }
        spread
    }

    #[track_caller]
    fn assert_even(clients: &[(String, Client)]) {
        let spread = spread(clients);
        let even = clients.len() as f64 / 4.0;
        assert!(
            spread.len() == 4
                && spread.values().all(|&count| (count as f64 - even).abs() <= 0.2 * even),
            "{spread:?}"
        );
    }

    #[tokio::test]
    async fn connections_are_spread_evenly_and_stay() {
        for count in [8, 32, 256] {
            let server = Server::start(Limits::default()).await;
            let mut clients = server.clients(count).await;
            assert_even(&clients);
            for (name, client) in &mut clients {
                assert_eq!(client.get("/").await, *name);
            }
        }
    }

    #[tokio::test]
    async fn who_has_lost_connections_gets_the_next() {
        let server = Server::start(Limits::default()).await;
        let mut clients = server.clients(32).await;
        clients.retain(|(name, _)| name != "worker-3");
        server.until_open(&[8, 8, 0, 8]).await;
        for _ in 0..8 {
            let next = server.clients(1).await.remove(0);
            assert_eq!(next.0, "worker-3");
            clients.push(next);
        }
        assert_even(&clients);
    }

    #[tokio::test]
    async fn a_worker_that_is_busy_holds_up_neither_the_others_nor_who_connects() {
        let server = Server::start(Limits::default()).await;
        let mut blocked = server.connect().await;
        blocked.send("/block").await;
        for _ in 0..4 {
            // While these connections last, the other three workers have fewer.
            let others = server.clients(3).await;
            assert_eq!(spread(&others).len(), 3);
            drop(others);
            let blocked = async {
                while server.open().iter().sum::<usize>() > 1 {
                    tokio::task::yield_now().await
                }
            };
            timeout(LONG, blocked).await.unwrap();
        }
        server.release.send(()).unwrap();
        assert!(blocked.receive().await.starts_with("worker-"));
    }

    #[tokio::test]
    async fn a_tunnel_counts_until_it_ends() {
        let server = Server::start(Limits::default()).await;
        let mut tunnels = Vec::new();
        for _ in 0..4 {
            let mut client = server.connect().await;
            let upgrade =
                b"GET /tunnel HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
            client.0.write_all(upgrade).await.unwrap();
            assert!(client.receive_head().await.starts_with("HTTP/1.1 101 "));
            tunnels.push(client);
        }
        // Its task has ended when the others are served.
        let others = server.clients(8).await;
        assert_eq!(server.open(), [3, 3, 3, 3]);
        assert_even(&others);
        drop(tunnels);
        server.until_open(&[2, 2, 2, 2]).await;
    }

    /// A thread that is blocked cannot be ended.
    #[tokio::test(start_paused = true)]
    async fn a_worker_that_is_blocked_is_not_waited_for_without_end() {
        let count = NonZeroUsize::new(2).unwrap();
        let workers = Workers::start(count, || ()).unwrap();
        let (_release, released) = mpsc::channel::<()>();
        let (tell, told) = oneshot::channel();
        workers.first.runtime.spawn(async move {
            tell.send(()).unwrap();
            let _ = released.recv();
        });
        told.await.unwrap();
        let begun = tokio::time::Instant::now();
        workers.end().await;
        assert_eq!(begun.elapsed().as_secs(), 2 * PATIENCE.as_secs());
    }

    #[tokio::test]
    async fn a_panic_ends_its_connection_alone() {
        let server = Server::start(Limits::default()).await;
        let mut clients = server.clients(8).await;
        for _ in 0..8 {
            let mut client = server.connect().await;
            client.send("/panic").await;
            client.wait_for_end().await;
        }
        for (name, client) in &mut clients {
            assert_eq!(client.get("/").await, *name);
        }
    }

    #[tokio::test]
    async fn at_the_end_calls_are_waited_for_and_then_cut() {
        let drain = Duration::from_millis(300);
        for (path, cut) in [("/", 0), ("/endless", 1)] {
            let server = Server::start(Limits { drain, ..Limits::default() }).await;
            let mut clients = server.clients(8).await;
            let (_, mut last) = clients.remove(5);
            // The permit of an earlier call may be left.
            let _ = timeout(Duration::ZERO, server.called.notified()).await;
            last.send(path).await;
            if cut == 0 {
                last.receive().await;
            } else {
                timeout(LONG, server.called.notified()).await.unwrap();
            }
            server.stop.cancel();
            assert_eq!(timeout(LONG, server.serving).await.unwrap().unwrap(), cut, "{path}");
            last.wait_for_end().await;
            for (_, client) in clients {
                client.wait_for_end().await;
            }
        }
    }
}
