//! How long things may be, and which names are this crate's own.

/// The longest payload of a JWT that is decoded, in characters of base64url.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 8 * 1024;

/// The longest name: issuer and subject together. A store keeps it with each session, and any client can
/// write it, so that a longer one is kept as a digest.
pub(crate) const MAX_NAME_BYTES: usize = 512;

/// What the issuers that this crate makes up begin with.
pub(crate) const RESERVED: &str = "bartizan:";
