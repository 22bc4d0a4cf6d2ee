//! The guide.

#[doc = include_str!("order.md")]
pub mod order {}

#[doc = include_str!("design.md")]
pub mod design {}
