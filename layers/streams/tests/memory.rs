//! The memory of streams, and what is left of it when they end.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a test that tells its figure")]

mod common;

use bartizan_streams::TrackStreamsLayer;
use common::{World, is_quiet};

#[global_allocator]
static HEAP: dhat::Alloc = dhat::Alloc;

#[tokio::test]
async fn streams_leave_nothing_behind() {
    let world = World::new(&TrackStreamsLayer::new());
    world.open("a");
    let _profiler = dhat::Profiler::builder().testing().build();
    let bytes = || i64::try_from(dhat::HeapStats::get().curr_bytes).unwrap();
    let mut left = Vec::new();
    for _ in 0..4 {
        let before = bytes();
        for _ in 0..1_000 {
            let (mut listened, called) =
                (world.listen("a").await.into_body(), world.call("a").await);
            // Polled until it waits for everything that may end it.
            assert!(is_quiet(&mut listened));
            drop((listened, called));
            world.backend.forget();
        }
        assert!(world.streams.is_empty());
        left.push(bytes() - before);
    }
    println!("bytes left by each 2,000 streams: {left:?}");
    assert!(left[1..].iter().all(|bytes| *bytes == 0), "{left:?}");

    // The memory of an open stream, without its channel.
    let before = bytes();
    let mut open = Vec::with_capacity(32);
    for _ in 0..32 {
        let mut body = world.listen("a").await.into_body();
        assert!(is_quiet(&mut body));
        open.push(body);
    }
    println!("an open stream: {} bytes, with those of the test's channel", (bytes() - before) / 32);
    drop(open);
}
