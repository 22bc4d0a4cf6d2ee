//! Finds combinations of options that do not work, although each option is valid by itself. Pure.
//!
//! | options | outcome |
//! |---|---|
//! | `--record-keys` without `--on-lost resume` | refused: nothing would be sealed |
//! | two `--backend` options with the same host and port | refused |
//! | a `--backend` that is this gateway's `--listen` or `--admin` | refused |
//! | a `--drain-delay` that is not shorter than `--shutdown-timeout` | refused |
//! | `--client-ip-header` without a trusted proxy | refused |
//! | an option of the gateway with `demo` or `counter` | refused; in the environment, warned of |
//! | `--near-cache`, `--store-grace`, `--store-timeout` or a password with `--store memory` | warned of |
//! | `--probe-interval` or `--probe-timeout` without `--probe`; `--resume-timeout` without `--on-lost resume` | warned of |
//! | `--trace-ratio` or `--max-traces-per-second` without `--otlp` | warned of |
//! | a variable `BARTIZAN_*` that does not match an option | warned of |

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use bartizan::core::Backend;
use http::uri::Scheme;

use super::{Limit, OnLost, Options, Store};

/// The variable that holds the password of the store. It is not an option, because other users can read a command line.
pub(crate) const STORE_PASSWORD: &str = "BARTIZAN_STORE_PASSWORD";

/// Which settings differ from their defaults, and where they were set.
#[derive(Clone, Debug, Default)]
pub(super) struct Chosen {
    /// Options on the command line, with their dashes.
    pub(super) options: BTreeSet<String>,
    /// Variables of options whose value came from the environment.
    pub(super) variables: BTreeSet<String>,
    /// All variables of the environment that begin with `BARTIZAN_`.
    pub(super) environment: BTreeSet<String>,
}

impl Chosen {
    /// The option `--name` or its variable, whichever was given; `None` if neither was.
    fn given(&self, name: &str) -> Option<String> {
        let option = format!("--{name}");
        if self.options.contains(&option) {
            return Some(option);
        }
        let variable = variable(name);
        self.variables.contains(&variable).then_some(variable)
    }
}

/// The environment variable of the option `--name`.
pub(super) fn variable(name: &str) -> String {
    format!("BARTIZAN_{}", name.to_uppercase().replace('-', "_"))
}

/// Checks the settings of a gateway. Returns warnings.
///
/// # Errors
///
/// If the settings cannot be combined; the message names the options.
pub(super) fn gateway(options: &Options, chosen: &Chosen) -> Result<Vec<String>, String> {
    let resumes = options.recovery.on_lost == OnLost::Resume;
    if options.recovery.record_keys.is_some() && !resumes {
        return Err(
            "--record-keys seals what --on-lost resume records: without it, nothing is recorded"
                .to_owned(),
        );
    }
    if options.listener.drain_delay >= options.listener.shutdown_timeout {
        return Err(
            "--drain-delay is a part of --shutdown-timeout, and has to be shorter".to_owned()
        );
    }
    let is_trusting = !options.proxies.trust.is_empty() || options.proxies.trust_count.is_some();
    if options.proxies.client_ip_header.is_some() && !is_trusting {
        let message = "--client-ip-header is read from trusted proxies only: name them with --trust or --trust-count";
        return Err(message.to_owned());
    }
    doubled(&options.upstream.backends)?;
    itself(options)?;
    let is_in_memory = matches!(options.store.kind, Store::Memory);
    let traces = options.traces.otlp.is_some();
    let probes = options.upstream.probe != Limit::None;
    let mut warnings = Vec::new();
    for (name, has_effect, why) in [
        ("near-cache", !is_in_memory, "with --store memory"),
        ("store-grace", !is_in_memory, "with --store memory"),
        ("store-timeout", !is_in_memory, "with --store memory"),
        ("probe-interval", probes, "without --probe"),
        ("probe-timeout", probes, "without --probe"),
        ("resume-timeout", resumes, "without --on-lost resume"),
        ("trace-ratio", traces, "without --otlp"),
        ("max-traces-per-second", traces, "without --otlp"),
    ] {
        if let Some(given) = chosen.given(name).filter(|_| !has_effect) {
            warnings.push(format!("{given} has no effect {why}"));
        }
    }
    if is_in_memory && chosen.environment.contains(STORE_PASSWORD) {
        warnings.push(format!("{STORE_PASSWORD} has no effect with --store memory"));
    }
    Ok(warnings)
}

