//! Sessions that lose their backend: real servers (rmcp) behind the stack, and scripted ones.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a failure is a failed test, and figures are printed"
)]

mod answers;
#[path = "../common/mod.rs"]
mod common;
mod counters;
mod races;
mod scripted;
mod split;
mod writes;

use std::sync::Arc;

use bartizan::{
    ReverseProxyStack,
    memory::MemoryStore,
    pin::{Backends, PinBackendLayer},
    resume::{ResumeCounts, ResumeSessionLayer},
    session::ValidateSessionLayer,
    upstream::Upstream,
};
use common::Gateway;
use tower::Layer;

/// A gateway that resumes sessions, before servers at `origins`.
async fn resuming(
    origins: &[String],
    configure: impl FnOnce(ResumeSessionLayer<MemoryStore>) -> ResumeSessionLayer<MemoryStore>,
) -> (Gateway, ResumeCounts) {
    let store = MemoryStore::new();
    let backends = Backends::new(origins.iter().map(|origin| origin.parse().unwrap()))
        .counted_by(Arc::new(store.clone()));
    let resume = configure(ResumeSessionLayer::new(store.clone()));
    let counts = resume.counts();
    let stack = ReverseProxyStack::new(
        ValidateSessionLayer::mcp(store.clone()),
        PinBackendLayer::new(backends.clone()),
    )
    .resume(resume);
    let service = stack.layer(Upstream::builder().build());
    (Gateway::serve(service, store, backends).await, counts)
}
