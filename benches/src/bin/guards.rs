//! What each layer, and all of them together, cost per request around a service that does nothing.
//!
//! `guards CASE N` sends N requests through a case, to be counted by callgrind; `guards` prints the
//! nanoseconds of each case, the smallest of many short rounds that take turns.
#![allow(
    clippy::exit,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark is a program of its own"
)]

use std::env;

use bartizan_benches::cases::cases;

fn main() {
    let args: Vec<_> = env::args().skip(1).collect();
    match args.as_slice() {
        [name, count] => {
            let cases = cases();
            let (_, send) = cases.iter().find(|(case, _)| case == name).unwrap();
            send(count.parse().unwrap());
        }
        _ => print_times(),
    }
}

#[allow(clippy::disallowed_types, reason = "real time is what is measured")]
fn print_times() {
    const ROUNDS: u32 = 300;
    const REQUESTS: u64 = 1_000;
    let cases = cases();
    let mut best = vec![f64::MAX; cases.len()];
    for _ in 0..ROUNDS {
        for ((_, send), best) in cases.iter().zip(&mut best) {
            let start = std::time::Instant::now();
            send(REQUESTS);
            *best = best.min(start.elapsed().as_secs_f64() * 1e9 / REQUESTS as f64);
        }
    }
    for ((name, _), nanoseconds) in cases.iter().zip(best) {
        println!("{name:22} {nanoseconds:6.0} ns");
    }
}
