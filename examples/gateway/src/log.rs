//! The log on standard error: what is logged, and in which form.
//!
//! The filter comes from `--log` or its variable, otherwise from `RUST_LOG`; the default is `info`.

use std::{
    env,
    io::{self, IsTerminal},
};

use tracing_subscriber::{EnvFilter, fmt};

use crate::cli::{LogFilter, LogFormat};

/// The variable that holds the filter if the option is not set.
const RUST_LOG: &str = "RUST_LOG";

/// Starts logging. `filter` is the value of `--log`; `is_chosen` says whether it was set.
pub(crate) fn init(filter: &LogFilter, is_chosen: bool, format: LogFormat) {
    let fallback = env::var(RUST_LOG).ok().filter(|_| !is_chosen);
    let (filter, warning) = choose(filter, fallback.as_deref());
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(format == LogFormat::Text && io::stderr().is_terminal())
        // If standard error is closed, reporting the error there would panic in the task that logs.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => {
            builder.json().flatten_event(true).with_current_span(false).with_span_list(false).init()
        }
    }
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
}

/// The filter in `fallback` if it can be parsed, otherwise that of `option`.
fn choose(option: &LogFilter, fallback: Option<&str>) -> (EnvFilter, Option<String>) {
    let Some(text) = fallback.filter(|text| !text.is_empty()) else {
        return (option.to_filter(), None);
    };
    match LogFilter::of_environment(text) {
        Some(filter) => (filter.to_filter(), None),
        None => {
            (option.to_filter(), Some(format!("{RUST_LOG} is not a filter, and has no effect")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_asked_where_no_option_is_given() {
        let option = LogFilter::of_environment("info").unwrap();
        for (fallback, expected) in [
            (None, "bartizan=info"),
            (Some(""), "bartizan=info"),
            (Some("debug"), "bartizan=debug"),
            (Some("bartizan_hops=trace"), "bartizan_hops=trace"),
        ] {
            let (filter, warning) = choose(&option, fallback);
            assert!(filter.to_string().contains(expected) && warning.is_none(), "{filter}");
        }
        let (filter, warning) = choose(&option, Some("a=b=c"));
        assert!(filter.to_string().contains("bartizan=info"));
        assert!(warning.unwrap().contains("RUST_LOG"));
    }
}
