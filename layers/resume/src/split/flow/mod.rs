//! The way of a request to its gateway.

mod address;
mod arrive;
mod end;
mod open;
mod seed;

pub(crate) use arrive::arrived;
