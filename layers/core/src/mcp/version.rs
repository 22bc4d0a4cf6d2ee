//! Protocol versions, enumerated, and the two eras.

use http::HeaderMap;

use super::PROTOCOL_VERSION;
use crate::fields::{list::trim, only_line};

/// A published revision of the protocol.
///
/// Versions are looked up in this list and never ordered as text: a version that is not on the list
/// is unknown.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum ProtocolVersion {
    /// 2024-11-05: HTTP with server-sent events, two endpoints.
    V2024_11_05,
    /// 2025-03-26: Streamable HTTP, with batches.
    V2025_03_26,
    /// 2025-06-18: Streamable HTTP, without batches.
    V2025_06_18,
    /// 2025-11-25: the last revision with sessions.
    V2025_11_25,
    /// 2026-07-28: stateless.
    V2026_07_28,
}

/// Whether the version is negotiated by `initialize` and has sessions, or is stated in every
/// request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Era {
    /// 2024-11-05 to 2025-11-25.
    Legacy,
    /// 2026-07-28.
    Modern,
}

/// What a request states in `MCP-Protocol-Version`. For a request with a session id it decides
/// nothing: the id does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Claim<'a> {
    /// No field.
    Absent,
    /// A published version.
    Known(ProtocolVersion),
    /// Something else.
    Unknown(&'a [u8]),
    /// More than one field line.
    Repeated,
}

impl ProtocolVersion {
    const ALL: [Self; 5] = [
        Self::V2024_11_05,
        Self::V2025_03_26,
        Self::V2025_06_18,
        Self::V2025_11_25,
        Self::V2026_07_28,
    ];

    /// The version that `text` names, if it is a published one.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str().as_bytes() == text)
    }

    /// The version as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// Its era.
    #[must_use]
    pub const fn era(self) -> Era {
        match self {
            Self::V2026_07_28 => Era::Modern,
            _ => Era::Legacy,
        }
    }

    /// Whether a body may be a batch: in MCP 2025-03-26 only.
    #[must_use]
    pub const fn has_batches(self) -> bool {
        matches!(self, Self::V2025_03_26)
    }
}

impl<'a> Claim<'a> {
    /// Reads the version that a request states.
    #[must_use]
    pub fn of(headers: &'a HeaderMap) -> Self {
        match only_line(headers, &PROTOCOL_VERSION) {
            Err(_) => Self::Repeated,
            Ok(None) => Self::Absent,
            Ok(Some(line)) => {
                let text = trim(line.as_bytes());
                ProtocolVersion::parse(text).map_or(Self::Unknown(text), Self::Known)
            }
        }
    }

    /// Whether it states a version of the modern era.
    #[must_use]
    pub fn is_modern(self) -> bool {
        matches!(self, Self::Known(version) if version.era() == Era::Modern)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_published_versions_are_known_and_their_order_is_not_the_text_order() {
        let claim = |lines: &[&'static str]| {
            let pair =
                |line: &&'static str| (PROTOCOL_VERSION.clone(), HeaderValue::from_static(line));
            let headers: HeaderMap = lines.iter().map(pair).collect();
            match Claim::of(&headers) {
                Claim::Absent => "absent",
                Claim::Known(version) => version.as_str(),
                Claim::Unknown(_) => "unknown",
                Claim::Repeated => "repeated",
            }
        };
        assert_eq!(claim(&[]), "absent");
        for version in ProtocolVersion::ALL {
            assert_eq!(claim(&[version.as_str()]), version.as_str());
        }
        assert_eq!(claim(&[" 2026-07-28 "]), "2026-07-28"); // ED-31
        assert_eq!(claim(&["2026-07-28,2026-07-28"]), "unknown"); // ED-32
        assert_eq!(claim(&["2099-01-01"]), "unknown"); // ED-25
        assert_eq!(claim(&["zzz"]), "unknown"); // ED-26
        assert_eq!(claim(&["2026-07-28", "2026-07-28"]), "repeated"); // ED-28
    }
}
