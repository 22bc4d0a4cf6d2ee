//! What `/metrics` says, against the clients' and the servers' own journals.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use bartizan::core::Reason;
use bartizan_testkit::{
    CounterServer, RedisServer,
    client::{Answer, INITIALIZE, Raw, call},
    eventually, serve,
    server::boxed,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};

use crate::fixtures::{Gateway, PATIENCE};

const CALLS: usize = 10_000;

/// Each series with its number.
type Scrape = BTreeMap<String, f64>;

/// What `/metrics` of a gateway responds with.
async fn text(gateway: &Gateway) -> String {
    let request = Request::get(format!("{}/metrics", gateway.admin_uri()));
    let answer = Raw::new(&gateway.admin_uri()).send(request.body(Full::default()).unwrap()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    answer.text()
}

async fn scrape(gateway: &Gateway) -> Scrape {
    let text = text(gateway).await;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let series = lines.map(|line| line.rsplit_once(' ').unwrap());
    series.map(|(name, number)| (name.to_owned(), number.parse().unwrap())).collect()
}

/// The series of `metric` that are not zero, by their labels.
fn counted(scrape: &Scrape, metric: &str) -> BTreeMap<String, u64> {
    let series = scrape.iter().filter(|(_, number)| **number != 0.0);
    let of_metric = series.filter_map(|(name, number)| {
        let labels = name.strip_prefix(metric)?;
        let labels = match labels {
            "" => "",
            _ => labels.strip_prefix('{')?.strip_suffix('}')?,
        };
        Some((labels.replace('"', ""), *number as u64))
    });
    of_metric.collect()
}

/// One response, as a client has it.
struct Seen {
    method: Method,
    status: u16,
    reason: Option<Reason>,
    bytes: usize,
    is_stream: bool,
}

/// A client that writes down what it gets.
#[derive(Clone)]
struct Client {
    raw: Arc<Raw>,
    journal: Arc<Mutex<Vec<Seen>>>,
}

impl Client {
    fn new(origin: &str) -> Self {
        Self { raw: Arc::new(Raw::new(origin)), journal: Arc::default() }
    }

    /// Sends a request that the gateway is to refuse for `reason`, or to forward.
    async fn send(&self, request: Request<Full<Bytes>>, reason: Option<Reason>) -> Answer {
        let method = request.method().clone();
        let answer = self.raw.send(request).await;
        let is = |reason: Reason| answer.text().contains(reason.message());
        assert!(reason.is_none_or(is), "{reason:?}: {}", answer.text());
        let is_stream =
            answer.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        self.journal.lock().unwrap().push(Seen {
            method,
            status: answer.status.as_u16(),
            reason,
            bytes: answer.body.len(),
            is_stream,
        });
        answer
    }

    async fn post(&self, session: Option<&str>, body: &str, reason: Option<Reason>) -> Answer {
        let request = self.raw.request(Method::POST, session);
        self.send(request.body(Full::from(body.to_owned())).unwrap(), reason).await
    }

    async fn open(&self) -> String {
        let answer = self.post(None, INITIALIZE, None).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let id = answer.session().unwrap().to_owned();
        let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        assert_eq!(self.post(Some(&id), initialized, None).await.status, 202);
        id
    }

    /// How often each label was seen.
    fn by<L: Into<String>>(&self, label: impl Fn(&Seen) -> Option<L>) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for label in self.journal.lock().unwrap().iter().filter_map(label) {
            *counts.entry(label.into()).or_default() += 1;
        }
        counts
    }
}

fn labels<const N: usize>(pairs: [(&str, u64); N]) -> BTreeMap<String, u64> {
    pairs.map(|(labels, count)| (labels.to_owned(), count)).into()
}

/// The sessions of `all` that `server` opened.
fn of(server: &CounterServer, all: &[String]) -> Vec<String> {
    all.iter().filter(|id| !server.with_session(id).is_empty()).cloned().collect()
}

