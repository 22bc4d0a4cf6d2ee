//! Streams and large bodies through the process: without delay, independent of each other, and in
//! constant memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bartizan_testkit::{
    BoxBody, CounterServer, Server, client::Raw, eventually, serve, server::boxed,
};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{sync::mpsc, time::Instant};

use crate::fixtures::Gateway;

const MIB: usize = 1024 * 1024;

fn client<B>() -> Client<HttpConnector, B>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    Client::builder(TokioExecutor::new()).build_http()
}

/// Sends an event whenever the test asks for one; counts the open streams.
async fn events() -> (Server, mpsc::UnboundedSender<Instant>, Arc<AtomicUsize>) {
    struct Open(Arc<AtomicUsize>);
    impl Drop for Open {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let (say, said) = mpsc::unbounded_channel::<Instant>();
    let said = Arc::new(tokio::sync::Mutex::new(said));
    let open = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&open);
    let server = serve(move |_: Request<Incoming>| {
        counter.fetch_add(1, Ordering::SeqCst);
        let (said, guard) = (Arc::clone(&said), Open(Arc::clone(&counter)));
        async move {
            let events = stream::unfold((said, guard), async |(said, guard)| {
                said.lock().await.recv().await?;
                let event = Frame::data(Bytes::from_static(b"data: tick\n\n"));
                Some((Ok::<_, std::io::Error>(event), (said, guard)))
            });
            let response = Response::builder().header("content-type", "text/event-stream");
            response.body(boxed(StreamBody::new(events))).unwrap()
        }
    })
    .await;
    (server, say, open)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_on_its_way_at_once_and_a_client_that_leaves_is_gone() {
    let (server, say, open) = events().await;
    let gateway = Gateway::before(&[server.uri()], &["--session-header=x-s"]).await;
    let request = Request::get(gateway.uri()).body(Full::<Bytes>::default()).unwrap();
    let mut response = client().request(request).await.unwrap();
    let mut delays = Vec::new();
    for _ in 0..50 {
        let sent = Instant::now();
        say.send(sent).unwrap();
        let frame = response.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "data: tick\n\n", "one event, one frame");
        delays.push(sent.elapsed());
    }
    delays.sort();
    println!("event through the gateway: median {:?}, longest {:?}", delays[25], delays[49]);
    // The timeout is generous for slow machines: a buffered event would wait for the next one,
    // which never comes.
    assert_eq!(open.load(Ordering::SeqCst), 1);
    drop(response);
    let gone = || async { open.load(Ordering::SeqCst) == 0 };
    eventually("the stream has left the backend", Duration::from_secs(1), gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_open_streams_do_not_stand_in_the_way_of_calls() {
    let server = CounterServer::start().await;
    let gateway = Gateway::before(&[server.uri()], &[]).await;
    let raw = Raw::new(&gateway.uri());
    let mut streams = Vec::new();
    for _ in 0..100 {
        let id = raw.initialize().await;
        let request = raw.request(Method::GET, Some(&id)).body(Full::default()).unwrap();
        let response = raw.open(request).await.unwrap();
        assert_eq!(response.status(), 200);
        streams.push(response);
    }
    let id = raw.initialize().await;
    for expected in 1..=100 {
        assert_eq!(raw.increment(&id).await.count(), Some(expected));
    }
    assert_eq!(streams.len(), 100);
}

/// Resident memory of a process, in bytes.
#[cfg(target_os = "linux")]
fn resident(process: u32) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_pass_both_ways_in_little_memory() {
    let server =
        serve(async |request: Request<Incoming>| Response::new(boxed(request.into_body())));
    let server = server.await;
    let gateway = Gateway::before(&[server.uri()], &["--session-header=x-s"]).await;
    let before = resident(gateway.process.id());
    let chunk = Bytes::from(vec![7; 64 * 1024]);
    let chunks = (0..256 * MIB / chunk.len())
        .map(move |_| Ok::<_, std::io::Error>(Frame::data(chunk.clone())));
    let body: BoxBody = boxed(StreamBody::new(stream::iter(chunks)));
    let request = Request::post(gateway.uri()).body(body).unwrap();
    let mut response = client().request(request).await.unwrap();
    let (mut total, mut most) = (0, 0);
    while let Some(frame) = response.body_mut().frame().await {
        total += frame.unwrap().into_data().map_or(0, |data| data.len());
        if total % (16 * MIB) < 64 * 1024 {
            most = most.max(resident(gateway.process.id()));
        }
    }
    assert_eq!(total, 256 * MIB);
    let grown = most.saturating_sub(before);
    println!("256 MiB up and down: {} KiB more resident at the most", grown / 1024);
    assert!(grown < 16 * MIB, "{grown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_backends_are_dead_the_answer_is_prompt_and_service_comes_back() {
    let mut servers = CounterServer::start_many(2).await;
    let origins: Vec<_> = servers.iter().map(CounterServer::uri).collect();
    let gateway = Gateway::before(&origins, &[]).await;
    let raw = Raw::new(&gateway.uri());
    raw.initialize().await;
    for server in &mut servers {
        server.kill().await;
    }
    for _ in 0..20 {
        let begun = Instant::now();
        let answer = raw.post(None, bartizan_testkit::client::INITIALIZE).await;
        assert!([502, 503, 504].contains(&answer.status.as_u16()), "{}", answer.status);
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert!(answer.text().contains(r#""id":0"#), "{}", answer.text());
    }
    for server in &mut servers {
        server.restart_empty().await;
    }
    eventually("sessions are opened again", Duration::from_secs(30), || async {
        raw.post(None, bartizan_testkit::client::INITIALIZE).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_as_many_streams_as_there_may_be_and_silent_ones_are_kept_alive() {
    let (server, say, _open) = events().await;
    let args = ["--session-header=x-s", "--max-streams=2", "--stream-keepalive=100ms"];
    let gateway = Gateway::before(&[server.uri()], &args).await;
    let (client, uri) = (client(), gateway.uri());
    let listen = async || {
        let request = Request::get(&uri).header("accept", "text/event-stream");
        client.request(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap()
    };
    let (mut first, second) = (listen().await, listen().await);
    let refused = listen().await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (503, &"10".parse().unwrap())
    );
    for _ in 0..3 {
        let frame = first.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), ":\n\n");
    }
    drop(say);
    drop(second);
    let again = async || listen().await.status() == 200;
    eventually("there is room again", Duration::from_secs(10), again).await;
}

/// Memory of many streams is returned to the system when they end, even after several rounds.
#[cfg(all(feature = "jemalloc", target_os = "linux", target_env = "gnu"))]
#[tokio::test(flavor = "multi_thread")]
async fn memory_returns_when_streams_have_ended() {
    const STREAMS: usize = 1_000;
    let (server, _say, open) = events().await;
    let gateway = Gateway::before(&[server.uri()], &["--session-header=x-s"]).await;
    let id = gateway.process.id();
    let before = resident(id);
    let mut most = before;
    for _ in 0..6 {
        let client = client();
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            let request = Request::get(gateway.uri()).header("accept", "text/event-stream");
            let request = request.body(Full::<Bytes>::default()).unwrap();
            streams.push(client.request(request).await.unwrap());
        }
        assert_eq!(open.load(Ordering::SeqCst), STREAMS);
        most = most.max(resident(id));
        drop((streams, client));
        let none = || async { open.load(Ordering::SeqCst) == 0 };
        eventually("all streams are gone", Duration::from_secs(20), none).await;
    }
    // After six rounds, less than a quarter of what one round takes is left.
    let little = before + (most - before) / 4;
    let ended = Instant::now();
    let is_back = || async { resident(id) < little };
    eventually("memory is given back", Duration::from_secs(60), is_back).await;
    let [before, most, after] = [before, most, resident(id)].map(|bytes| bytes / 1024);
    println!(
        "{before} KiB before {STREAMS} streams, {most} at most, {after} {:?} after their end",
        ended.elapsed()
    );
}
