//! The layers, configured.

use std::{error::Error, time::Duration};

use bartizan::{
    ReverseProxyStack,
    core::{ProxyName, store::NoStore},
    forwarded::{Chain, Field, Fields, SanitizeForwardedLayer, TrustedPeers},
    hops::{HopCount, LimitHopsLayer},
    origin::GuardOriginLayer,
    pin::{
        Backends, OnLost, PinBackendLayer, Probe,
        balance::{LeastSessions, Random, RoundRobin},
        key::NoKey,
    },
    principal::NamePrincipalLayer,
    resume::{KeyRing, ResumeSessionLayer},
    session::{Sessionless, ValidateSessionLayer},
    streams::TrackStreamsLayer,
    upstream::{Upstream, transport::TransportBuilder},
};

use crate::{
    cli::{self, ForwardedField, Options, Policy},
    keys, principal,
    server::Proxies,
    store::SessionTable,
};

/// The layers, configured from the options.
pub(crate) type Stack = ReverseProxyStack<SessionTable, NoKey, NoStore, NamePrincipalLayer>;

/// The name of this gateway in `Via` and `Proxy-Status`.
pub(crate) fn name(options: &Options) -> ProxyName {
    options.proxies.via.clone().unwrap_or_else(ProxyName::random)
}

/// The servers to forward to.
pub(crate) fn backends(options: &Options, upstream: &Upstream) -> Backends {
    let backends =
        Backends::new(options.upstream.backends.iter().cloned()).settle(options.recovery.settle);
    let dialled = upstream.clone();
    backends.connect_by(move |backend| dialled.connect(backend))
}

/// How to probe the backends, if at all.
pub(crate) fn probe(options: &Options) -> Option<Probe> {
    let probe = options.upstream.probe.clone().get()?;
    Some(probe.interval(options.upstream.probe_interval).timeout(options.upstream.probe_timeout))
}

/// Configures the layers of the gateway named `name`.
///
/// # Errors
///
/// If two options exclude each other.
pub(crate) fn stack(
    options: &Options,
    name: ProxyName,
    store: SessionTable,
    backends: Backends,
) -> Result<Stack, Box<dyn Error + Send + Sync>> {
    let stack = match &options.sessions.session_header {
        None => ReverseProxyStack::mcp(store, backends),
        Some(name) => ReverseProxyStack::header(name.clone(), store, backends),
    };
    let stack = stack
        .forwarded(|layer| forwarded(layer, options))
        .origin(|layer| origin(layer, options))
        .hops(|layer| hops(layer, options, name))
        .auth(principal::layer(options)?)
        .session(|layer| session(layer, options))
        .streams(|layer| streams(layer, options))
        .pin(|layer| pin(layer, options));
    if options.recovery.on_lost != cli::OnLost::Resume {
        return Ok(stack);
    }
    if options.sessions.session_header.is_some() {
        return Err(
            "--on-lost resume works with MCP sessions only, not with --session-header".into()
        );
    }
    let keys = options.recovery.record_keys.as_deref().map(keys::read).transpose()?;
    Ok(stack.resume(|layer| resume(layer, options, keys)))
}

/// The service that forwards.
pub(crate) fn upstream(options: &Options, name: ProxyName) -> Upstream {
    let connections = TransportBuilder::new()
        .connect_timeout(options.upstream.connect_timeout)
        .write_timeout(Some(options.listener.stall_timeout));
    let connections = match options.upstream.max_connections_per_backend.get() {
        Some(max) => connections.max_connections_per_backend(max.get()),
        None => connections,
    };
    let upstream = Upstream::builder()
        .connections(connections)
        .proxy_name(name)
        .response_timeout(options.upstream.response_timeout.get());
    let upstream = if options.web.preserve_host { upstream.preserve_host() } else { upstream };
    upstream.build()
}

/// The guard against requests of foreign pages, for the gateway and its admin port.
pub(crate) fn origin(layer: GuardOriginLayer, options: &Options) -> GuardOriginLayer {
    let web = &options.web;
    let layer = web.allow_hosts.iter().cloned().fold(layer, GuardOriginLayer::allow_host);
    web.allow_origins.iter().cloned().fold(layer, GuardOriginLayer::allow_origin)
}

