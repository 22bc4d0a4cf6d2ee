//! What the layers know of the Model Context Protocol: header names, versions and eras, and the bounded
//! look into a body.

#[cfg(feature = "peek")]
#[cfg_attr(docsrs, doc(cfg(feature = "peek")))]
mod message;
#[cfg(feature = "peek")]
#[cfg_attr(docsrs, doc(cfg(feature = "peek")))]
mod peek;
mod version;

use http::HeaderName;

#[cfg(feature = "peek")]
pub use message::{Content, Message, NotJsonRpc};
#[cfg(feature = "peek")]
pub use peek::{Peek, PeekError};
pub use version::{Claim, Era, ProtocolVersion};

/// `Mcp-Session-Id`: the id of a legacy session.
pub static SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// `MCP-Protocol-Version`: the version a request claims.
pub static PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// `Mcp-Method`: the JSON-RPC method, mirrored (modern era).
pub static METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// `Mcp-Name`: the tool, prompt, resource or task, mirrored (modern era).
pub static NAME: HeaderName = HeaderName::from_static("mcp-name");
