//! What resuming and splitting have in common: keeping a request so that it can be sent again, looking into
//! responses, and opening a session as its client did.
//!
//! [`crate::resume`] and [`crate::split`] are built on it; it knows neither, and they do not know each other.

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
pub(crate) mod single_flight;
pub(crate) mod target;
pub(crate) mod timed;
