//! The fields that are written for the backend, and which of them are.

use http::{HeaderName, header};

pub(crate) const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const FORWARDED: HeaderName = header::FORWARDED;
pub(crate) const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(crate) const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
pub(crate) const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// A field that is written for the backend.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Field {
    /// `X-Forwarded-For`: the client's address and those of the proxies.
    XForwardedFor,
    /// `X-Forwarded-Proto`: `http` or `https`, as the client's URI has it.
    XForwardedProto,
    /// `X-Forwarded-Host`: the host that the client addressed.
    XForwardedHost,
    /// `X-Forwarded-Port`: the port that the client addressed.
    XForwardedPort,
    /// `X-Forwarded-Prefix`: the path prefix that was stripped, if any.
    XForwardedPrefix,
    /// `X-Real-IP`: the client's address.
    XRealIp,
    /// `Forwarded` ([RFC 7239](https://www.rfc-editor.org/rfc/rfc7239)): all of it, in one field.
    Forwarded,
}

/// A set of fields. Default: `X-Forwarded-For`, `-Proto`, `-Host` and, if a prefix was stripped,
/// `-Prefix`, because backends commonly read these. Each further field costs some hundred
/// instructions per request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fields(u8);

impl Fields {
    /// Every field.
    pub const ALL: Self = Self(0b111_1111);
    /// No field.
    pub const NONE: Self = Self(0);

    /// These and `field`.
    #[must_use]
    pub const fn with(self, field: Field) -> Self {
        Self(self.0 | bit(field))
    }

    /// These without `field`.
    #[must_use]
    pub const fn without(self, field: Field) -> Self {
        Self(self.0 & !bit(field))
    }

    /// Whether `field` is one of them.
    #[must_use]
    pub const fn has(self, field: Field) -> bool {
        self.0 & bit(field) != 0
    }
}

impl Default for Fields {
    fn default() -> Self {
        Self::NONE
            .with(Field::XForwardedFor)
            .with(Field::XForwardedProto)
            .with(Field::XForwardedHost)
            .with(Field::XForwardedPrefix)
    }
}

const fn bit(field: Field) -> u8 {
    1 << field as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_can_be_switched() {
        for field in [
            Field::XForwardedFor,
            Field::XForwardedProto,
            Field::XForwardedHost,
            Field::XForwardedPort,
            Field::XForwardedPrefix,
            Field::XRealIp,
            Field::Forwarded,
        ] {
            assert!(Fields::ALL.has(field) && !Fields::NONE.has(field), "{field:?}");
            assert!(!Fields::ALL.without(field).has(field), "{field:?}");
            assert_eq!(Fields::NONE.with(field).without(field), Fields::NONE, "{field:?}");
        }
        assert!(!Fields::default().has(Field::Forwarded));
    }
}
