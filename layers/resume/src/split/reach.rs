//! A digest of a gateway's address and credentials, which does not reveal the credentials. Pure.

use bartizan_core::{SessionId, backend::Protocol};
use sha2::{Digest, Sha256};

use super::gateway::Gateway;

/// Differs where the origin, the protocol or the credentials differ. The id of the session, a secret, is part of it, so
/// that readers of a store cannot guess credentials.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Reach(pub(super) [u8; Self::BYTES]);

impl Reach {
    pub(super) const BYTES: usize = 16;

    /// The digest for `gateway` and its session `id`.
    pub(super) fn of(gateway: &Gateway, id: &SessionId) -> Self {
        let backend = gateway.backend();
        let protocol: &[u8] = match backend.protocol() {
            Protocol::Http1 => b"http/1.1",
            Protocol::Http2 => b"h2c",
            Protocol::Tls => b"tls",
            _ => b"",
        };
        let credentials = gateway.authorization().map_or(&b""[..], |value| value.as_bytes());
        let parts = [
            id.as_bytes(),
            backend.id().as_str().as_bytes(),
            backend.scheme().as_str().as_bytes(),
            backend.authority().as_str().as_bytes(),
            protocol,
            credentials,
        ];
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(part);
            // No part contains a zero byte.
            digest.update([0]);
        }
        let digest: [u8; 32] = digest.finalize().into();
        let mut reach = [0; Self::BYTES];
        reach.iter_mut().zip(digest).for_each(|(byte, digest)| *byte = digest);
        Self(reach)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_what_changes_how_a_gateway_is_reached_changes_it() {
        let gateway = |origin: &str| Gateway::new(origin.parse().unwrap());
        let id: SessionId = "id".parse().unwrap();
        let plain = Reach::of(&gateway("http://a:1"), &id);
        assert_eq!(plain, Reach::of(&gateway("http://a:1").label("A"), &id));
        let secret = |text| HeaderValue::from_static(text);
        for other in [
            gateway("http://a:2"),
            gateway("https://a:1"),
            gateway("h2c://a:1"),
            gateway("http://a:1").credentials(secret("Bearer x")),
            gateway("http://a:1").credentials(secret("Bearer y")),
        ] {
            assert_ne!(plain, Reach::of(&other, &id), "{other:?}");
        }
        assert_ne!(plain, Reach::of(&gateway("http://a:1"), &"other".parse().unwrap()));
    }
}
