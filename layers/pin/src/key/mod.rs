//! Keys by which work without a session is pinned.
//!
//! | extractor | reads | learns |
//! |---|---|---|
//! | [`HeaderKey`] | a field of the request, one line | the same field of the response |
//! | [`CookieKey`] | a cookie that backends set | the same cookie in `Set-Cookie` |
//! | [`PathSegmentKey`] | the segment after a prefix, or the one at an index | the request's own, at its first success |
//! | [`QueryKey`] | a query parameter, not decoded | the request's own, at its first success |
//! | [`TaskKey`] | `Mcp-Name` of `tasks/…` (MCP 2026-07-28, [SEP-2663](https://github.com/modelcontextprotocol/modelcontextprotocol/tree/main/seps)) | nothing: a task is named in a body |
//! | a closure ([`from_fn`]) | anything | the request's own, at its first success |
//! | [`ExtractKey::or`] | the first that finds a key | as the one that finds it |
//!
//! For clients that have no such key, an [`AffinityCookie`](crate::AffinityCookie) is written by the proxy, and needs no
//! store.

mod cookie;
mod extract;
mod header;
mod path;
mod query;
mod task;

pub use cookie::CookieKey;
pub(crate) use extract::is_usable;
pub use extract::{ExtractKey, FirstOf, MAX_KEY_BYTES, NoKey, PinKey, from_fn};
pub use header::HeaderKey;
pub use path::PathSegmentKey;
pub use query::QueryKey;
pub use task::TaskKey;
