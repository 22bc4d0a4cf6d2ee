//! Sessions that are opened, lose their backend and end, over sockets: nothing is left of them. Alone in its process,
//! so that its counts are not affected by other tests.
#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a failure is a failed test, and figures are printed"
)]

mod common;
#[path = "resume/scripted.rs"]
mod scripted;

use bartizan_testkit::client::Raw;
use common::resuming;
use scripted::{Opening, Scripted};

/// Open files of this process, including sockets, and its resident memory in KiB.
fn resources() -> (usize, u64) {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    (files, line.trim().strip_suffix(" kB").unwrap().parse().unwrap())
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn cycles_and_resumes_leave_no_connection_and_no_memory() {
    let servers = [Scripted::start(Opening::Good).await, Scripted::start(Opening::Good).await];
    let origins: Vec<_> = servers.iter().map(Scripted::uri).collect();
    let (gateway, counts) = resuming(&origins, |layer| layer).await;
    let client = Raw::new(&gateway.uri());
    let cycles = std::env::var("BARTIZAN_SOAK_CYCLES");
    let cycles: u64 = cycles.map_or(3_000, |cycles| cycles.parse().unwrap());
    let mut before = (0, 0);
    for cycle in 0..cycles {
        if cycle == 500 {
            servers.iter().for_each(Scripted::forget_what_was_seen);
            before = resources();
        }
        let id = client.initialize().await;
        assert_eq!(client.increment(&id).await.count(), Some(1));
        servers.iter().for_each(Scripted::forget);
        assert_eq!(client.increment(&id).await.count(), Some(1));
        assert_eq!(client.delete(Some(&id)).await.status, 200);
        assert_eq!(counts.resumed(), cycle + 1);
        servers.iter().for_each(Scripted::forget_what_was_seen);
    }
    assert_eq!((gateway.store.len(), servers[0].live() + servers[1].live()), (0, 0));
    let after = resources();
    println!("(open files, KiB) after 500 cycles: {before:?}, after {cycles}: {after:?}");
    assert!(after.0 <= before.0 + 8 && after.1 <= before.1 + 4 * 1024, "{before:?} {after:?}");
}