/// The proxies in front of the gateway.
pub(crate) fn proxies(options: &Options) -> Proxies {
    match options.proxies.trust_count {
        Some(_) => Proxies::All,
        None => Proxies::Trusted(trusted_peers(options)),
    }
}

fn trusted_peers(options: &Options) -> TrustedPeers {
    TrustedPeers::networks(options.proxies.trust.iter().copied())
}

fn forwarded(layer: SanitizeForwardedLayer, options: &Options) -> SanitizeForwardedLayer {
    let layer = match options.proxies.trust_count {
        Some(count) => layer.trust_count(count),
        None => layer.trust(trusted_peers(options)),
    };
    let layer = layer.keep(options.proxies.kept_fields.iter().cloned());
    let layer = match &options.proxies.client_ip_header {
        Some(field) => layer.client_ip_header(field.clone()),
        None => layer,
    };
    match options.proxies.forwarded {
        cli::Forwarded::Append => layer.chain(Chain::Append).write(fields(options)),
        cli::Forwarded::Replace => layer.chain(Chain::Replace).write(fields(options)),
        cli::Forwarded::Off => layer.write(Fields::NONE),
    }
}

fn fields(options: &Options) -> Fields {
    let named = options.proxies.forwarded_fields.iter().map(|field| match field {
        ForwardedField::XForwardedFor => Field::XForwardedFor,
        ForwardedField::XForwardedProto => Field::XForwardedProto,
        ForwardedField::XForwardedHost => Field::XForwardedHost,
        ForwardedField::XForwardedPort => Field::XForwardedPort,
        ForwardedField::XRealIp => Field::XRealIp,
        ForwardedField::Forwarded => Field::Forwarded,
    });
    // A trusted proxy may have stripped a prefix; this gateway strips none.
    named.fold(Fields::NONE.with(Field::XForwardedPrefix), Fields::with)
}

fn hops(layer: LimitHopsLayer, options: &Options, name: ProxyName) -> LimitHopsLayer {
    let count =
        HopCount::new().limit(options.proxies.max_hops).header(options.proxies.hop_header.clone());
    layer.name(name).count(count)
}

fn session(
    layer: ValidateSessionLayer<SessionTable>,
    options: &Options,
) -> ValidateSessionLayer<SessionTable> {
    let layer = match options.sessions.sessionless {
        None => layer,
        Some(cli::Sessionless::Refuse) => layer.sessionless(Sessionless::Refuse),
        Some(cli::Sessionless::Forward) => layer.sessionless(Sessionless::Forward),
    };
    let layer = options.sessions.endpoints.iter().fold(layer, |layer, path| layer.endpoint(path));
    layer
        .route(options.store.route.clone())
        .idle(options.sessions.idle)
        .lifetime(options.sessions.lifetime)
        .store_timeout(store_timeout(options))
}

fn resume(
    layer: ResumeSessionLayer<SessionTable>,
    options: &Options,
    keys: Option<KeyRing>,
) -> ResumeSessionLayer<SessionTable> {
    let layer =
        layer.timeout(options.recovery.resume_timeout).store_timeout(store_timeout(options));
    match keys {
        Some(keys) => layer.seal(keys),
        None => layer,
    }
}

/// The store has its own timeout; this one is a safeguard.
fn store_timeout(options: &Options) -> Duration {
    options.store.timeout.saturating_mul(2)
}

fn streams(layer: TrackStreamsLayer, options: &Options) -> TrackStreamsLayer {
    let layer = layer.max(options.sessions.max_streams);
    match options.sessions.stream_keepalive.get() {
        Some(interval) => layer.keep_alive(interval),
        None => layer,
    }
}

fn pin(layer: PinBackendLayer, options: &Options) -> PinBackendLayer {
    // Long enough for a second backend only if the first one refused at once, not if it was silent.
    let failover_within = options.upstream.connect_timeout.mul_f64(0.8);
    let layer = layer.failover_within(failover_within).lost_after(options.recovery.lost_after);
    let layer = match options.recovery.on_lost {
        cli::OnLost::Repin => layer.on_lost(OnLost::Repin),
        // With `resume`, the layer above resumes the session.
        cli::OnLost::Fail | cli::OnLost::Resume => layer,
    };
    match options.upstream.policy {
        Policy::LeastSessions => layer.balance(LeastSessions::new()),
        Policy::RoundRobin => layer.balance(RoundRobin::new()),
        Policy::Random => layer.balance(Random::new()),
    }
}
