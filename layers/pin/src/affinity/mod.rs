//! Pins a client by a cookie that this layer writes, without a store, so that pins survive
//! restarts.
//!
//! | file | what it holds |
//! |---|---|
//! | `cookie` | [`AffinityCookie`]: the settings |
//! | `field` | the reader of `Cookie`: finds the cookie, and takes it out. Pure |
//! | `names` | the name of each backend under each key, made once per change of the set |
//! | `shown` | the cookie of a request, and when a response sets it |

mod cookie;
mod field;
mod names;
mod shown;

pub use cookie::AffinityCookie;
pub(crate) use shown::{Affinity, SetCookie, Shown};
