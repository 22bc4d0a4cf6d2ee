//! The path of a request to its gateway.

mod address;
mod arrive;
mod end;
mod expired;
mod open;
mod seed;
mod share;
mod written;

pub(crate) use arrive::arrived;
