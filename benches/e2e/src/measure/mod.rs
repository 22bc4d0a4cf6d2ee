//! What is measured, and how.
//!
//! | file | what it holds |
//! |---|---|
//! | `load` | one run: what the proxy does, and the CPU time that it takes for it |
//! | `sandwich` | runs in turns: the base, a contender, the base, the next contender |
//! | `stickiness` | whether each session stays on its backend, and whether a failure would be detected |
//! | `memory` | what is resident, per connection, stream and session |

mod load;
mod memory;
mod sandwich;
mod stickiness;

pub(crate) use load::{Load, Sample};
pub(crate) use memory::Figure;
pub(crate) use sandwich::{Lane, Sandwich};
pub(crate) use stickiness::{Strays, check};
