//! The settings of the cookie.

use std::{fmt, time::Duration};

use bartizan_core::{BackendId, ConfigError, fields::list::is_tchar};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A cookie that keeps a client on its backend. The proxy writes it and needs no store: the cookie names the
/// backend, and every replica with the same secret can read it, also after a restart.
///
/// The name of a backend is an HMAC-SHA-256 of its id, cut to 128 bits: it reveals neither the address nor how many
/// backends there are, and only a holder of the secret can make it. All clients of a backend get the same value, so
/// it identifies no client. A client can pass its cookie on to another, which then reaches the same backend.
///
/// ```
/// use std::time::Duration;
///
/// use bartizan_pin::{AffinityCookie, Backends, PinBackendLayer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let secret = [7; 32];
/// let backends = Backends::new(["http://10.0.0.7:9001".parse()?, "http://10.0.0.8:9001".parse()?]);
/// let cookie = AffinityCookie::new(&secret)?.name("route")?.max_age(Duration::from_secs(3600))?;
/// let layer = PinBackendLayer::new(backends).affinity(cookie);
/// # let _ = layer;
/// # Ok(()) }
/// ```
#[must_use]
#[derive(Clone)]
pub struct AffinityCookie {
    // The first secret signs.
    keys: Vec<Hmac<Sha256>>,
    name: Box<str>,
    max_age: Option<Duration>,
    domain: Option<Box<str>>,
    is_always_secure: bool,
}

/// Prefixes that browsers accept only over TLS; with the first, only for the host itself.
const HOST_PREFIX: &str = "__host-";
const SECURE_PREFIX: &str = "__secure-";

impl AffinityCookie {
    /// The shortest secret, in bytes.
    pub const MIN_SECRET_BYTES: usize = 16;

    /// A cookie `bartizan-backend` that is signed with `secret`, which must be random and the same in every replica.
    ///
    /// # Errors
    ///
    /// If `secret` is shorter than [`Self::MIN_SECRET_BYTES`].
    pub fn new(secret: &[u8]) -> Result<Self, ConfigError> {
        Ok(Self {
            keys: vec![key(secret)?],
            name: "bartizan-backend".into(),
            max_age: None,
            domain: None,
            is_always_secure: false,
        })
    }

    /// Also reads cookies that were signed with `secret`, and replaces them. To rotate secrets, let every replica
    /// accept the new one, then sign with it and accept the old one, then drop the old one.
    ///
    /// # Errors
    ///
    /// If `secret` is shorter than [`Self::MIN_SECRET_BYTES`].
    pub fn accept(mut self, secret: &[u8]) -> Result<Self, ConfigError> {
        self.keys.push(key(secret)?);
        Ok(self)
    }

    /// The name of the cookie. Backends must not use it. With the prefix `__Host-` or `__Secure-`, the cookie always
    /// has the attribute `Secure`. Default: `bartizan-backend`.
    ///
    /// # Errors
    ///
    /// If `name` is not a token ([RFC 6265 §4.1.1](https://www.rfc-editor.org/rfc/rfc6265#section-4.1.1)), or has the
    /// prefix `__Host-` and there is a [domain](Self::domain).
    pub fn name(mut self, name: &str) -> Result<Self, ConfigError> {
        if name.is_empty() || !name.bytes().all(is_tchar) {
            return Err(ConfigError::new(format!("{name:?} is not a valid cookie name")));
        }
        self.is_always_secure |= has_prefix(name, HOST_PREFIX) || has_prefix(name, SECURE_PREFIX);
        self.name = name.into();
        self.check_domain()
    }

    /// How long a browser keeps the cookie. Later requests do not extend the time; when it is over, the client is
    /// balanced again. Default: until the browser is closed.
    ///
    /// # Errors
    ///
    /// If `time` is shorter than a second.
    pub fn max_age(mut self, time: Duration) -> Result<Self, ConfigError> {
        if time.as_secs() == 0 {
            return Err(ConfigError::new("a cookie's maximum age is at least one second"));
        }
        self.max_age = Some(time);
        Ok(self)
    }

    /// Sends the cookie to all hosts of this domain. Default: only to the host that the client addressed.
    ///
    /// # Errors
    ///
    /// If `domain` is not the name of a host, or the [name](Self::name) has the prefix `__Host-`.
    pub fn domain(mut self, domain: &str) -> Result<Self, ConfigError> {
        let is_label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if !domain.split('.').all(is_label) {
            return Err(ConfigError::new(format!("{domain:?} is not a valid cookie domain")));
        }
        self.domain = Some(domain.into());
        self.check_domain()
    }

    /// Adds the attribute `Secure` to every cookie. Default: only if the client used `https`, according to
    /// [`PublicOrigin`](bartizan_core::PublicOrigin) or else to the request URI.
    pub fn always_secure(self) -> Self {
        Self { is_always_secure: true, ..self }
    }

    fn check_domain(self) -> Result<Self, ConfigError> {
        if self.domain.is_some() && has_prefix(&self.name, HOST_PREFIX) {
            return Err(ConfigError::new(format!(
                "a cookie named {:?} cannot have a domain: browsers reject it",
                self.name
            )));
        }
        Ok(self)
    }

