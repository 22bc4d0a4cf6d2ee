//! Which address of a name is dialled.
//!
//! A backend with a host name is one server: its sessions are at one address, and another address may be another
//! server. So one address is dialled, and kept while lookups return it.
//!
//! | the name | what is dialled |
//! |---|---|
//! | has not been connected to yet | each address, until one connects: that one is kept |
//! | still has the kept address, and at most one address of each family (dual stack, `localhost`) | the kept one, then the other; the one that connects is kept |
//! | still has the kept address, among several of a family (perhaps replicas) | only the kept one |
//! | the same, and no connection to it was made for 5 s of refusals, or 30 s of other failures | the others, then the kept one; the one that connects is kept |
//! | does not have the kept address any more | each address; the one that connects is kept |
//! | the lookup fails, or takes longer than 1 s | as with the last answer |
//!
//! Each address is tried 0.3 s after the one before it, or as soon as that has failed. Of addresses of the same
//! family the numerically lowest comes first, whatever the order of the answer: so replicas of a gateway agree on one
//! without communicating.
//!
//! The kept address is given up because a server with several addresses of a family (a CDN) must be reachable when one
//! of them fails. It is not given up at once because, if they are replicas, the one that refuses may be back in a
//! second with its sessions, and the others would answer 404 to them, which ends them. After 5 s of refusals they count
//! as lost in any case.
//!
//! A connection has the *epoch* of its address, a number that grows each time a name gets another address. Pools drop
//! connections of an earlier epoch.

mod epoch;
mod known;
mod names;
mod race;
mod resolver;
#[cfg(test)]
mod tests;

pub(super) use epoch::PoolEpoch;
pub(super) use names::{ByName, Names};
pub(super) use resolver::Resolver;
