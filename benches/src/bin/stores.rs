//! What a request costs the gateway, by store: CPU time of the process per request, end to end.
//!
//! `stores GATEWAY REDIS_URL ROUNDS`, with the path of a release build of `bartizan-gateway`. The cases take
//! turns; each figure is a median over the rounds, and its ratio to the memory store in the same round.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark is a program of its own")]

use std::{env, fs};

use bartizan_testkit::{client::Raw, process::Process, serve, server::boxed};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

const CONNECTIONS: usize = 8;
const REQUESTS: usize = 1_000;

#[tokio::main]
async fn main() {
    let args: Vec<_> = env::args().skip(1).collect();
    let [gateway, url, rounds] = args.as_slice() else {
        println!("usage: GATEWAY REDIS_URL ROUNDS");
        return;
    };
    let backend = serve(answer).await;
    let (store, off) = (format!("--store={url}"), "--near-cache=off");
    let cases: [(&str, Vec<&str>); 3] =
        [("memory", vec![]), ("redis, near", vec![&store]), ("redis, not near", vec![&store, off])];
    let mut gateways = Vec::new();
    for (name, args) in &cases {
        let backend = format!("--backend={}", backend.uri());
        let mut all = vec!["--listen=127.0.0.1:0", &backend, "--admin=127.0.0.1:0"];
        all.extend(args);
        let mut process = Process::start(gateway, &all);
        let admin = process.line_with("admin on").await.replace("admin on ", "");
        let line = process.line_with("listening on").await;
        let uri = line.strip_prefix("listening on ").unwrap().split(',').next().unwrap().to_owned();
        while status(&format!("{admin}/readyz")).await != 200 {}
        gateways.push((*name, process, uri));
    }
    let mut costs = [const { Vec::new() }; 3];
    for _ in 0..rounds.parse().unwrap() {
        for ((_, process, uri), costs) in gateways.iter().zip(&mut costs) {
            let before = cpu_ns(process.id());
            load(uri).await;
            let spent = cpu_ns(process.id()) - before;
            costs.push(spent as f64 / 1000.0 / (CONNECTIONS * REQUESTS) as f64);
        }
    }
    let memory = costs[0].clone();
    for ((name, ..), costs) in cases.iter().zip(&costs) {
        let mut ratios: Vec<_> =
            costs.iter().zip(&memory).map(|(cost, memory)| cost / memory).collect();
        let mut costs = costs.clone();
        println!("{name:16} {:6.1} us   {:5.2} of memory", median(&mut costs), median(&mut ratios));
    }
}

async fn answer(request: Request<Incoming>) -> Response<bartizan_testkit::BoxBody> {
    let opens = request.into_body().collect().await.unwrap().to_bytes()
        == bartizan_testkit::client::INITIALIZE;
    let response = Response::builder().header("content-type", "application/json");
    let response = match opens {
        true => response.header("mcp-session-id", format!("{:032x}", rand())),
        false => response,
    };
    response.body(boxed(Full::from(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#))).unwrap()
}

/// A number that was not there before.
fn rand() -> u128 {
    use std::hash::BuildHasher;
    let random = std::hash::RandomState::new();
    u128::from(random.hash_one(0)) << 64 | u128::from(random.hash_one(1))
}

/// Each connection opens a session and calls it.
async fn load(uri: &str) {
    let tasks = (0..CONNECTIONS).map(|_| {
        let raw = Raw::new(uri);
        tokio::spawn(async move {
            let opened = raw.post(None, bartizan_testkit::client::INITIALIZE).await;
            let id = opened.session().unwrap().to_owned();
            for _ in 0..REQUESTS {
                let body = bartizan_testkit::client::call(1, "increment");
                let request =
                    raw.request(Method::POST, Some(&id)).body(Full::from(Bytes::from(body)));
                assert_eq!(raw.send(request.unwrap()).await.status, 200);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

async fn status(uri: &str) -> u16 {
    let request = Request::get(uri).body(Full::default()).unwrap();
    Raw::new("http://127.0.0.1").open(request).await.map_or(0, |answer| answer.status().as_u16())
}

/// Time on a CPU, of all threads of a process.
fn cpu_ns(id: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).unwrap();
    let of = |task: fs::DirEntry| fs::read_to_string(task.path().join("schedstat")).ok();
    let spent = |stat: String| stat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok());
    tasks.flatten().filter_map(of).filter_map(spent).sum()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
