//! The bodies that layers make of others: the response body that is forwarded or refused, the request
//! body that was looked into and is given back, and the body whose trailers keep to a rule.

mod forward;
mod guard;
mod replay;
mod size;

pub use forward::ForwardBody;
pub use guard::GuardBody;
pub use replay::Replay;
pub use size::size_with_read;
