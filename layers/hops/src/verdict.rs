//! What becomes of a request, and the signal that decided it.

use bartizan_core::Reason;
use bytes::Bytes;
use http::Response;

/// How a request passes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pass {
    /// With the marks of this guard.
    Marked,
    /// As it came: another guard of the same name, in this process, has just marked it.
    Unchanged,
}

/// What becomes of a request that is not forwarded.
#[derive(Debug)]
pub(crate) enum Verdict {
    Refused(Refused),
    /// It was meant for this proxy.
    Answered(Box<Response<Bytes>>),
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Refused {
    pub(crate) reason: Reason,
    pub(crate) signal: Signal,
}

/// Where the reason was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Signal {
    /// `Connection` names a field that the guard relies on.
    Connection,
    /// The hop count, or its signature, cannot be read or made.
    UnreadableCount,
    /// The hop count is at the limit.
    HopCount {
        count: u32,
        limit: u32,
    },
    /// The own name is in `Via`, so often.
    OwnName {
        count: usize,
    },
    /// `Via` has more members than any chain.
    ViaMembers {
        count: usize,
        limit: usize,
    },
    /// The own id is in `CDN-Loop`, as often as it may pass.
    OwnId {
        count: usize,
        limit: usize,
    },
    MaxForwards,
    Trace,
}

impl Signal {
    /// The name that events have for it.
    #[cfg(feature = "tracing")]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connection => "Connection",
            Self::UnreadableCount | Self::HopCount { .. } => "hop count",
            Self::OwnName { .. } | Self::ViaMembers { .. } => "Via",
            Self::OwnId { .. } => "CDN-Loop",
            Self::MaxForwards => "Max-Forwards",
            Self::Trace => "TRACE",
        }
    }

    /// The number that was seen.
    #[cfg(feature = "tracing")]
    pub(crate) fn count(self) -> Option<u64> {
        match self {
            Self::HopCount { count, .. } => Some(count.into()),
            Self::OwnName { count }
            | Self::ViaMembers { count, .. }
            | Self::OwnId { count, .. } => u64::try_from(count).ok(),
            Self::Connection | Self::UnreadableCount | Self::MaxForwards | Self::Trace => None,
        }
    }

    /// The number at which a request is refused.
    #[cfg(feature = "tracing")]
    pub(crate) fn limit(self) -> Option<u64> {
        match self {
            Self::HopCount { limit, .. } => Some(limit.into()),
            Self::ViaMembers { limit, .. } | Self::OwnId { limit, .. } => u64::try_from(limit).ok(),
            Self::Connection
            | Self::UnreadableCount
            | Self::OwnName { .. }
            | Self::MaxForwards
            | Self::Trace => None,
        }
    }
}

impl Refused {
    pub(crate) const fn new(reason: Reason, signal: Signal) -> Self {
        Self { reason, signal }
    }

    pub(crate) const fn as_loop(signal: Signal) -> Self {
        Self::new(Reason::LoopDetected, signal)
    }
}

impl From<Refused> for Verdict {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}
