//! Session ids, principals, routes, records, and the shared [`Session`].

mod additions;
mod client_network;
mod ended;
mod id;
mod live;
mod lot;
mod principal;
mod record;
mod record_bytes;
mod route;
pub(crate) mod stored;
mod usage;

pub use additions::Additions;
pub use client_network::ClientNetwork;
pub use ended::Ended;
pub use id::{Fingerprint, InvalidSessionId, SessionId};
pub(crate) use live::WeakSession;
pub use live::{Hold, Session};
pub use principal::Principal;
pub use record::Record;
pub use record_bytes::InvalidRecord;
pub use route::Route;
