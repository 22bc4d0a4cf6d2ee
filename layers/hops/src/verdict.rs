//! The verdict on a request, and the signal that decided it.

use bartizan_core::Reason;
use bytes::Bytes;
use http::Response;

/// How a request passes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pass {
    /// With the fields of this guard.
    Marked,
    /// Unchanged: another guard with the same name in this process has just handled it.
    Unchanged,
}

/// The response to a request that is not forwarded.
#[derive(Debug)]
pub(crate) enum Verdict {
    Refused(Refused),
    /// The request was meant for this proxy.
    Answered(Box<Response<Bytes>>),
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Refused {
    pub(crate) reason: Reason,
    pub(crate) signal: Signal,
}

/// The signal that led to the refusal.
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
    /// This gateway's name is in `Via`, this many times.
    OwnName {
        count: usize,
    },
    /// `Via` has more members than allowed.
    ViaMembers {
        count: usize,
        limit: usize,
    },
    /// This gateway's id is in `CDN-Loop`, as often as a request may pass.
    OwnId {
        count: usize,
        limit: usize,
    },
    MaxForwards,
    Trace,
}

impl Signal {
    /// The name of the signal in events.
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
