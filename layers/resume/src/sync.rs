//! Synchronisation types. `tests/loom` compiles the files that import from here against loom's types instead.

pub(crate) use std::sync::{Mutex, MutexGuard};

pub(crate) use tokio::sync::watch;
