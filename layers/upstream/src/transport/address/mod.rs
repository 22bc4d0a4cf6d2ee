//! Which address of a name is dialled.
//!
//! A backend that is named is one server: its sessions are at one address, and another address may be another
//! server. So one address is dialled, and kept for as long as the name has it.
//!
//! | the name | what is dialled |
//! |---|---|
//! | has not been connected to yet | each address, until one connects: that one is kept |
//! | still has the kept address, and one address of each family at most (dual stack, `localhost`) | the kept one, then the other; the one that connects is kept |
//! | still has the kept address among several of a family (perhaps replicas) | the kept one alone |
//! | the same, and no connection to it was made for 5 s of refusals, or 30 s of other failures | the others, then the kept one; the one that connects is kept |
//! | does not have the kept address any more | each address; the one that connects is kept |
//! | is not answered, or not within 1 s | as with the last answer |
//!
//! Each address is tried 0.3 s after the one before it, or as soon as that has failed. Of addresses of the same
//! family the numerically lowest comes first, whatever the order of the answer: so replicas of a gateway agree on
//! one without a word between them.
//!
//! Why the kept address is given up at all: one server with several addresses of a family (a CDN) has to be reached
//! when one of them has died. Why not at once: if they are replicas, the one that refuses may be back in a second
//! with its sessions, and the others answer 404 to them, which ends them. After 5 s of refusals they count as lost
//! in any case.
//!
//! A connection has the *epoch* of its address, a number that grows each time that a name gets another address:
//! whatever keeps connections drops those of an earlier epoch.

mod known;
mod names;
mod race;
mod resolver;
#[cfg(test)]
mod tests;

pub(super) use names::{ByName, Names};
pub(super) use resolver::Resolver;
