//! Options about browsers, and about every request and response.

use bartizan::origin::{AllowedHost, AllowedOrigin};
use clap::Args;
use http::HeaderName;

use super::values;

/// What browsers may do, and what applies to every request and response.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Browsers and headers")]
pub(crate) struct WebOptions {
    /// A host name or address that browsers may use for this gateway, such as mcp.example.com, with a port or for
    /// every port; repeat the option or separate with commas. Loopback names and the address of the connection are
    /// always allowed. Requests not sent by a browser may use any host
    #[arg(
        long = "allow-host",
        env = "BARTIZAN_ALLOW_HOST",
        value_name = "HOST",
        value_delimiter = ',',
        value_parser = values::allowed_host
    )]
    pub(crate) allow_hosts: Vec<AllowedHost>,

    /// An origin whose pages may call this gateway and read its responses (CORS), such as
    /// `https://app.example.com`; repeat the option or separate with commas. The gateway's own origin is always
    /// allowed, and so are loopback origins for clients on this machine, but without CORS fields
    #[arg(
        long = "allow-origin",
        env = "BARTIZAN_ALLOW_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ',',
        value_parser = values::allowed_origin
    )]
    pub(crate) allow_origins: Vec<AllowedOrigin>,

    /// Forward the client's Host header instead of the backend's own, for backends that build URLs from
    /// it. A backend that checks its Host must know the public one. Backends that speak HTTP/2 without TLS
    /// get their own name in any case
    #[arg(long, env = "BARTIZAN_PRESERVE_HOST")]
    pub(crate) preserve_host: bool,

    /// Give each request an id in this header, for the backend and in the response. The id that a client
    /// sends is kept only from trusted proxies
    #[arg(
        long,
        env = "BARTIZAN_REQUEST_ID",
        value_name = "HEADER",
        num_args = 0..=1,
        default_missing_value = "x-request-id",
        value_parser = values::request_id
    )]
    pub(crate) request_id: Option<HeaderName>,

    /// A header whose value is never printed in logs nor indexed by HTTP/2 header compression, in requests
    /// and responses; repeat the option or separate with commas
    #[arg(
        long = "sensitive-header",
        env = "BARTIZAN_SENSITIVE_HEADER",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = values::header
    )]
    pub(crate) sensitive_headers: Vec<HeaderName>,

    /// Respond with 500 when the handling of a request panics, instead of closing its connection. It costs
    /// an allocation for each response
    #[arg(long, env = "BARTIZAN_CATCH_PANICS")]
    pub(crate) catch_panics: bool,
}
