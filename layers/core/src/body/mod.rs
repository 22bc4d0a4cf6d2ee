//! The two bodies of a layer: the response body that is forwarded or refused, and the request body
//! that was looked into and is given back.

mod guard;
mod replay;

pub use guard::GuardBody;
pub use replay::Replay;
