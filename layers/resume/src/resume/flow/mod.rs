//! The ways of a request that is not simply passed on.

mod accepted;
mod elsewhere;
mod end;
mod lost;
mod noted;

pub(crate) use accepted::accepted;
pub(crate) use end::end;
pub(crate) use lost::lost;
