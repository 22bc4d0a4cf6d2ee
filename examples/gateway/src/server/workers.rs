//! The threads that serve connections: each has its own runtime, and keeps a connection until it ends.
//!
//! One accept loop gives each connection to the worker with the fewest. With a listener for each worker
//! (`SO_REUSEPORT`), the system would distribute connections by a hash of their addresses: of 32 connections, one of
//! four workers may get 3 and another 13, and long streams would stay where they landed.
//!
//! With one worker, no thread is started: the runtime of the accept loop also serves the
//! connections.

use std::{
    io,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    runtime::{Builder, Handle, Runtime},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long the thread of a worker may take to end after it was told to stop.
const PATIENCE: Duration = Duration::from_secs(1);

/// The workers of a server, each with its service.
#[derive(Debug)]
pub(crate) struct Workers<S> {
    workers: Vec<Worker<S>>,
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
    handle: JoinHandle<()>,
    end: DropGuard,
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
        let worker = Worker { service, runtime, open, thread: None };
        Self { workers: vec![worker], next: AtomicUsize::new(0) }
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
        let worker = |number| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (handle, end) = (runtime.handle().clone(), CancellationToken::new());
            let ended = end.clone();
            let thread = thread::Builder::new().name(format!("worker-{number}"));
            let thread = Thread {
                handle: thread.spawn(move || run(runtime, &ended))?,
                end: end.drop_guard(),
            };
            let open = Arc::default();
            Ok(Worker { service: service(), runtime: handle, open, thread: Some(thread) })
        };
        let workers = (1..=count.get()).map(worker).collect::<io::Result<_>>()?;
        Ok(Self { workers, next: AtomicUsize::new(0) })
    }

    /// The worker with the fewest connections; if several have equally few, each in turn.
    pub(super) fn least_busy(&self) -> Option<&Worker<S>> {
        let start = self.next.fetch_add(1, Ordering::Relaxed) % self.workers.len().max(1);
        let (before, from) = self.workers.split_at_checked(start)?;
        let alive = from.iter().chain(before).filter(|worker| worker.is_alive());
        alive.min_by_key(|worker| worker.open.load(Ordering::Relaxed))
    }

    /// Ends the threads and the connections that they still serve.
    pub(crate) async fn end(self) {
        let threads = self.workers.into_iter().filter_map(|worker| worker.thread);
        // Stops all workers before waiting for any of them.
        let end = |thread: Thread| {
            drop(thread.end);
            thread.handle
        };
        let handles: Vec<_> = threads.map(end).collect();
        let joining =
            move || handles.into_iter().map(JoinHandle::join).filter(Result::is_err).count();
        match tokio::task::spawn_blocking(joining).await {
            Ok(0) => {}
            _ => tracing::error!("a worker has panicked"),
        }
    }
}

/// Runs the tasks of `runtime` until `end`.
fn run(runtime: Runtime, end: &CancellationToken) {
    runtime.block_on(end.cancelled());
    // A DNS lookup may block one of its threads for longer.
    runtime.shutdown_timeout(PATIENCE);
}

impl<S> Worker<S> {
    /// Takes `stream`, which counts for this worker from now on.
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

    fn is_alive(&self) -> bool {
        self.thread.as_ref().is_none_or(|thread| !thread.handle.is_finished())
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
    use std::{collections::BTreeMap, net::SocketAddr, sync::mpsc};

    use http::{Request, Response};
    use http_body_util::Full;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        task::JoinHandle,
        time::timeout,
    };
    use tower::service_fn;

    use super::{
        super::{Limits, admission::RequestBody, serve},
        *,
    };

    const LONG: Duration = Duration::from_secs(20);

    /// A server with four workers, whose responses contain the name of the thread.
    struct Server {
        address: SocketAddr,
        stop: CancellationToken,
        serving: JoinHandle<usize>,
        // A call of `/block` blocks its thread until the test sends a message.
        release: mpsc::Sender<()>,
    }

    impl Server {
        async fn start(limits: Limits) -> Self {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let (release, released) = mpsc::channel();
            let released = Arc::new(std::sync::Mutex::new(released));
            let service = service_fn(move |request: Request<RequestBody>| {
                let released = Arc::clone(&released);
                async move {
                    match request.uri().path() {
                        "/block" => released.lock().unwrap().recv().unwrap(),
                        "/panic" => panic!("as it is meant to"),
                        "/endless" => std::future::pending().await,
                        _ => {}
                    }
                    let name = thread::current().name().unwrap().to_owned();
                    Ok(Response::new(Full::<bytes::Bytes>::from(name)))
                }
            });
            let count = NonZeroUsize::new(4).unwrap();
            let workers = Workers::start(count, || service.clone()).unwrap();
            let stop = CancellationToken::new();
            let ending = stop.clone();
            let serving = tokio::spawn(async move {
                let cut = serve(listener, &workers, limits, None, None, ending).await;
                workers.end().await;
                cut
            });
            Self { address, stop, serving, release }
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

        /// The name of the thread that responds.
        async fn receive(&mut self) -> String {
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                answer.push(timeout(LONG, self.0.read_u8()).await.unwrap().unwrap());
            }
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
        // Wait until the server has seen their ends.
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
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
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        server.release.send(()).unwrap();
        assert!(blocked.receive().await.starts_with("worker-"));
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
            last.send(path).await;
            if cut == 0 {
                last.receive().await;
            } else {
                tokio::time::sleep(Duration::from_millis(50)).await;
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
