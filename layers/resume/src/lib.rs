//! Resumes a session on another backend when its own is lost.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod ask;
mod body;
mod counts;
mod entry;
#[cfg(feature = "seal")]
mod error;
mod event;
mod flight;
mod flow;
mod future;
mod handshake;
mod kept;
mod layer;
mod look;
mod loss;
#[cfg(feature = "seal")]
mod seal;
mod service;
mod shared;
pub mod split;
mod tee;

pub use body::ResumeBody;
pub use counts::ResumeCounts;
#[cfg(feature = "seal")]
#[cfg_attr(docsrs, doc(cfg(feature = "seal")))]
pub use error::ConfigError;
pub use future::ResponseFuture;
pub use layer::ResumeSessionLayer;
#[cfg(feature = "seal")]
#[cfg_attr(docsrs, doc(cfg(feature = "seal")))]
pub use seal::RecordKeys;
pub use service::ResumeSession;
pub use tee::Tee;
