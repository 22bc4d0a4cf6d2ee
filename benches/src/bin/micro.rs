//! What the pure pieces cost, alone: peeking into a body, looking a session up, finding a key, and looking
//! at the names of a head.
//!
//! `micro` prints nanoseconds, the smallest of many short rounds in which all pieces take turns; the
//! contended look-up, for which that has no meaning, prints the median of few.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_types,
    reason = "a benchmark is a program of its own, and real time is what is measured"
)]

use std::{hint::black_box, thread, time::Instant};

use bartizan::{
    core::{Answer, Key, Record, Route, SessionStore, fields::hop_by_hop, mcp::Content},
    memory::MemoryStore,
    pin::key::{CookieKey, ExtractKey, HeaderKey, PathSegmentKey, QueryKey},
};
use http::{HeaderMap, HeaderValue, Uri};

const ROUNDS: usize = 200;
const SESSIONS: usize = 100_000;

/// A piece, by name: makes one step of its work.
type Piece = (&'static str, Box<dyn FnMut()>);

fn main() {
    let mut pieces: Vec<Piece> =
        [peeks(), look_ups(), keys(), heads()].into_iter().flatten().collect();
    let mut best = vec![f64::MAX; pieces.len()];
    for _ in 0..ROUNDS {
        for ((name, step), best) in pieces.iter_mut().zip(&mut best) {
            // Long bodies take long: as many steps as make a round of a like length.
            let steps = if name.ends_with("KiB") { 10 } else { 500 };
            let start = Instant::now();
            (0..steps).for_each(|_| step());
            *best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(steps));
        }
    }
    for ((name, _), nanoseconds) in pieces.iter().zip(best) {
        println!("{name:34} {nanoseconds:9.0} ns");
    }
    contended();
}

/// A tool call of about `bytes` bytes, with the method at one end or the other.
fn call(bytes: usize, is_method_first: bool) -> Vec<u8> {
    let note = "x".repeat(bytes.saturating_sub(120));
    let params = format!(r#""params":{{"name":"increment","arguments":{{"note":"{note}"}}}}"#);
    let method = r#""method":"tools/call""#;
    let (one, other) = if is_method_first { (method, &*params) } else { (&*params, method) };
    format!(r#"{{"jsonrpc":"2.0","id":1,{one},{other}}}"#).into_bytes()
}

fn peeks() -> Vec<Piece> {
    let sizes = [
        ("peek, 300 B, method first", 300, true),
        ("peek, 300 B, method last", 300, false),
        ("peek, method first, 4 KiB", 4 << 10, true),
        ("peek, method last, 4 KiB", 4 << 10, false),
        ("peek, method last, 64 KiB", 64 << 10, false),
    ];
    let piece = |(name, bytes, is_first)| {
        let body = call(bytes, is_first);
        let step = move || assert!(Content::parse(black_box(&body)).is_ok());
        (name, Box::new(step) as Box<dyn FnMut()>)
    };
    sizes.into_iter().map(piece).collect()
}

fn id(n: usize) -> String {
    format!("0a1b2c3d-0a1b-2c3d-4e5f-{n:012}")
}

fn store() -> MemoryStore {
    let (store, route) = (MemoryStore::new(), Route::default());
    for n in 0..SESSIONS {
        let record = Record::new(Record::IDLE, Record::LIFETIME);
        let record = record.with_backend("http://127.0.0.1:9001".parse().unwrap());
        let _ = store.insert_if_absent(Key::new(&route, None, id(n).as_bytes()), record);
    }
    store
}

fn is_found(store: &MemoryStore, route: &Route, id: &str) -> bool {
    match store.get(Key::new(route, None, black_box(id.as_bytes()))) {
        Answer::Now(found) => found.unwrap().is_some(),
        Answer::Later(_) => false,
    }
}

fn look_ups() -> Vec<Piece> {
    let store = store();
    let hits: Vec<_> = (0..1_000).map(|n| id(n * 97)).collect();
    let misses: Vec<_> = (0..1_000).map(|n| id(SESSIONS + n)).collect();
    let piece = |ids: Vec<String>, expected: bool| {
        let (store, route, mut n) = (store.clone(), Route::default(), 0);
        Box::new(move || {
            n = (n + 1) % ids.len();
            let id = ids.get(n).map_or("", String::as_str);
            assert_eq!(is_found(&store, &route, id), expected);
        }) as Box<dyn FnMut()>
    };
    vec![
        ("look-up, 100,000 sessions, hit", piece(hits, true)),
        ("look-up, miss", piece(misses, false)),
    ]
}

fn keys() -> Vec<Piece> {
    let uri: Uri = "/mcp/tenant-7/tools?project=alpha&session=abc".parse().unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("x-tenant", HeaderValue::from_static("tenant-7"));
    let cookie = "theme=dark; lang=en; affinity=0a1b2c3d0a1b2c3d; other=1";
    headers.insert("cookie", HeaderValue::from_static(cookie));
    fn piece(key: impl ExtractKey + 'static, uri: &Uri, headers: &HeaderMap) -> Box<dyn FnMut()> {
        let (uri, headers) = (uri.clone(), headers.clone());
        Box::new(move || assert!(black_box(&key).key(&uri, &headers).is_some()))
    }
    vec![
        ("key, header", piece(HeaderKey::new("x-tenant".parse().unwrap()), &uri, &headers)),
        ("key, cookie", piece(CookieKey::new("affinity"), &uri, &headers)),
        ("key, path segment", piece(PathSegmentKey::after("/mcp/"), &uri, &headers)),
        ("key, query parameter", piece(QueryKey::new("session"), &uri, &headers)),
    ]
}

fn heads() -> Vec<Piece> {
    let mut headers = HeaderMap::new();
    for name in ["host", "accept", "content-type", "content-length", "user-agent"] {
        headers.insert(name, HeaderValue::from_static("1"));
    }
    headers.insert("mcp-session-id", HeaderValue::from_static("0a1b2c3d"));
    headers.insert("mcp-protocol-version", HeaderValue::from_static("2025-11-25"));
    let step = move || assert!(hop_by_hop::strip_request(black_box(&mut headers)).is_ok());
    vec![("names of a head, nothing to strip", Box::new(step))]
}

/// As many threads as there are cores look up, all of one session, and each of its own.
fn contended() {
    let (store, threads) = (store(), thread::available_parallelism().unwrap().get());
    for (name, is_one) in [("one session", true), ("each its own", false)] {
        let mut times: Vec<f64> =
            (0..15).map(|_| look_up_together(&store, threads, is_one)).collect();
        times.sort_by(f64::total_cmp);
        let median = times.get(times.len() / 2).copied().unwrap_or(0.0);
        println!("{:34} {median:9.0} ns", format!("look-up, {threads} threads, {name}"));
    }
}

fn look_up_together(store: &MemoryStore, threads: usize, is_one: bool) -> f64 {
    const EACH: usize = 50_000;
    let start = Instant::now();
    thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let (route, id) = (Route::default(), id(if is_one { 7 } else { thread * 1_000 }));
                (0..EACH).for_each(|_| assert!(is_found(store, &route, &id)));
            });
        }
    });
    start.elapsed().as_secs_f64() * 1e9 / EACH as f64
}
