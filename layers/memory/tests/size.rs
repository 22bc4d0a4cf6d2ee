//! The memory of a session, including the table, the record and its place in the queue of unconfirmed sessions; the
//! allocations of a hit; and the memory that is released.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a test that tells its figure")]

use bartizan_core::{Key, Record, Route, SessionStore};
use bartizan_memory::MemoryStore;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// The overhead of glibc's allocator for a block: 8 bytes, rounded up to a multiple of 16. That is 8 bytes for a
/// record, and 12 for an id of 36 bytes.
const ADDED: usize = 12;

/// How many bytes a session may take, confirmed and unconfirmed.
const MOST: [(bool, usize); 2] = [(false, 208), (true, 232)];

#[tokio::test]
async fn a_session_takes_at_most_208_bytes_and_24_more_while_it_waits() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let taken = || {
        let stats = dhat::HeapStats::get();
        stats.curr_bytes + stats.curr_blocks * ADDED
    };
    let route = Route::default();
    let id = |n: usize| format!("1868a90c-7c3e-4c5a-9f0e-{n:012}");
    let backend: bartizan_core::BackendId = "http://10.0.0.7:9001".parse().unwrap();
    let record = Record::new(Record::IDLE, Record::LIFETIME).with_backend(backend);
    for (waits, most) in MOST {
        let store = MemoryStore::new();
        let before = taken();
        let mut count = 0;
        // A table is emptiest right after it has grown.
        for total in [50_000_usize, 60_000, 100_000] {
            while count < total {
                let id = id(count);
                assert_eq!(id.len(), 36);
                let key = Key::new(&route, None, id.as_bytes());
                let inserted = match waits {
                    true => store.insert_unconfirmed(key, record.clone()),
                    false => store.insert_if_absent(key, record.clone()),
                };
                inserted.wait().await.unwrap();
                count += 1;
            }
            let each = (taken() - before) / count;
            println!("{each} bytes for each of {count} sessions, to be confirmed: {waits}");
            assert!(each <= most, "{each} bytes for each of {count} sessions");
        }

        let hit = id(7);
        let allocated = dhat::HeapStats::get().total_blocks;
        for _ in 0..100 {
            let found = store.get(Key::new(&route, None, hit.as_bytes())).wait().await.unwrap();
            assert!(found.is_some());
        }
        assert_eq!(dhat::HeapStats::get().total_blocks, allocated, "a hit allocates nothing");

        if !waits {
            tokio::time::pause();
            tokio::time::advance(Record::IDLE).await;
            assert_eq!(store.sweep(), count);
            let left = taken() - before;
            assert!(left < 10_000, "{left} bytes stay where {count} sessions were");
            tokio::time::resume();
        }
    }
}
