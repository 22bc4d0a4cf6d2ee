//! Parsers for the values of options; each error says what was expected.

use std::{
    fmt,
    net::SocketAddr,
    num::{NonZeroU8, NonZeroU32, NonZeroUsize},
    time::Duration,
};

use bartizan::{
    core::{Backend, ConfigError, ProxyName, Route, fields::hop_by_hop, mcp},
    forwarded::{ClientIpHeader, KeptField, Network},
    hops::HopHeader,
    origin::{AllowedHost, AllowedOrigin},
    pin::Probe,
    principal::NamePrincipalLayer,
};
use http::{HeaderName, header};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

use crate::access_log::Target;

/// A setting that can be switched off: a limit with `none`, probes with `off`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Limit<T> {
    None,
    At(T),
}

/// A log filter, as text that is known to parse.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct LogFilter(String);

/// Where session records live.
#[derive(Clone, Eq, PartialEq)]
pub(crate) enum Store {
    Memory,
    /// A URL, which may hold a password.
    Redis(String),
}

/// What identifies the client that a session belongs to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Principal {
    None,
    Jwt,
    Authorization,
    /// A field that trusted proxies set.
    Header(HeaderName),
}

impl<T> Limit<T> {
    /// The limit, if there is one.
    pub(crate) fn get(self) -> Option<T> {
        match self {
            Self::None => None,
            Self::At(bound) => Some(bound),
        }
    }
}

impl LogFilter {
    /// The filter in `RUST_LOG`, in any form that tracing understands; `None` if it does not parse.
    pub(crate) fn of_environment(text: &str) -> Option<Self> {
        EnvFilter::try_new(text).ok().map(|_| Self(text.to_owned()))
    }

    /// The filter itself. A bare level applies to the gateway; its dependencies log warnings only. (The counter servers
    /// of the demonstration would log session ids, too.)
    pub(crate) fn to_filter(&self) -> EnvFilter {
        match self.0.parse::<LevelFilter>() {
            Ok(level) => {
                EnvFilter::new(format!("{},bartizan={level}", level.min(LevelFilter::WARN)))
            }
            Err(_) => EnvFilter::new(&self.0),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "Memory",
            Self::Redis(_) => "Redis",
        })
    }
}

/// The longest time that a session record can state.
const MAX_SESSION_TIME: Duration = Duration::from_secs(49 * 24 * 60 * 60);

/// Sending comments more often than this only adds load.
const MIN_KEEPALIVE: Duration = Duration::from_millis(100);

pub(super) fn socket_addr(text: &str) -> Result<SocketAddr, String> {
    let expected = "expected an IP address and a port, such as 127.0.0.1:8080 or [::]:8080";
    text.parse().map_err(|_| expected.to_owned())
}

pub(super) fn backend(text: &str) -> Result<Backend, String> {
    text.trim()
        .parse()
        .map_err(|error| format!("{error}; expected an origin such as http://10.0.0.7:9001"))
}

pub(super) fn store(text: &str) -> Result<Store, String> {
    const SCHEMES: [&str; 6] =
        ["redis", "rediss", "redis-sentinel", "rediss-sentinel", "redis-cluster", "rediss-cluster"];
    if text == "memory" {
        return Ok(Store::Memory);
    }
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    if scheme.is_some_and(|scheme| SCHEMES.contains(&scheme)) {
        return Ok(Store::Redis(text.to_owned()));
    }
    Err("expected memory, or a URL such as redis://127.0.0.1:6379".to_owned())
}

pub(super) fn near_cache(text: &str) -> Result<usize, String> {
    if text == "off" {
        return Ok(0);
    }
    count(text).map(NonZeroUsize::get).map_err(|expected| format!("{expected}, or off"))
}

pub(super) fn route(text: &str) -> Result<Route, String> {
    if text.is_empty() {
        return Err("expected a name".to_owned());
    }
    Ok(Route::new(text))
}

pub(super) fn session_header(text: &str) -> Result<HeaderName, String> {
    let expected = "expected a header field name, such as x-session-id";
    let name: HeaderName = text.parse().map_err(|_| expected.to_owned())?;
    if hop_by_hop::is_hop_by_hop(&name) || name == header::HOST || name == header::CONTENT_LENGTH {
        return Err(format!("{name} is reserved by HTTP; {expected}"));
    }
    if name == mcp::SESSION_ID {
        return Err(format!("MCP sessions need no --session-header; {expected}"));
    }
    Ok(name)
}

pub(super) fn principal(text: &str) -> Result<Principal, String> {
    let expected =
        "expected none, jwt, authorization, or header: and a field name, such as header:x-user";
    match text {
        "none" => Ok(Principal::None),
        "jwt" => Ok(Principal::Jwt),
        "authorization" => Ok(Principal::Authorization),
        _ => {
            let name = text.strip_prefix("header:").and_then(|name| name.parse().ok());
            let name: HeaderName = name.ok_or(expected)?;
            match NamePrincipalLayer::header(name.clone()) {
                Ok(_) => Ok(Principal::Header(name)),
                Err(error) => Err(error.to_string()),
            }
        }
    }
}

