//! The server's own layers. They do not depend on each other.
//!
//! | file | what it does |
//! |---|---|
//! | `track_in_flight` | tells the connection's socket what is in flight |
//! | `in_flight_body` | the two bodies that count as in flight |
//! | `require_host` | requires one valid `Host` |
//! | `limit_body` | bounds the size of request bodies |
//! | `limited_body` | a request body whose bytes are counted |
//! | `time_out_body` | bounds the pauses in request bodies |
//! | `timed_body` | a request body whose pauses are timed |
//! | `exchange` | whether a response has begun, for the request body of the same exchange |
//! | `body_fault` | the response when the request body caused the failure |

mod body_fault;
mod exchange;
pub(super) mod in_flight_body;
pub(super) mod limit_body;
pub(super) mod limited_body;
pub(super) mod require_host;
pub(super) mod time_out_body;
pub(super) mod timed_body;
pub(super) mod track_in_flight;
