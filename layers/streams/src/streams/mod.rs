//! The open streams of this process: to list and to end them.

mod handle;
mod open;
mod place;
mod rules;
mod table;

pub use handle::Streams;
pub use open::{OpenStream, StreamId};
pub(crate) use place::Place;
pub(crate) use rules::Rules;
pub use rules::SecondStream;
