//! How often each layer, and all of them together, allocate per request around a service that does nothing.
//!
//! Fails if the whole stack allocates on the way of a live session at all.
#![allow(clippy::print_stdout, reason = "a benchmark is a program of its own")]

use std::process::ExitCode;

use bartizan_benches::cases::cases;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const REQUESTS: u64 = 1_000;

fn main() -> ExitCode {
    let _profiler = dhat::Profiler::builder().testing().build();
    let mut base = 0;
    let mut stack = 0;
    for (name, send) in cases() {
        // The first request makes what is kept.
        send(10);
        let before = dhat::HeapStats::get().total_blocks;
        send(REQUESTS);
        let blocks = dhat::HeapStats::get().total_blocks - before;
        if name.ends_with("nothing") {
            base = blocks;
        }
        let more = blocks.saturating_sub(base) as f64 / REQUESTS as f64;
        println!("{name:22} {more:5.2} allocations more than nothing");
        if name == "stack" {
            stack = blocks.saturating_sub(base);
        }
    }
    if stack == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
