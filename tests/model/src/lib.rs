//! A model of clients, replicas, backends and the store, explored exhaustively.
//!
//! Two clients use one session, by two replicas that share a store, at two backends. Whatever may happen between two
//! steps of one request happens: the other request, a crash, a cut link, a step of the clock. The checker goes through
//! all orders, and looks in each state whether the promises of the guide's page "What Bartizan guarantees" hold.
//!
//! What the layers decide is not modelled but asked of them ([`rules`]). What is modelled is the order in which they
//! do it, and the world around them.
#![allow(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    clippy::indexing_slicing,
    clippy::struct_excessive_bools,
    reason = "for the tests of this workspace alone; an index out of bounds is a mistake in the model"
)]

mod action;
mod check;
mod config;
mod guard;
mod model;
mod resume;
pub mod rules;
mod run;
mod settle;
mod state;
pub mod store;

pub use action::Action;
pub use check::{Found, explore, search};
pub use config::{Budget, Config, Policy, Undone, UnknownWord};
pub use model::{ENDED, EVIDENCE, LEFT, ONCE, ONE, ROOM, SETTLES, System};
pub use state::{
    Answer, Backend, Excuse, Flow, Got, Kind, Listed, Noted, Replica, Said, Seen, State, Step,
    UPSTREAMS, Upstream, Why,
};
