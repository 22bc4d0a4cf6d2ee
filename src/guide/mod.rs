//! The guide.

#[doc = include_str!("order.md")]
pub mod order {}

#[doc = include_str!("endings.md")]
pub mod endings {}

#[doc = include_str!("guarantees.md")]
pub mod guarantees {}

#[doc = include_str!("design.md")]
pub mod design {}
