//! The gateway as a process, and a backend whose calls end when the test allows it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bartizan_testkit::{
    BoxBody, Server,
    client::{INITIALIZE, Raw, call},
    eventually,
    process::Process,
    serve,
    server::boxed,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full, channel::Channel};
use hyper::body::Incoming;
use tokio::{process::Command, sync::Semaphore};

/// Longer than any step of a test takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The gateway as a process; it ends with the test.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    admin: Option<SocketAddr>,
}

impl Gateway {
    /// Starts it in front of `backend` on a free port, and waits for the line that it prints.
    pub(crate) async fn start(backend: &Backend, args: &[&str]) -> Self {
        Self::before(&[backend.server.uri()], args).await
    }

    /// The same, in front of servers at `origins`.
    pub(crate) async fn before(origins: &[String], args: &[&str]) -> Self {
        Self::run(&[PROGRAM], origins, args).await
    }

    /// The same, with another build, or as the last argument of a command.
    pub(crate) async fn run(command: &[&str], origins: &[String], args: &[&str]) -> Self {
        let backends: Vec<_> = origins.iter().map(|uri| format!("--backend={uri}")).collect();
        let backends = backends.iter().map(String::as_str);
        let is_placed = args.iter().any(|arg| arg.starts_with("--listen"));
        let listen = (!is_placed).then_some("--listen=127.0.0.1:0");
        // No load balancer is involved in the tests. Another build may not have the option.
        let is_other = !command.iter().any(|part| part.contains(PROGRAM));
        let is_timed = args.iter().any(|arg| arg.starts_with("--drain-delay"));
        let drain = (!is_timed && !is_other).then_some("--drain-delay=0s");
        let first = listen.into_iter().chain(drain).chain(backends);
        let args = first.chain(args.iter().copied());
        let args: Vec<_> = command[1..].iter().copied().chain(args).collect();
        let mut process = Process::start(command[0], &args);
        let admin = if args.iter().any(|arg| arg.starts_with("--admin")) {
            let line = process.line_with("admin on").await;
            Some(line.strip_prefix("admin on http://").unwrap().parse().unwrap())
        } else {
            None
        };
        Self { admin, ..Self::listening(process).await }
    }

    /// Waits until `process`, which is one, listens.
    pub(crate) async fn listening(mut process: Process) -> Self {
        let line = process.line_with("listening on").await;
        let rest = line.strip_prefix("listening on ").unwrap().split_once("://").unwrap().1;
        let address = rest.split(',').next().unwrap().parse().unwrap();
        Self { process, address, admin: None }
    }

    /// The same, with a port for health and readiness.
    pub(crate) async fn with_admin(origins: &[String], args: &[&str]) -> Self {
        let args: Vec<_> = ["--admin=127.0.0.1:0"].iter().chain(args).copied().collect();
        Self::before(origins, &args).await
    }

    pub(crate) fn admin_uri(&self) -> String {
        format!("http://{}", self.admin.unwrap())
    }

    /// The answer of `/readyz`, if the port is open.
    pub(crate) async fn readiness(&self) -> Option<(u16, String)> {
        let admin = Raw::new(&self.admin_uri());
        let request = Request::get(format!("{}/readyz", self.admin_uri()));
        let answer = admin.try_send(request.body(Full::default()).unwrap()).await.ok()?;
        Some((answer.status.as_u16(), answer.text()))
    }

    /// Waits until the first line of `/readyz` begins with this.
    pub(crate) async fn until_readiness(&self, status: u16, text: &str) {
        let told = async || {
            let told = self.readiness().await;
            told.is_some_and(|told| told.0 == status && told.1.starts_with(text))
        };
        eventually("the gateway says how ready it is", PATIENCE, told).await;
    }

    pub(crate) fn uri(&self) -> String {
        format!("http://{}", self.address)
    }
}

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_bartizan-gateway");

/// The gateway's command.
pub(crate) fn command() -> Command {
    let mut command = Command::new(PROGRAM);
    command.kill_on_drop(true);
    command
}

/// A backend with sessions. A call of `slow` waits for a permit of `release`; a GET is an event stream
/// that does not end by itself.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) server: Server,
    pub(crate) entered: Arc<Semaphore>,
    pub(crate) release: Arc<Semaphore>,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let entered = Arc::new(Semaphore::new(0));
        let release = Arc::new(Semaphore::new(0));
        let gates = (Arc::clone(&entered), Arc::clone(&release));
        let server = serve(move |request| {
            let (entered, release) = gates.clone();
            async move { respond(request, &entered, &release).await }
        });
        Self { server: server.await, entered, release }
    }
}

async fn respond(
    request: Request<Incoming>,
    entered: &Semaphore,
    release: &Semaphore,
) -> Response<BoxBody> {
    if request.method() == Method::GET {
        let (mut sender, body) = Channel::<Bytes>::new(1);
        tokio::spawn(async move {
            let _ = sender.send_data(Bytes::from_static(b"data: hello\n\n")).await;
            std::future::pending::<()>().await;
        });
        let events = HeaderValue::from_static("text/event-stream");
        let mut response = Response::new(boxed(body));
        response.headers_mut().insert("content-type", events);
        return response;
    }
    let Ok(body) = request.into_body().collect().await else {
        return Response::new(boxed(Full::default()));
    };
    let body = body.to_bytes();
    if body == call(1, "slow") {
        entered.add_permits(1);
        release.acquire().await.unwrap().forget();
    }
    if body.starts_with(br#"{"jsonrpc":"2.0","method":"notifications/"#) {
        let mut response = Response::new(boxed(Full::default()));
        *response.status_mut() = http::StatusCode::ACCEPTED;
        return response;
    }
    let text = format!(r#"{{"received":{}}}"#, body.len());
    let mut response = Response::new(boxed(Full::from(text)));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    if body == INITIALIZE {
        let id = HeaderValue::from_static("session-1");
        response.headers_mut().insert("mcp-session-id", id);
    }
    response
}
