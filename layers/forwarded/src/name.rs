//! Which fields describe where a request comes from. Pure.
//!
//! | field | from an untrusted peer | from a trusted peer |
//! |---|---|---|
//! | `Forwarded`, `X-Forwarded-For/-Host/-Port/-Prefix/-Proto`, `X-Real-IP` | dropped | read, then rewritten |
//! | every other `X-Forwarded-*`, `X-Original-*`, `Client-Cert*`, the client addresses of vendors | dropped | passed on |
//! | fields that rewrite the target (`X-Rewrite-URL`, `X-Host`), `Front-End-Https` | dropped | passed on |
//! | any of them with `_` for `-` | dropped | dropped |
//! | internal prefixes | dropped | passed on |
//!
//! Backends behind CGI ([RFC 3875 §4.1.18](https://www.rfc-editor.org/rfc/rfc3875#section-4.1.18)) or WSGI
//! see `X_Forwarded_For` and `X-Forwarded-For` as one field.

/// How this layer treats a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Read and written by this layer; never passed on unchanged.
    Managed,
    /// Passed on if the peer is trusted.
    Told,
}

const MANAGED: [&str; 7] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-real-ip",
];

const TOLD: [&str; 17] = [
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "client-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "front-end-https",
    "true-client-ip",
    "x-azure-clientip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-forwarded",
    "x-host",
    "x-proxyuser-ip",
    "x-remote-addr",
    "x-rewrite-url",
];

const TOLD_PREFIXES: [&str; 3] = ["client-cert", "x-forwarded-", "x-original-"];

/// The prefixes of the names that [`kind`] knows. `_` may stand for `-`.
pub(crate) fn beginnings() -> impl Iterator<Item = &'static str> {
    MANAGED.into_iter().chain(TOLD).chain(TOLD_PREFIXES)
}

/// How this layer treats the field `name`, which is in lower case.
pub(crate) fn kind(name: &str) -> Option<Kind> {
    if !name.contains('_') {
        return kind_of_plain(name);
    }
    // Proxies never write an alias.
    kind_of_plain(Canonical::of(name).as_str()).map(|_| Kind::Managed)
}

/// Whether `Connection` option `option`, in any case, names a forwarding field.
pub(crate) fn is_provenance(option: &str) -> bool {
    kind_of_plain(Canonical::of(option).as_str()).is_some()
}

/// Whether only this layer reads and writes the field `name`, which is in lower case. Does not include its aliases.
pub(crate) fn is_managed(name: &str) -> bool {
    MANAGED.contains(&name)
}

fn kind_of_plain(name: &str) -> Option<Kind> {
    if is_managed(name) {
        return Some(Kind::Managed);
    }
    let is_told =
        TOLD.contains(&name) || TOLD_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    is_told.then_some(Kind::Told)
}

/// A name in lower case with `-` for `_`, cut to the length that distinguishes the names in this
/// module.
struct Canonical {
    bytes: [u8; Self::MAX_BYTES],
    len: usize,
}

impl Canonical {
    // Longer than any of the names above.
    const MAX_BYTES: usize = 32;

    fn of(name: &str) -> Self {
        let mut canonical = Self { bytes: [0; Self::MAX_BYTES], len: 0 };
        for (place, byte) in canonical.bytes.iter_mut().zip(name.bytes()) {
            *place = if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
            canonical.len += 1;
        }
        canonical
    }

    fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W-23.
    #[test]
    fn every_field_that_tells_of_provenance_is_known() {
        for name in MANAGED {
            assert_eq!(kind(name), Some(Kind::Managed), "{name}");
        }
        for name in TOLD.iter().chain(&[
            "client-cert",
            "client-cert-chain",
            "x-forwarded-server",
            "x-forwarded-client-cert",
            "x-forwarded-ssl",
            "x-original-url",
            "x-original-forwarded-for",
        ]) {
            assert_eq!(kind(name), Some(Kind::Told), "{name}");
        }
        for name in [
            "accept",
            "content-type",
            "connection",
            "cookie",
            "x-request-id",
            "x",
            "x-",
            "from",
            "traceparent",
            "true",
            "x-forwarde",
            "x-real-ip-not",
            "x-hostname",
            "front-end",
            "client-id",
            "client",
            "mcp-session-id",
        ] {
            assert_eq!(kind(name), None, "{name}");
        }
    }

    /// W-26.
    #[test]
    fn an_underscore_stands_for_a_dash() {
        for name in
            ["x_forwarded_for", "x-forwarded_for", "x_real_ip", "client_cert", "x_original_url"]
        {
            assert_eq!(kind(name), Some(Kind::Managed), "{name}: no proxy writes that");
        }
        assert_eq!(kind("x_request_id"), None);
    }

    #[test]
    fn an_option_of_connection_is_compared_in_any_case() {
        for option in
            ["X-Forwarded-For", "x_forwarded_FOR", "Forwarded", "X-REAL-IP", "Client-Cert"]
        {
            assert!(is_provenance(option), "{option}");
        }
        for option in ["close", "keep-alive", "Upgrade", "x-foo", ""] {
            assert!(!is_provenance(option), "{option}");
        }
        let long = format!("x-forwarded-{}", "a".repeat(100));
        assert!(is_provenance(&long) && kind(&long) == Some(Kind::Told));
        assert!(!is_provenance(&"é".repeat(40)));
    }

    /// A longer name, cut to this length, could otherwise equal one of these.
    #[test]
    fn no_name_is_as_long_as_what_is_compared() {
        for name in MANAGED.iter().chain(&TOLD).chain(&TOLD_PREFIXES) {
            assert!(name.len() < Canonical::MAX_BYTES, "{name}");
        }
    }
}
