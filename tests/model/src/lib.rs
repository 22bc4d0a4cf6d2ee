//! A model of clients, replicas, backends and the store, explored exhaustively.
//!
//! Two clients use one session, through two replicas that share a store, at two backends. Between any two steps of a
//! request, other events may happen: a step of the other request, a crash, a lost connection, a step of the clock. The
//! checker explores all orders, and checks in each state that the guarantees on the guide's page "What Bartizan
//! guarantees" hold.
//!
//! The decisions of the layers are not modelled: the model calls the layers' own functions ([`rules`]). It models the
//! order of their steps, and the world around them.
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
