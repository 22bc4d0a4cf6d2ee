//! The primitives that threads meet in, under all orders of their steps.
//!
//! [loom](https://docs.rs/loom) runs a test once for each order in which its threads can take their steps, and for
//! each value that the memory model lets a read return. Each test compiles the very file that a layer uses, by its
//! path, with a `sync` module that offers loom's atomics and locks in place of the standard ones. So neither the layers
//! nor their users need a `cfg` for it, and nothing is built a second time.
//!
//! | test | file | promise |
//! |---|---|---|
//! | `draining` | `layers/pin/src/backends/occupancy.rs` | no work is let in at a backend that has drained and left |
//! | `holds` | `layers/core/src/session/{usage,lot}.rs` | a session in use does not idle out; whoever waits for its end is woken |
//! | `single_flight` | `layers/resume/src/replay/single_flight.rs` | one request leads, all others get its outcome, a dead attempt is not followed |
//!
//! loom takes a sequentially consistent load or store for one that acquires or releases. The files must not rely on
//! more, and do not.
