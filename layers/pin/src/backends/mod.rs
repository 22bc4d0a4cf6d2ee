//! The set of backends, and the state of each.

mod absent;
mod callbacks;
mod change;
mod choose;
mod counters;
mod drain;
mod health;
mod reach;
mod set;
mod slot;
mod span;
mod status;
mod watch;

pub use absent::{Absence, Absentees};
pub use change::Change;
pub use health::Health;
pub use set::Backends;
pub(crate) use set::Pinned;
pub(crate) use slot::{InFlight, Slot};
pub use status::{BackendState, BackendStatus};
