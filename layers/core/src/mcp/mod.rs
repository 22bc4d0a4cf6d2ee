//! What the layers know about the Model Context Protocol: header names, versions and eras, and the relevant parts of a
//! JSON-RPC message.

#[cfg(feature = "json")]
#[cfg_attr(docsrs, doc(cfg(feature = "json")))]
mod denial;
#[cfg(feature = "json")]
#[cfg_attr(docsrs, doc(cfg(feature = "json")))]
mod message;
mod version;

use http::HeaderName;

#[cfg(feature = "json")]
pub use denial::{denies_session, is_at_endpoint, is_same_endpoint, may_deny_session};
#[cfg(feature = "json")]
pub use message::{Content, Message, NotJsonRpc, request_id};
pub use version::{Claim, Era, ProtocolVersion};

/// `Mcp-Session-Id`: the id of a legacy session.
pub static SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// `MCP-Protocol-Version`: the version a request claims.
pub static PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// `Mcp-Method`: the JSON-RPC method, mirrored (modern era).
pub static METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// `Mcp-Name`: the tool, prompt, resource or task, mirrored (modern era).
pub static NAME: HeaderName = HeaderName::from_static("mcp-name");