pub(super) fn endpoint(text: &str) -> Result<String, String> {
    let is_path = text.starts_with('/') && !text.contains(['?', '#', ' ']);
    if is_path || text == "*" {
        return Ok(text.to_owned());
    }
    Err("expected a path such as /mcp, without a query, or *".to_owned())
}

pub(super) fn allowed_host(text: &str) -> Result<AllowedHost, String> {
    text.trim().parse().map_err(|error: ConfigError| error.to_string())
}

pub(super) fn allowed_origin(text: &str) -> Result<AllowedOrigin, String> {
    text.trim().parse().map_err(|error: ConfigError| error.to_string())
}

pub(super) fn header(text: &str) -> Result<HeaderName, String> {
    let expected = "expected a header field name, such as authorization";
    text.trim().parse().map_err(|_| expected.to_owned())
}

pub(super) fn request_id(text: &str) -> Result<HeaderName, String> {
    let expected = "expected a header field name, such as x-request-id";
    let name: HeaderName = text.parse().map_err(|_| expected.to_owned())?;
    let is_taken = [header::HOST, header::CONTENT_LENGTH].contains(&name);
    if is_taken || name == mcp::SESSION_ID || hop_by_hop::is_hop_by_hop(&name) {
        return Err(format!("{name} has another purpose; {expected}"));
    }
    Ok(name)
}

pub(super) fn network(text: &str) -> Result<Network, String> {
    text.trim().parse().map_err(|error: ConfigError| error.to_string())
}

pub(super) fn client_ip_header(text: &str) -> Result<ClientIpHeader, String> {
    text.parse().map_err(|error: ConfigError| error.to_string())
}

pub(super) fn kept_field(text: &str) -> Result<KeptField, String> {
    text.trim().parse().map_err(|error: ConfigError| error.to_string())
}

pub(super) fn proxies(text: &str) -> Result<NonZeroU8, String> {
    text.parse().map_err(|_| "expected a whole number from 1 to 255".to_owned())
}

pub(super) fn proxy_name(text: &str) -> Result<ProxyName, String> {
    ProxyName::new(text).map_err(|error| error.to_string())
}

pub(super) fn hops(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| "expected a whole number above zero".to_owned())
}

pub(super) fn hop_header(text: &str) -> Result<HopHeader, String> {
    HopHeader::try_from(text).map_err(|error| error.to_string())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => {
            Err("expected a duration above zero with its unit, such as 500ms, 30s or 2h".to_owned())
        }
    }
}

pub(super) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    let expected = "expected a duration with its unit, such as 30s, or 0s";
    humantime::parse_duration(text).map_err(|_| expected.to_owned())
}

pub(super) fn session_time(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time > MAX_SESSION_TIME {
        return Err("expected a duration of at most 49days".to_owned());
    }
    Ok(time)
}

pub(super) fn duration_or_none(text: &str) -> Result<Limit<Duration>, String> {
    if text == "none" {
        return Ok(Limit::None);
    }
    duration(text).map(Limit::At).map_err(|expected| format!("{expected}, or none"))
}

pub(super) fn keepalive(text: &str) -> Result<Limit<Duration>, String> {
    match duration_or_none(text)? {
        Limit::At(interval) if interval < MIN_KEEPALIVE => {
            Err("expected a duration of at least 100ms, or none".to_owned())
        }
        interval => Ok(interval),
    }
}

pub(super) fn probe(text: &str) -> Result<Limit<Probe>, String> {
    if text == "off" {
        return Ok(Limit::None);
    }
    Probe::get(text)
        .map(Limit::At)
        .map_err(|_| "expected a path such as /healthz, or off".to_owned())
}

pub(super) fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "expected a whole number above zero".to_owned())
}

pub(super) fn count_or_none(text: &str) -> Result<Limit<NonZeroUsize>, String> {
    if text == "none" {
        return Ok(Limit::None);
    }
    count(text).map(Limit::At).map_err(|expected| format!("{expected}, or none"))
}

pub(super) fn bytes_or_none(text: &str) -> Result<Limit<u64>, String> {
    if text == "none" {
        return Ok(Limit::None);
    }
    let expected = "expected a number of bytes, such as 65536, 10MiB or 1GB, or none";
    bytes(text).map(Limit::At).ok_or_else(|| expected.to_owned())
}

/// Digits and a unit, with or without a space between them; `MB` is 10⁶ and `MiB` is 2²⁰ bytes.
fn bytes(text: &str) -> Option<u64> {
    let unit_at = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

pub(super) fn access_log(text: &str) -> Result<Target, String> {
    match text {
        "" => Err("expected a file, or - for standard output".to_owned()),
        "-" => Ok(Target::StandardOutput),
        file => Ok(Target::File(file.into())),
    }
}

pub(super) fn log_filter(text: &str) -> Result<LogFilter, String> {
    let expected = "expected a level such as info or debug, or a filter such as info,hyper=warn";
    // A single unknown word would be read as the name of a module.
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    if text.is_empty() || !text.split(',').all(|part| part.contains('=') || is_level(part)) {
        return Err(expected.to_owned());
    }
    EnvFilter::try_new(text).map_err(|_| expected.to_owned())?;
    Ok(LogFilter(text.to_owned()))
}
