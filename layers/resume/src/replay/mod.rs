//! Shared parts of resuming and splitting: keeping a request so that it can be sent again, reading responses, and
//! opening a session as its client did.
//!
//! [`crate::resume`] and [`crate::split`] are built on it. It depends on neither, and they do not depend on each other.

pub(crate) mod answer;
pub(crate) mod ask;
pub(crate) mod budget;
pub(crate) mod by_session;
pub(crate) mod closing;
pub(crate) mod credentials;
pub(crate) mod entry;
mod event;
pub(crate) mod follow;
pub(crate) mod handshake;
pub(crate) mod inside;
pub(crate) mod kept;
mod listening;
mod look;
mod looked;
pub(crate) mod loss;
pub(crate) mod message;
mod needed;
pub(crate) mod opened;
pub(crate) mod record;
pub(crate) mod replay_body;
pub(crate) mod returned;
pub(crate) mod single_flight;
pub(crate) mod target;
pub(crate) mod timed;
