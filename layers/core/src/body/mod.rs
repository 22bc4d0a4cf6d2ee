//! Bodies that wrap others: a response body that is forwarded or refused, and a body whose trailers are filtered.

mod guard;
mod replace;
mod size;
mod trailer_filter;

pub use guard::GuardBody;
pub use replace::{ReplaceBody, Replacement};
pub use size::size_with_read;
pub use trailer_filter::TrailerFilterBody;
