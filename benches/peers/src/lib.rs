//! What the peers share: which backend each session was opened on.
//!
//! The ids are copied: a slice of a head that was read keeps the whole buffer of its connection alive.

use std::{
    env,
    sync::atomic::{AtomicUsize, Ordering},
};

use dashmap::DashMap;
use foldhash::fast::RandomState;

/// The field that carries a session's id, in requests and in the response that opens it.
pub const SESSION: &str = "mcp-session-id";

/// The backends, and the sessions that are on them.
#[derive(Debug)]
pub struct Sessions<B> {
    backends: Vec<B>,
    opened: DashMap<Box<[u8]>, usize, RandomState>,
    turn: AtomicUsize,
}

impl<B> Sessions<B> {
    pub fn new(backends: Vec<B>) -> Self {
        Self { backends, opened: DashMap::default(), turn: AtomicUsize::new(0) }
    }

    /// The number of the backend that opened the session, or the next one in turn.
    pub fn choose(&self, id: Option<&[u8]>) -> usize {
        let opened = id.and_then(|id| self.opened.get(id).map(|number| *number));
        opened.unwrap_or_else(|| self.turn.fetch_add(1, Ordering::Relaxed) % self.backends.len())
    }

    pub fn backend(&self, number: usize) -> &B {
        &self.backends[number]
    }

    /// Remembers which backend opened the session.
    pub fn learn(&self, id: Option<&[u8]>, number: usize) {
        if let Some(id) = id {
            self.opened.insert(id.into(), number);
        }
    }
}

/// The command line: where to listen, and the backends (addresses).
pub fn addresses() -> (String, Vec<String>) {
    let mut args = env::args().skip(1);
    let listen = args.next().expect("usage: LISTEN BACKEND...");
    (listen, args.collect())
}
