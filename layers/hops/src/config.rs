//! What a guard is configured to do, ready to be applied to requests.

use bartizan_core::{Dialect, ProxyName};
use http::{StatusCode, header};

use crate::{
    cdn_loop::CdnLoop,
    hop_count::HopCount,
    max_forwards::MaxForwards,
    via::{Via, ViaLines},
};

/// The status of the response to a loop. The typed reason and `Proxy-Status` are the same for each.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum LoopStatus {
    /// 508, which is defined for loops ([RFC 5842
    /// §7.2](https://www.rfc-editor.org/rfc/rfc5842#section-7.2)).
    #[default]
    LoopDetected,
    /// 502, the usual status for `proxy_loop_detected` ([RFC 9209
    /// §2.3](https://www.rfc-editor.org/rfc/rfc9209#section-2.3)).
    BadGateway,
    /// 404, which reveals nothing about what is there.
    NotFound,
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) name: ProxyName,
    pub(crate) count: Option<HopCount>,
    pub(crate) via: Option<Via>,
    pub(crate) via_lines: ViaLines,
    pub(crate) cdn_loop: Option<CdnLoop>,
    pub(crate) max_forwards: Option<MaxForwards>,
    pub(crate) status: LoopStatus,
    pub(crate) dialect: Option<Dialect>,
}

impl LoopStatus {
    pub(crate) const fn code(self) -> StatusCode {
        match self {
            Self::LoopDetected => StatusCode::LOOP_DETECTED,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::NotFound => StatusCode::NOT_FOUND,
        }
    }
}

impl Config {
    /// Whether the `Connection` option `option` names a field that this layer relies on.
    pub(crate) fn relies_on(&self, option: &str) -> bool {
        let own = [header::VIA.as_str(), "cdn-loop", header::MAX_FORWARDS.as_str()];
        self.count.as_ref().is_some_and(|count| count.writes(option))
            || own.iter().any(|name| option.eq_ignore_ascii_case(name))
    }
}