    pub(super) fn cookie_name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_always_secure(&self) -> bool {
        self.is_always_secure
    }

    /// The name of `backend` under each key, with the signing key first.
    pub(super) fn names_of(&self, backend: &BackendId) -> impl Iterator<Item = String> {
        self.keys.iter().map(move |key| {
            let mut hash = key.clone();
            // Only the last part may contain a zero byte.
            for part in ["bartizan affinity cookie", &*self.name] {
                hash.update(part.as_bytes());
                hash.update(&[0]);
            }
            hash.update(backend.as_str().as_bytes());
            let hash = hash.finalize().into_bytes();
            let (half, _) = hash.split_at(16);
            base16ct::lower::encode_string(half)
        })
    }

    /// The field value that sets the cookie to `value`.
    pub(super) fn line(&self, value: &str, is_secure: bool) -> String {
        let mut line = format!("{}={value}; Path=/; HttpOnly; SameSite=Lax", self.name);
        if let Some(time) = self.max_age {
            line += &format!("; Max-Age={}", time.as_secs());
        }
        if let Some(domain) = &self.domain {
            line += &format!("; Domain={domain}");
        }
        if is_secure || self.is_always_secure {
            line += "; Secure";
        }
        line
    }
}

fn key(secret: &[u8]) -> Result<Hmac<Sha256>, ConfigError> {
    let (got, min) = (secret.len(), AffinityCookie::MIN_SECRET_BYTES);
    if got < min {
        return Err(ConfigError::new(format!(
            "the secret of the affinity cookie has {got} bytes: expected {min} or more"
        )));
    }
    Hmac::new_from_slice(secret)
        .map_err(|_| ConfigError::new("the secret of the affinity cookie cannot be used"))
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

// Written by hand, so that secrets are not shown.
impl fmt::Debug for AffinityCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AffinityCookie")
            .field("name", &self.name)
            .field("max_age", &self.max_age)
            .field("domain", &self.domain)
            .field("is_always_secure", &self.is_always_secure)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef";

    fn cookie() -> AffinityCookie {
        AffinityCookie::new(SECRET).unwrap()
    }

    fn name_of(cookie: &AffinityCookie, backend: &str) -> String {
        cookie.names_of(&backend.parse().unwrap()).next().unwrap()
    }

    #[test]
    fn the_attributes_are_those_that_were_asked_for() {
        let day = Duration::from_secs(86_400);
        for (cookie, is_secure, line) in [
            (cookie(), false, "bartizan-backend=v; Path=/; HttpOnly; SameSite=Lax"),
            (cookie(), true, "bartizan-backend=v; Path=/; HttpOnly; SameSite=Lax; Secure"),
            (
                cookie().name("r").unwrap().max_age(day).unwrap().domain("a.example").unwrap(),
                false,
                "r=v; Path=/; HttpOnly; SameSite=Lax; Max-Age=86400; Domain=a.example",
            ),
            (
                cookie().name("__Host-r").unwrap(),
                false,
                "__Host-r=v; Path=/; HttpOnly; SameSite=Lax; Secure",
            ),
            (
                cookie().name("__secure-r").unwrap(),
                false,
                "__secure-r=v; Path=/; HttpOnly; SameSite=Lax; Secure",
            ),
            (
                cookie().name("r").unwrap().always_secure(),
                false,
                "r=v; Path=/; HttpOnly; SameSite=Lax; Secure",
            ),
        ] {
            assert_eq!(cookie.line("v", is_secure), line);
        }
    }

    #[test]
    fn a_backends_name_depends_on_secret_cookie_and_backend_and_does_not_show_it() {
        let name = name_of(&cookie(), "http://10.0.0.7:9001");
        assert_eq!(name, name_of(&cookie(), "http://10.0.0.7:9001"), "after a restart");
        assert_eq!(name.len(), 32);
        assert!(!name.contains("10.0.0.7"));
        let others = [
            name_of(&cookie(), "http://10.0.0.7:9002"),
            name_of(&cookie().name("other").unwrap(), "http://10.0.0.7:9001"),
            name_of(&AffinityCookie::new(b"fedcba9876543210").unwrap(), "http://10.0.0.7:9001"),
        ];
        assert!(others.iter().all(|other| *other != name), "{others:?}");
    }

    #[test]
    fn settings_that_no_browser_takes_are_errors_and_secrets_are_not_printed() {
        assert!(AffinityCookie::new(b"short").is_err());
        assert!(cookie().accept(b"short").is_err());
        for name in ["", "a b", "a=b", "a;b", "a,b", "\u{e4}"] {
            assert!(cookie().name(name).is_err(), "{name}");
        }
        for domain in ["", ".", "a..b", ".a", "a;b", "a b"] {
            assert!(cookie().domain(domain).is_err(), "{domain}");
        }
        assert!(cookie().max_age(Duration::from_millis(999)).is_err());
        assert!(cookie().name("__Host-a").unwrap().domain("a.example").is_err());
        assert!(cookie().domain("a.example").unwrap().name("__host-a").is_err());
        let printed = format!("{:?}", cookie());
        assert!(!printed.contains("0123") && !printed.contains("48, 49"), "{printed}");
    }
}