/// 37 requests that never reach a backend.
async fn refused(client: &Client, ended: &str) {
    let ping = call(1, "increment");
    let get = |uri: &str| Request::get(uri.to_owned());
    let endpoint = client.raw.endpoint();
    for times in 0..10 {
        let id = if times < 5 { ended } else { "secret-made-up-id" };
        client.post(Some(id), &ping, Some(Reason::UnknownSession)).await;
    }
    for _ in 0..8 {
        client.post(Some("not one"), &ping, Some(Reason::MalformedSessionId)).await;
    }
    for _ in 0..6 {
        let delete = client.raw.request(Method::DELETE, None).body(Full::default()).unwrap();
        client.send(delete, Some(Reason::MissingSessionId)).await;
    }
    for _ in 0..5 {
        let put = client.raw.request(Method::PUT, None).body(Full::default()).unwrap();
        client.send(put, Some(Reason::MethodNotAllowed)).await;
    }
    for _ in 0..5 {
        client.post(None, "{secret", Some(Reason::MalformedBody)).await;
    }
    for _ in 0..3 {
        let far = get(endpoint).header("x-hop-count", "99").body(Full::default()).unwrap();
        client.send(far, Some(Reason::LoopDetected)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_counter_is_what_the_clients_have_seen() {
    const IDLE: Duration = Duration::from_secs(8);
    let mut servers = CounterServer::start_many(4).await;
    let origins: Vec<_> = servers.iter().map(CounterServer::uri).collect();
    let args = ["--policy=round-robin", "--idle=8s", "--lost-after=2s"];
    let gateway = Gateway::with_admin(&origins, &args).await;
    gateway.until_readiness(200, "ready").await;
    let client = Client::new(&gateway.uri());

    // Three sessions on each server.
    let mut sessions = Vec::new();
    for _ in 0..12 {
        sessions.push(client.open().await);
    }
    let opened = Instant::now();
    let [deleted, idle, unknown, lost] = [0, 1, 2, 3].map(|at| of(&servers[at], &sessions));
    assert!([&deleted, &idle, &unknown, &lost].iter().all(|ids| ids.len() == 3));

    // The load: of all but those that are to be idle.
    let busy: Vec<_> = deleted.iter().chain(&unknown).chain(&lost).cloned().collect();
    let calls = busy.into_iter().enumerate().map(|(at, id)| {
        let client = client.clone();
        let share = CALLS / 9 + usize::from(at < CALLS % 9);
        tokio::spawn(async move {
            for count in 1..=share {
                let answer = client.post(Some(&id), &call(7, "increment"), None).await;
                assert_eq!(answer.count(), Some(count as i64));
            }
        })
    });
    for calls in calls.collect::<Vec<_>>() {
        calls.await.unwrap();
    }

    // Three sessions end by their clients, three with a server that starts anew, three with one that does not.
    for id in &deleted {
        let delete = client.raw.request(Method::DELETE, Some(id)).body(Full::default()).unwrap();
        assert!(client.send(delete, None).await.status.is_success());
    }
    refused(&client, &deleted[0]).await;
    servers[2].restart_empty().await;
    settle().await;
    for id in &unknown {
        assert_eq!(client.post(Some(id), &call(8, "increment"), None).await.status, 404);
    }
    servers[3].kill().await;
    settle().await;
    for id in &lost {
        client.post(Some(id), &call(9, "increment"), Some(Reason::BackendUnreachable)).await;
    }
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    for id in &lost {
        client.post(Some(id), &call(9, "increment"), Some(Reason::BackendLost)).await;
    }
    sleep_until(opened + IDLE + Duration::from_secs(1)).await;
    for id in &idle {
        client.post(Some(id), &call(9, "increment"), Some(Reason::UnknownSession)).await;
    }

    let is_over = async || scrape(&gateway).await["http_server_active_requests"] == 0.0;
    eventually("the last response is sent", PATIENCE, is_over).await;
    let scrape = scrape(&gateway).await;

    // As the clients have it.
    assert_eq!(
        counted(&scrape, "http_server_responses_total"),
        client.by(|seen| Some(format!("http_response_status_code={}", seen.status)))
    );
    assert_eq!(
        counted(&scrape, "http_server_request_duration_seconds_count"),
        client.by(|seen| Some(format!(
            "http_request_method={},status_class={}xx",
            seen.method,
            seen.status / 100
        )))
    );
    let refusals = client.by(|seen| Some(format!("error_type={}", seen.reason?.as_str())));
    assert_eq!(counted(&scrape, "bartizan_refusals_total"), refusals);
    assert_eq!(refusals.values().sum::<u64>(), 37 + 3 + 3 + 3, "{refusals:?}");
    let bytes: usize = client.journal.lock().unwrap().iter().map(|seen| seen.bytes).sum();
    assert_eq!(scrape["bartizan_response_bytes_total"], bytes as f64);
    let streams = client.by(|seen| seen.is_stream.then_some("kind=answering"));
    assert_eq!(counted(&scrape, "bartizan_streams_opened_total"), streams);
    assert!(streams["kind=answering"] >= CALLS as u64);

    // As the servers have it, whether they responded or not.
    let failed = format!("backend={},kind=refused", origins[3]);
    let failures = counted(&scrape, "bartizan_backend_failures_total");
    let refused_connects = failures[&failed];
    assert_eq!(failures, labels([(failed.as_str(), refused_connects)]));
    // The three that are told that the server is away, and those that are told that it is gone, if that was tried.
    assert!((3..=6).contains(&refused_connects), "{refused_connects}");
    let mut reached = BTreeMap::new();
    for (series, count) in counted(&scrape, "http_client_request_duration_seconds_count") {
        let (backend, outcome) = series.split_once(",outcome=").unwrap();
        if outcome == "failed" {
            assert_eq!((backend, count), (&*format!("backend={}", origins[3]), refused_connects));
        } else {
            *reached.entry(backend.to_owned()).or_insert(0) += count;
        }
    }
    let journals = servers.iter().zip(&origins);
    let journals = journals
        .map(|(server, origin)| (format!("backend={origin}"), server.journal().len() as u64));
    assert_eq!(reached, journals.collect());
    let work: u64 = counted(&scrape, "bartizan_work_total").values().sum();
    assert_eq!(work, reached.values().sum::<u64>() + refused_connects);

    // As their sessions ended.
    let ends = labels([
        ("cause=backend_404", 3),
        ("cause=backend_lost", 3),
        ("cause=delete", 3),
        ("cause=idle", 3),
    ]);
    assert_eq!(scrape["bartizan_sessions_opened_total"], 12.0);
    assert_eq!(counted(&scrape, "bartizan_sessions_ended_total"), ends);
    assert_eq!(counted(&scrape, "bartizan_session_duration_seconds_count"), ends);
    for level in ["bartizan_sessions", "bartizan_streams", "bartizan_listening_streams"] {
        assert_eq!(scrape[level], 0.0, "{level}");
    }
    let states = counted(&scrape, "bartizan_backend_state");
    assert_eq!(states.len(), 4, "{states:?}");
    assert!(states.contains_key(&format!("backend={},state=down", origins[3])), "{states:?}");
    assert_eq!(counted(&scrape, "bartizan_build_info").len(), 1);

    // Nothing in it is a secret.
    let text = text(&gateway).await;
    for secret in sessions.iter().map(String::as_str).chain(["secret", "/mcp", "increment"]) {
        assert!(!text.contains(secret), "{secret}");
    }
    let text = text + &on_redis(&origins[0]).await;
    the_shipped_files_name_only_what_is_there(&text);
}

/// What a gateway says that keeps its sessions in Redis.
async fn on_redis(origin: &String) -> String {
    let redis = RedisServer::start().await;
    let store = format!("--store={}", redis.url());
    let gateway = Gateway::with_admin(std::slice::from_ref(origin), &[&store]).await;
    let client = Raw::new(&gateway.uri());
    let id = client.initialize().await;
    assert_eq!(client.increment(&id).await.count(), Some(1));
    let text = text(&gateway).await;
    assert!(text.lines().any(|line| line == "bartizan_store_up 1"), "{text}");
    assert!(!text.contains(&id));
    text
}

/// The connections to a server that has ended are closed: no call goes over one that dies.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

/// Checks the dashboard and the alerts.
fn the_shipped_files_name_only_what_is_there(text: &str) {
    let metrics: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .flat_map(|(name, kind)| match kind {
            "histogram" => {
                ["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}")).to_vec()
            }
            _ => vec![name.to_owned()],
        })
        .collect();
    let labels = text.split(['{', ',']).filter_map(|part| part.split_once("=\""));
    let labels: BTreeSet<_> = labels.map(|(name, _)| name).collect();
    for file in [
        include_str!("../../deploy/grafana/bartizan.json"),
        include_str!("../../deploy/prometheus/alerts.yaml"),
    ] {
        let words = file.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
        let is_ours = |word: &&str| word.starts_with("bartizan_") || word.starts_with("http_");
        let named: BTreeSet<_> = words.filter(is_ours).collect();
        assert!(named.len() > 3, "{named:?}");
        for name in named {
            let is_there = metrics.contains(name) || labels.contains(name);
            assert!(is_there, "{name} is not in {metrics:#?}");
        }
    }
}

/// Sends requests over one connection, as fast as they are answered; none is refused by closing it.
async fn flood(gateway: &Gateway, requests: Vec<String>) {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut read, mut write) = stream.split();
    let count = requests.len();
    let sending = async {
        for request in requests {
            write.write_all(request.as_bytes()).await.unwrap();
        }
    };
    let receiving = async {
        const STATUS: &[u8] = b"HTTP/1.1 ";
        let (mut answers, mut buffer) = (0, Vec::new());
        while answers < count {
            let got = timeout(PATIENCE, read.read_buf(&mut buffer)).await.unwrap().unwrap();
            assert_ne!(got, 0, "closed after {answers} answers");
            answers += buffer.windows(STATUS.len()).filter(|bytes| *bytes == STATUS).count();
            // One that is cut in two is found with what follows.
            let rest = buffer.len().saturating_sub(STATUS.len() - 1);
            buffer.drain(..rest);
        }
    };
    tokio::join!(sending, receiving);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_makes_a_series() {
    let server = serve(async |_: Request<_>| {
        let mut response = Response::new(boxed(Full::<Bytes>::from("{}")));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert("content-type", json);
        response
    })
    .await;
    let gateway = Gateway::with_admin(&[server.uri()], &[]).await;
    let refused = |at: usize| {
        format!(
            "MADEUP{at} /path-{at}?q={at} HTTP/1.1\r\nhost: host-{at}\r\nmcp-session-id: \
             secret-{at}\r\nauthorization: Bearer token-{at}\r\ncontent-length: 0\r\n\r\n"
        )
    };
    let forwarded = |at: usize| {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{at},"method":"made-up/{at}","params":{{"name":"tool-{at}"}}}}"#
        );
        format!(
            "POST /path-{at} HTTP/1.1\r\nhost: host-{at}\r\naccept: application/json, text/event-stream\r\n\
             content-type: application/json\r\nmcp-protocol-version: 2026-07-28\r\nmcp-method: \
             made-up/{at}\r\nmcp-name: tool-{at}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    flood(&gateway, vec![refused(0), forwarded(0)]).await;
    // On a busy machine, the backend may be too slow for some: that is no doing of a client.
    let is_failure = |name: &&String| {
        ["status_class=\"5xx\"", "status_code=\"50", "outcome=\"failed\""]
            .iter()
            .any(|failed| name.contains(failed))
    };
    let names = |scrape: &Scrape| {
        scrape.keys().filter(|name| !is_failure(name)).cloned().collect::<Vec<_>>()
    };
    let before = scrape(&gateway).await;
    let many = |from: usize| {
        let requests = (0..25_000)
            .map(|at| if at % 10 == 0 { forwarded(from + at) } else { refused(from + at) });
        flood(&gateway, requests.collect())
    };
    tokio::join!(many(1), many(100_000), many(200_000), many(300_000));
    let after = scrape(&gateway).await;
    assert_eq!(names(&after), names(&before));
    let sum =
        |scrape: &Scrape| counted(scrape, "http_server_responses_total").values().sum::<u64>();
    assert_eq!(sum(&after) - sum(&before), 100_000);
    assert!(counted(&after, "bartizan_work_total").values().sum::<u64>() > 10_000);
    let text = text(&gateway).await;
    for made_up in ["MADEUP", "made-up", "path-", "tool-", "host-", "secret", "token-"] {
        assert!(!text.contains(made_up), "{made_up}");
    }
}

/// A page in a browser must not read it, and the port of the clients does not have it.
#[tokio::test]
async fn metrics_are_on_the_admin_port_alone_and_not_for_pages() {
    let server = CounterServer::start().await;
    let gateway = Gateway::with_admin(&[server.uri()], &[]).await;
    let page = Request::get(format!("{}/metrics", gateway.admin_uri()))
        .header("origin", "http://evil.example")
        .body(Full::default());
    assert_eq!(Raw::new(&gateway.admin_uri()).send(page.unwrap()).await.status, 403);
    let outside = Request::get(format!("{}/metrics", gateway.uri())).body(Full::default());
    let answer = Raw::new(&gateway.uri()).send(outside.unwrap()).await;
    assert!(!answer.text().contains("bartizan_"), "{}", answer.text());
}