/// Checks the settings of a demonstration, which sets all options of the gateway itself.
///
/// # Errors
///
/// If an option of the gateway is on the command line.
pub(super) fn without_gateway(chosen: &Chosen, command: &str) -> Result<Vec<String>, String> {
    if let Some(option) = chosen.options.first() {
        return Err(format!(
            "{option} cannot be used with {command}, which does not take the options of a gateway"
        ));
    }
    let ignored = chosen.variables.iter();
    Ok(ignored.map(|variable| format!("{variable} has no effect on {command}")).collect())
}

/// The warnings about variables that are not in `known`, the variables of all options.
pub(super) fn environment(chosen: &Chosen, known: &BTreeSet<String>) -> Vec<String> {
    let unknown = chosen.environment.iter().filter(|name| {
        !known.contains(*name) && *name != STORE_PASSWORD && !is_of_kubernetes(name)
    });
    unknown
        .map(|name| {
            format!("{name} in the environment does not match an option, and has no effect")
        })
        .collect()
}

/// Whether Kubernetes sets the variable `name` for a service, which may be called `bartizan`
/// ([Environment variables](https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables)).
fn is_of_kubernetes(name: &str) -> bool {
    let is_of_port = name
        .split_once("_PORT_")
        .is_some_and(|(_, rest)| rest.bytes().next().is_some_and(|byte| byte.is_ascii_digit()));
    is_of_port
        || name.ends_with("_PORT")
        || name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
}

fn doubled(backends: &[Backend]) -> Result<(), String> {
    let mut seen = BTreeMap::new();
    for backend in backends {
        let id = backend.id().as_str();
        if let Some(other) = seen.insert(host_and_port(backend), id) {
            return Err(format!(
                "--backend {other} and --backend {id} are the same server: list it once"
            ));
        }
    }
    Ok(())
}

fn itself(options: &Options) -> Result<(), String> {
    let admin = options.listener.admin.map(|address| ("--admin", address));
    for (option, address) in [("--listen", options.listener.listen)].into_iter().chain(admin) {
        if let Some(backend) =
            options.upstream.backends.iter().find(|backend| is_at(backend, address))
        {
            let id = backend.id().as_str();
            return Err(format!("--backend {id} is this gateway itself: {option} {address}"));
        }
    }
    Ok(())
}

/// Whether `backend` is the listener on `address` of this host, judging by its name.
fn is_at(backend: &Backend, address: SocketAddr) -> bool {
    let (host, port) = host_and_port(backend);
    // Port 0: the system picks the port later.
    if address.port() == 0 || port != address.port() {
        return false;
    }
    let own = address.ip().to_canonical();
    match host.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        // The listener takes every address of this host. Only loopback and unspecified addresses are certain to be this
        // host's.
        Ok(ip) if own.is_unspecified() => ip.is_loopback() || ip.is_unspecified(),
        Ok(ip) => ip == own || (ip.is_unspecified() && own.is_loopback()),
        Err(_) => host == "localhost" && (own.is_loopback() || own.is_unspecified()),
    }
}

/// Host and port, normalised for comparison: in lower case, without brackets and a final dot.
fn host_and_port(backend: &Backend) -> (String, u16) {
    let authority = backend.authority();
    let default = if *backend.scheme() == Scheme::HTTPS { 443 } else { 80 };
    let host = authority.host().to_ascii_lowercase();
    let host = host.trim_start_matches('[').trim_end_matches([']', '.']);
    // An IPv6 address has many spellings.
    let host = host.parse::<IpAddr>().map_or_else(|_| host.to_owned(), |ip| ip.to_string());
    (host, authority.port_u16().unwrap_or(default))
}
