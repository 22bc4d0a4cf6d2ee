//! The handling of requests that are not simply passed on.

mod accepted;
mod answers;
mod elsewhere;
mod end;
mod lost;
mod noted;
mod written;

pub(crate) use accepted::accepted;
pub use answers::{Answers, FORGOTTEN, unavailable};
pub(crate) use end::end;
pub use end::has_ended;
pub use lost::TIMES;
pub(crate) use lost::lost;
pub use written::{Written, is_same_place};
