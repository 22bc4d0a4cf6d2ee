//! The checks, one function each.

pub(crate) mod caps;
pub(crate) mod ends;
pub(crate) mod races;
pub(crate) mod records;
pub(crate) mod time;
pub(crate) mod versions;
