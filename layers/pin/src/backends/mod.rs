//! The set of backends, and the state of each.

mod absent;
mod callbacks;
mod change;
mod choose;
mod counters;
mod drain;
mod health;
mod occupancy;
mod openings;
mod outliers;
mod probed;
mod reach;
mod set;
mod slot;
mod span;
mod status;
mod watch;
mod watched;

pub use absent::{Absence, Absentees};
pub use change::Change;
pub use health::Health;
pub(crate) use openings::Client;
pub(crate) use outliers::Ticket;
pub(crate) use probed::WeakBackends;
pub use set::Backends;
pub(crate) use set::Pinned;
pub(crate) use slot::{InFlight, Slot};
pub use status::{BackendState, BackendStatus, DownCause};
