//! Synchronisation types. `tests/loom` compiles the files that import from here against loom's types instead.

pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
