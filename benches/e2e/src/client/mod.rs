//! The clients' side: sessions that are opened through a proxy, and requests that belong to them.
//!
//! | file | what it holds |
//! |---|---|
//! | `connection` | one connection: opens a session, calls it, listens to it |
//! | `fault` | what an answer can be that it must not |
//! | `sessions` | the sessions of a proxy, and the ways that connections take through them |
//! | `load` | calls over many connections, as fast as answers come or at a rate |
//! | `pace` | when calls are due that come at a rate |
//! | `events` | event streams |

mod connection;
mod events;
mod fault;
mod load;
mod pace;
mod sessions;

pub(crate) use connection::{Connection, Naming, connect};
pub(crate) use events::Streams;
pub(crate) use fault::Fault;
pub(crate) use load::{Done, Pace, drive};
pub(crate) use sessions::{Session, Sessions};
