//! The bodies that layers make of others: the response body that is forwarded or refused, the request
//! body that was looked into and is given back, and the body whose trailers keep to a rule.

mod guard;
mod peeked;
mod size;
mod trailer_filter;

pub use guard::GuardBody;
pub use peeked::PeekedBody;
pub use size::size_with_read;
pub use trailer_filter::TrailerFilterBody;
