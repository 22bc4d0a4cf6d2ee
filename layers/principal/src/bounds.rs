//! Length limits, and the issuers that are reserved for this crate.

/// The longest payload of a JWT that is decoded, in characters of base64url.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 8 * 1024;

/// The longest name: issuer and subject together. A store keeps it with each session, and any client can choose it, so
/// a longer one is replaced by a digest.
pub(crate) const MAX_NAME_BYTES: usize = 512;

/// The prefix of the issuers that this crate makes up.
pub(crate) const RESERVED: &str = "bartizan:";
