//! The synchronisation primitives, under all interleavings of their threads.
//!
//! [loom](https://docs.rs/loom) runs a test once for each order in which its threads can take their steps, and for
//! each value that the memory model lets a read return. Each test compiles the very file that a layer uses, by its
//! path, with a `sync` module that offers loom's atomics and locks in place of the standard ones. So neither the layers
//! nor their users need a `cfg` for it, and nothing is built twice.
//!
//! | test | file | promise |
//! |---|---|---|
//! | `draining` | `layers/pin/src/backends/occupancy.rs` | a backend that has drained and left gets no new work |
//! | `holds` | `layers/core/src/session/{usage,lot}.rs` | a session in use does not idle out; waiters for its end are woken |
//! | `single_flight` | `layers/resume/src/replay/single_flight.rs` | one request leads, all others get its outcome, and no request follows a dead attempt |
//!
//! loom treats a sequentially consistent load or store as an acquire or release. The files must not, and do not, rely
//! on more.
