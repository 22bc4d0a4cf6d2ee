//! What a look-up of a live session costs, by store.
//!
//! `lookup REDIS_URL` prints nanoseconds: the median of many short rounds in which all cases take turns.
//! With `memory N`, `near N REDIS_URL` or `far N REDIS_URL` (without the near-cache, 32 at a time) it makes
//! N look-ups, to be counted by callgrind.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark is a program of its own")]

use std::{env, hint::black_box};

use bartizan::{
    core::{Key, Record, Route, SessionStore},
    memory::MemoryStore,
    redis::RedisStore,
};
use futures_util::future::join_all;

const SESSIONS: usize = 1_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<_> = env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["memory", count] => {
            let store = MemoryStore::new();
            fill(&store).await;
            look_up(&store, count.parse().unwrap()).await;
        }
        ["near", count, url] => {
            let store = near(url).await;
            look_up(&store, count.parse().unwrap()).await;
        }
        ["far", count, url] => look_up_at_once(&far(url).await, count.parse().unwrap()).await,
        [url] => print_times(url).await,
        _ => println!("usage: REDIS_URL | memory N | near N REDIS_URL | far N REDIS_URL"),
    }
}

async fn near(url: &str) -> RedisStore {
    let store = RedisStore::builder(url).build().unwrap();
    ready(&store).await;
    fill(&store).await;
    look_up(&store, SESSIONS).await;
    store
}

async fn far(url: &str) -> RedisStore {
    let store = RedisStore::builder(url).near_cache(0).build().unwrap();
    ready(&store).await;
    fill(&store).await;
    store
}

async fn ready(store: &RedisStore) {
    while !store.is_ready() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

fn id(n: usize) -> String {
    format!("0a1b2c3d-0a1b-2c3d-4e5f-{:012}", n % SESSIONS)
}

async fn fill<T: SessionStore>(store: &T) {
    let route = Route::default();
    for n in 0..SESSIONS {
        let record = Record::new(Record::IDLE, Record::LIFETIME);
        let record = record.with_backend("http://127.0.0.1:9001".parse().unwrap());
        let id = id(n);
        let key = Key::new(&route, None, id.as_bytes());
        store.insert_if_absent(key, record).wait().await.unwrap();
    }
}

async fn look_up<T: SessionStore>(store: &T, count: usize) {
    let route = Route::default();
    let ids: Vec<_> = (0..SESSIONS).map(id).collect();
    for id in ids.iter().cycle().take(count) {
        let key = Key::new(&route, None, id.as_bytes());
        assert!(black_box(store.get(key).wait().await.unwrap()).is_some());
    }
}

/// As a proxy does with 32 connections.
async fn look_up_at_once(store: &RedisStore, count: usize) {
    let share = |n: usize| async move {
        let route = Route::default();
        for _ in 0..count / 32 {
            let id = id(n);
            let key = Key::new(&route, None, id.as_bytes());
            assert!(store.get(key).wait().await.unwrap().is_some());
        }
    };
    join_all((0..32).map(share)).await;
}

#[allow(clippy::disallowed_types, reason = "real time is what is measured")]
async fn print_times(url: &str) {
    const ROUNDS: usize = 51;
    let memory = MemoryStore::new();
    fill(&memory).await;
    let near = near(url).await;
    let far = far(url).await;
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        let start = std::time::Instant::now();
        look_up(&memory, 20_000).await;
        times[0].push(start.elapsed().as_secs_f64() * 1e9 / 20_000.0);
        let start = std::time::Instant::now();
        look_up(&near, 20_000).await;
        times[1].push(start.elapsed().as_secs_f64() * 1e9 / 20_000.0);
        let start = std::time::Instant::now();
        look_up(&far, 200).await;
        times[2].push(start.elapsed().as_secs_f64() * 1e9 / 200.0);
    }
    for (name, times) in ["memory", "redis, near", "redis, not near"].iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let at =
            |part: f64| times.get((times.len() as f64 * part) as usize).copied().unwrap_or(0.0);
        println!("{name:16} {:8.0} ns [{:.0} to {:.0}]", at(0.5), at(0.25), at(0.75));
    }
}
