//! What is traced, and where traces go.

use std::str::FromStr;

use bartizan::trace::Ratio;
use clap::Args;
use http::{Uri, uri::Scheme};

/// What is traced, and where traces go.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Traces")]
pub(crate) struct TraceOptions {
    /// Send traces to the OpenTelemetry collector at this address, by OTLP over HTTP, such as
    /// http://127.0.0.1:4318. Spans are dropped when it is away or too slow. Off by default
    #[arg(long, env = "BARTIZAN_OTLP", value_name = "URL")]
    pub(crate) otlp: Option<Collector>,

    /// Share of requests to trace, from 0 to 1. A trusted proxy decides for its requests, by the sampled flag
    /// in traceparent
    #[arg(long, env = "BARTIZAN_TRACE_RATIO", value_name = "RATIO", default_value = "1")]
    pub(crate) trace_ratio: Ratio,

    /// Number of requests to trace per second at most
    #[arg(
        long,
        env = "BARTIZAN_MAX_TRACES_PER_SECOND",
        value_name = "NUMBER",
        default_value = "100"
    )]
    pub(crate) max_traces_per_second: u32,
}

/// Where spans are sent: the whole URL.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Collector(Uri);

impl Collector {
    pub(crate) fn url(&self) -> String {
        self.0.to_string()
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == Some(&Scheme::HTTPS)
    }

    /// How a log names it: without what may be a secret.
    pub(crate) fn origin(&self) -> String {
        let authority = self.0.authority().map(|all| all.as_str()).unwrap_or_default();
        format!("{}://{authority}", self.0.scheme_str().unwrap_or_default())
    }
}

impl FromStr for Collector {
    type Err = &'static str;

    /// Adds the path that the
    /// [specification](https://opentelemetry.io/docs/specs/otlp/#otlphttp-request) gives to an address without one.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected a URL such as http://127.0.0.1:4318";
        let text = text.trim();
        let uri: Uri = text.parse().map_err(|_| EXPECTED)?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority().filter(|_| is_http).ok_or(EXPECTED)?;
        if authority.as_str().contains('@') {
            return Err(
                "a password in the URL is not sent: set OTEL_EXPORTER_OTLP_HEADERS instead",
            );
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Ok(Self(uri));
        }
        let whole = format!("{}/v1/traces", text.trim_end_matches('/'));
        Ok(Self(whole.parse().map_err(|_| EXPECTED)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_without_a_path_gets_the_path_of_the_specification() {
        for (text, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector/", "http://collector/v1/traces"),
            ("https://c.example/otlp/traces", "https://c.example/otlp/traces"),
            (" http://[::1]:4318 ", "http://[::1]:4318/v1/traces"),
        ] {
            assert_eq!(text.parse::<Collector>().unwrap().url(), url);
        }
        for text in ["", "127.0.0.1:4318", "grpc://a:4317", "http://", "/v1", "http://me:secret@a"]
        {
            assert!(text.parse::<Collector>().is_err(), "{text}");
        }
        let with_key: Collector = "https://c.example/v1?key=secret".parse().unwrap();
        assert_eq!(with_key.origin(), "https://c.example");
    }
}
