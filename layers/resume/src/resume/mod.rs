//! Resuming a session on another backend.

mod config;
mod counts;
mod event;
mod flow;
mod future;
mod gauges;
mod layer;
mod outcome;
mod resumer;
mod service;
mod strangers;

pub use counts::ResumeCounts;
pub use future::ResponseFuture;
pub use layer::ResumeSessionLayer;
pub use service::ResumeSession;

/// The rules of resuming, as pure functions.
pub(crate) mod deciders {
    pub use super::flow::{
        Answers, FORGOTTEN, TIMES, Written, has_ended, is_same_place, unavailable,
    };
}
