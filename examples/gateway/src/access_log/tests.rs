//! The log through its layers, with an output that the test controls.

use std::{
    convert::Infallible,
    io::{self, Write},
    sync::{Condvar, Mutex, PoisonError},
};

use bartizan::{
    Backend,
    core::{Passage, PeerAddr},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, channel::Channel};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;

/// An output that blocks until the test opens it.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<(bool, Vec<u8>)>, Condvar)>);

impl Gate {
    fn opened() -> Self {
        let gate = Self::default();
        gate.open();
        gate
    }

    fn open(&self) {
        self.0.0.lock().unwrap().0 = true;
        self.0.1.notify_all();
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        let state = self.0.0.lock().unwrap();
        let text = std::str::from_utf8(&state.1).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (state, opened) = &*self.0;
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = opened.wait_while(state, |state| !state.0).unwrap();
        state.1.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

fn log(gate: &Gate) -> AccessLog {
    AccessLog::start(Box::new(gate.clone()), None)
}

/// Forwards to a backend that answers with a body of five bytes and opens a session.
fn stack(
    log: &AccessLog,
) -> impl Service<
    Request<()>,
    Response = Response<body::LoggedBody<Full<Bytes>>>,
    Error = Infallible,
    Future: Send,
> + Clone {
    let upstream = service_fn(async |_: Request<()>| {
        let mut response = Response::new(Full::<Bytes>::from("hello"));
        response.headers_mut().insert("mcp-session-id", "secret-new".parse().unwrap());
        Ok(response)
    });
    let mut noted = NoteBackend::new(upstream, true);
    let pinned = service_fn(move |mut request: Request<()>| {
        let backend: Backend = "http://b:1".parse().unwrap();
        Passage::with(&mut request, |passage| passage.set_backend(backend));
        noted.call(request)
    });
    LogAccessLayer::new(Some(log.clone())).layer(pinned)
}

fn request(path: &str) -> Request<()> {
    let mut request = Request::post(path).header("content-length", "7").body(()).unwrap();
    PeerAddr::new("192.0.2.1:5".parse().unwrap()).attach(&mut request);
    request
}

#[tokio::test]
async fn a_line_tells_of_a_request_and_names_no_session() {
    let gate = Gate::opened();
    let log = log(&gate);
    let response = stack(&log).oneshot(request("/mcp?token=secret-query")).await.unwrap();
    response.into_body().collect().await.unwrap();
    let mut known = request("/mcp");
    known.headers_mut().insert("mcp-session-id", "secret-new".parse().unwrap());
    drop(stack(&log).oneshot(known).await.unwrap());
    log.flush(PATIENCE);
    let lines = gate.lines();
    let [opened, cut] = lines.as_slice() else { panic!("{lines:?}") };
    for line in &lines {
        assert_eq!((&line["method"], &line["path"]), (&"POST".into(), &"/mcp".into()));
        assert_eq!((&line["status"], &line["backend"]), (&200.into(), &"http://b:1".into()));
        assert_eq!((&line["client"], &line["request_bytes"]), (&"192.0.2.1".into(), &7.into()));
        assert!(line["head_ms"].as_f64() <= line["total_ms"].as_f64());
        assert!(!line.to_string().contains("secret"), "{line}");
    }
    assert_eq!((&opened["response_bytes"], &opened["end"]), (&5.into(), &"complete".into()));
    assert_eq!((&cut["response_bytes"], &cut["end"]), (&0.into(), &"cut".into()));
    assert_eq!(opened["session"], cut["session"], "one session");
    assert_eq!(opened["session"].as_str().unwrap().len(), 16);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_response_has_a_line_without_a_status() {
    let gate = Gate::opened();
    let log = log(&gate);
    let inner = service_fn(async |_: Request<()>| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>().await
    });
    let mut service = LogAccessLayer::new(Some(log.clone())).layer(inner);
    drop(service.call(request("/mcp")));
    log.flush(PATIENCE);
    let lines = gate.lines();
    assert!(lines[0]["status"].is_null() && lines[0]["end"] == "cut", "{lines:?}");
}

#[tokio::test]
async fn content_that_breaks_off_is_told() {
    let gate = Gate::opened();
    let log = log(&gate);
    let inner = service_fn(async |_: Request<()>| {
        let (mut sender, body) = Channel::<Bytes, io::Error>::new(2);
        sender.send_data(Bytes::from_static(b"abc")).await.unwrap();
        sender.abort(io::ErrorKind::BrokenPipe.into());
        Ok::<_, Infallible>(Response::new(body))
    });
    let service = LogAccessLayer::new(Some(log.clone())).layer(inner);
    let response = service.oneshot(request("/mcp")).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
    log.flush(PATIENCE);
    let lines = gate.lines();
    assert_eq!((&lines[0]["response_bytes"], &lines[0]["end"]), (&3.into(), &"failed".into()));
}

#[tokio::test]
async fn a_disk_that_takes_nothing_holds_up_no_request() {
    let gate = Gate::default();
    let log = log(&gate);
    let requests = 3 * QUEUE;
    let served = async {
        for _ in 0..requests {
            drop(stack(&log).oneshot(request("/mcp")).await.unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, served).await.unwrap();
    let left_out = log.0.left_out.load(Ordering::Relaxed);
    assert!(left_out > 0 && gate.lines().is_empty(), "{left_out}");
    log.flush(Duration::from_millis(50));
    gate.open();
    log.flush(PATIENCE);
    let written = gate.lines().len() as u64;
    assert_eq!(written + left_out, requests as u64);
}

#[tokio::test]
async fn without_a_log_nothing_is_recorded() {
    let inner = service_fn(async |request: Request<()>| {
        assert!(request.extensions().get::<entry::Note>().is_none());
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("hello")))
    });
    let service = LogAccessLayer::new(None).layer(inner);
    let response = service.oneshot(request("/mcp")).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
}
