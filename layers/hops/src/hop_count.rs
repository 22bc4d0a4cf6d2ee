//! How hops are counted: the field, the limit, and which counts are accepted.

use std::num::NonZeroU32;

use http::HeaderName;

use crate::hop_header::HopHeader;
#[cfg(feature = "sign")]
use crate::signature::SigningKeys;

/// Counts the gateways that a request crosses in a header field, and refuses the request at a
/// limit.
///
/// ```
/// use bartizan_hops::{HopCount, Inbound, LimitHopsLayer};
///
/// let count = HopCount::new()
///     .limit(4.try_into()?)
///     .header("x-depth".parse()?)
///     .inbound(Inbound::CountedIfTrusted);
/// let layer = LimitHopsLayer::new().count(count);
/// # let _ = layer;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
#[derive(Clone, Debug)]
pub struct HopCount {
    pub(crate) limit: NonZeroU32,
    pub(crate) header: HopHeader,
    pub(crate) inbound: Inbound,
    #[cfg(feature = "sign")]
    pub(crate) keys: Option<SigningKeys>,
}

/// Whether an incoming count is accepted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Inbound {
    /// Always.
    #[default]
    Counted,
    /// Unless a layer above (`SanitizeForwarded`) does not trust the peer. The request then starts at zero,
    /// and a client cannot have it refused by sending a high number. `Via` finds a loop that comes back
    /// through an untrusted peer.
    CountedIfTrusted,
    /// Never: every request starts at zero here. For the edge of a federation.
    Ignored,
}

const LIMIT: NonZeroU32 = NonZeroU32::new(10).unwrap();

impl HopCount {
    /// Counts up to 10 hops in `X-Hop-Count`.
    pub fn new() -> Self {
        Self {
            limit: LIMIT,
            header: HopHeader::default(),
            inbound: Inbound::default(),
            #[cfg(feature = "sign")]
            keys: None,
        }
    }

    /// How many gateways a request may cross, this one and the last one included. Default: 10.
    ///
    /// | limit 4, on arrival | outcome |
    /// |---|---|
    /// | absent, or 0 | forwarded with 1 |
    /// | 3 | forwarded with 4 |
    /// | 4 or more | refused |
    pub fn limit(self, limit: NonZeroU32) -> Self {
        Self { limit, ..self }
    }

    /// The field to count in, which must be the same in the whole federation. Default: `X-Hop-Count`.
    pub fn header(self, header: HopHeader) -> Self {
        Self { header, ..self }
    }

    /// Whether an incoming count is accepted. Default: always.
    pub fn inbound(self, inbound: Inbound) -> Self {
        Self { inbound, ..self }
    }

    /// Signs the count with the first of `keys`, in a separate field (`X-Hop-Count-Signature`), and refuses a count
    /// without a valid signature with 400. Default: the count is not signed.
    #[cfg(feature = "sign")]
    #[cfg_attr(docsrs, doc(cfg(feature = "sign")))]
    pub fn sign(self, keys: SigningKeys) -> Self {
        Self { keys: Some(keys), ..self }
    }

    /// Whether `name`, in any case, is the name of a field that is written.
    pub(crate) fn writes(&self, name: &str) -> bool {
        #[cfg(feature = "sign")]
        if self.keys.is_some() && name.eq_ignore_ascii_case(self.header.signature().as_str()) {
            return true;
        }
        name.eq_ignore_ascii_case(self.header.name().as_str())
    }

    /// Whether `name` is the name of a field that is written.
    pub(crate) fn is_written_in(&self, name: &HeaderName) -> bool {
        #[cfg(feature = "sign")]
        if self.keys.is_some() && name == self.header.signature() {
            return true;
        }
        name == self.header.name()
    }
}

impl Default for HopCount {
    fn default() -> Self {
        Self::new()
    }
}
