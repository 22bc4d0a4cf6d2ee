//! The layers, configured.

use std::{error::Error, sync::Arc};

use bartizan::{
    ReverseProxyStack,
    core::{ProxyName, store::NoStore},
    forwarded::{Chain, Field, Fields, SanitizeForwardedLayer, TrustedPeers},
    hops::{HopCount, LimitHopsLayer},
    pin::{
        Backends, OnLost, PinBackendLayer,
        balance::{LeastSessions, Random, RoundRobin},
        key::NoKey,
    },
    resume::ResumeSessionLayer,
    session::{MintIds, Sessionless, ValidateSessionLayer},
    streams::TrackStreamsLayer,
    upstream::{
        TrailerFilterBody, Upstream,
        transport::{ByProtocol, TransportBuilder},
    },
};
use bytes::Bytes;
use http_body::Body;
use tower_layer::{Identity, Layer};

use crate::{
    cli::{self, ForwardedField, Options, Policy},
    keys,
    server::ServerService,
    store::ServerStore,
};

/// A store with ids of this gateway's own, or of the backends.
type Store<T> = MintIds<T>;

/// The layers, but for what depends on what becomes of a session whose backend is lost.
type Stack<T> = ReverseProxyStack<T, NoKey, NoStore, Identity, TrackStreamsLayer>;

/// The layers in the order of [`ReverseProxyStack`], with what `options` say of each.
pub(crate) fn build<T: ServerStore>(
    options: &Options,
    store: T,
    streams: TrackStreamsLayer,
) -> Result<impl ServerService + use<T>, Box<dyn Error + Send + Sync>> {
    let (stack, name) = stack(options, MintIds::new(store).only_if(options.mint_ids), streams)?;
    Ok(stack.layer(upstream(options, name)))
}

/// The same, with sessions that are resumed when their backend is lost.
pub(crate) fn build_resuming<T: ServerStore>(
    options: &Options,
    store: T,
    streams: TrackStreamsLayer,
) -> Result<impl ServerService + use<T>, Box<dyn Error + Send + Sync>> {
    if options.session_header.is_some() {
        return Err(
            "--on-lost resume knows how MCP sessions are opened, and no --session-header".into()
        );
    }
    let store = MintIds::new(store).only_if(options.mint_ids);
    let resume = ResumeSessionLayer::new(store.clone())
        .timeout(options.resume_timeout)
        .store_timeout(options.store_timeout.saturating_mul(2));
    let resume = match &options.record_keys {
        Some(file) => resume.seal(keys::read(file)?),
        None => resume,
    };
    let (stack, name) = stack(options, store, streams)?;
    Ok(stack.resume(resume).layer(upstream(options, name)))
}

fn stack<T: ServerStore>(
    options: &Options,
    store: Store<T>,
    streams: TrackStreamsLayer,
) -> Result<(Stack<Store<T>>, ProxyName), Box<dyn Error + Send + Sync>> {
    let open = streams.streams();
    let backends = Backends::new(options.backends.iter().cloned())
        .counted_by(Arc::new(store.clone()))
        .on_removed(move |id| {
            open.end_all_on(id);
        });
    let name = options.via.clone().unwrap_or_else(ProxyName::random);
    let stack = ReverseProxyStack::new(session(options, store), pin(options, backends))
        .forwarded(forwarded(options))
        .hops(hops(options, name.clone()))
        .within_session(streams);
    Ok((stack, name))
}

fn forwarded(options: &Options) -> SanitizeForwardedLayer {
    let layer = SanitizeForwardedLayer::new();
    let layer = match options.trust_count {
        Some(count) => layer.trust_count(count),
        None => layer.trust(TrustedPeers::networks(options.trust.iter().copied())),
    };
    match options.forwarded {
        cli::Forwarded::Append => layer.chain(Chain::Append).write(fields(options)),
        cli::Forwarded::Replace => layer.chain(Chain::Replace).write(fields(options)),
        cli::Forwarded::Off => layer.write(Fields::NONE),
    }
}

fn fields(options: &Options) -> Fields {
    let named = options.forwarded_fields.iter().map(|field| match field {
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

fn hops(options: &Options, name: ProxyName) -> LimitHopsLayer {
    let count = HopCount::new().limit(options.max_hops).header(options.hop_header.clone());
    LimitHopsLayer::new().name(name).count(count)
}

fn session<T: ServerStore>(options: &Options, store: T) -> ValidateSessionLayer<T> {
    let layer = match &options.session_header {
        None => ValidateSessionLayer::mcp(store),
        Some(name) => ValidateSessionLayer::header(name.clone(), store),
    };
    let layer = match options.sessionless {
        None => layer,
        Some(cli::Sessionless::Refuse) => layer.sessionless(Sessionless::Refuse),
        Some(cli::Sessionless::Forward) => layer.sessionless(Sessionless::Forward),
    };
    layer
        .route(options.route.clone())
        .idle(options.idle)
        .lifetime(options.lifetime)
        // The store keeps its own deadline; this one is for a store that does not.
        .store_timeout(options.store_timeout.saturating_mul(2))
}

/// Keeps account of event streams, for the stack and for whoever ends them.
pub(crate) fn streams(options: &Options) -> TrackStreamsLayer {
    let layer = TrackStreamsLayer::new().max(options.max_streams);
    match options.stream_keepalive.get() {
        Some(interval) => layer.keep_alive(interval),
        None => layer,
    }
}

fn pin(options: &Options, backends: Backends) -> PinBackendLayer {
    // Time for a second backend only if the first refused at once, not if it was silent.
    let failover_within = options.connect_timeout.mul_f64(0.8);
    let layer = PinBackendLayer::new(backends).failover_within(failover_within);
    let layer = match options.on_lost {
        cli::OnLost::Repin => layer.on_lost(OnLost::Repin),
        // Where it is resumed, the layer above does it.
        cli::OnLost::Fail | cli::OnLost::Resume => layer,
    };
    match options.policy {
        Policy::LeastSessions => layer.balance(LeastSessions::new()),
        Policy::RoundRobin => layer.balance(RoundRobin::new()),
        Policy::Random => layer.balance(Random::new()),
    }
}

fn upstream<B>(options: &Options, name: ProxyName) -> Upstream<ByProtocol<TrailerFilterBody<B>>>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let connections = TransportBuilder::new().connect_timeout(options.connect_timeout);
    Upstream::builder()
        .connections(connections)
        .proxy_name(name)
        .response_timeout(options.response_timeout.get())
        .build()
}
