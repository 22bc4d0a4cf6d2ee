//! Guarantees for every public type: it can be shared, sent and cloned.

use bartizan::{
    BoxedProxy, ReverseProxy, ReverseProxyStack, SessionProxy, Shutdown, StackGauges,
    connection::ConnectionService,
    core::{
        Backend, BackendId, ClientAddr, ConfigError, Dialect, GuardBody, Passage, PeerAddr,
        Principal, ProxyName, PublicOrigin, Reason, Record, Refusal, Route, Session, SessionId,
        StoreError, TraceContext, UpstreamFailure,
        backend::Tried,
        fields::hop_by_hop::{Stripped, TrailerRule},
        passage::Lease,
        refusal::{RequestId, ReturnedBody},
        seal::KeyRing,
        session::{Additions, ClientNetwork, Ended, Fingerprint, Hold, InvalidRecord},
        store::{Applicant, Evicted, LiveSessions, NoStore, OwnedKey, Place, StoredRecord},
    },
    forwarded::{
        Chain, Field, Fields, ForwardedBy, InternalPrefix, Naming, Network, PathPrefix,
        SanitizeForwarded, SanitizeForwardedLayer, Source, StripHopByHop, StripHopByHopLayer,
        TrustedPeers,
    },
    hops::{
        CdnId, CdnLoop, HopCount, HopHeader, Inbound, LimitHops, LimitHopsLayer, LoopStatus,
        MaxForwards, SigningKeys, Via,
    },
    memory::{MemoryStore, MemoryStoreBuilder},
    observe::{
        Durations, Family, Metrics, MetricsBuilder, ObserveBackends, ObserveBackendsLayer,
        ObserveRequests, ObserveRequestsLayer, ObservedBody, Sample, SampleValue, Snapshot,
    },
    origin::{AllowedHost, AllowedOrigin, GuardOrigin, GuardOriginLayer},
    pin::{
        AffinityCookie, Backends, Change, PinBackend, PinBackendLayer, ReclaimableBody,
        balance::{LeastSessions, Random, Rendezvous, RoundRobin},
        key::{CookieKey, HeaderKey, NoKey, PathSegmentKey, QueryKey, TaskKey},
    },
    principal::{NamePrincipal, NamePrincipalLayer},
    redis::{RedisStore, RedisStoreBuilder},
    resume::{
        ResumeCounts, ResumeSession, ResumeSessionLayer,
        split::{
            Gateway, Gateways, HeaderField, PathSegment, SplitSession, SplitSessionLayer,
            SplitSessions, SplitStatus,
        },
    },
    session::{MintIds, PeekedBody, SessionBody, ValidateSession, ValidateSessionLayer},
    streams::{OpenStream, SecondStream, StreamId, Streams, TrackStreams, TrackStreamsLayer},
    token::TokenStore,
    trace::{
        Ratio, TraceBackends, TraceBackendsLayer, TraceCounts, TraceRequests, TraceRequestsLayer,
    },
    upstream::{TrailerFilterBody, Upstream, UpstreamBuilder, transport::ByProtocol},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use opentelemetry::trace::noop::NoopTracer;
use std::fmt::Debug;
use tower::{Layer, Service};

fn is_shared<T: Clone + Debug + Send + Sync + Unpin + 'static>() {}
fn is_sent<T: Debug + Send + Sync + Unpin + 'static>() {}

type Body = Full<Bytes>;

#[test]
fn values_are_shared() {
    is_shared::<(Backend, BackendId, ClientAddr, Dialect, Passage, PeerAddr, Principal, Reason)>();
    is_shared::<(Record, Refusal, Route, Session, SessionId, StoreError, UpstreamFailure)>();
    is_shared::<(PublicOrigin, Chain, Field, Fields, Naming, Network, Source, TrustedPeers)>();
    is_shared::<(Inbound, LoopStatus, ProxyName, SigningKeys, HopCount, HopHeader, Via)>();
    is_shared::<(CdnId, CdnLoop, MaxForwards, ForwardedBy, InternalPrefix, PathPrefix)>();
    is_shared::<(TrailerRule, Lease, RequestId, ReturnedBody, Fingerprint)>();
    is_shared::<(ClientNetwork, Applicant<'static>, InvalidRecord, OwnedKey, StoredRecord)>();
    is_shared::<(RedisStore, RedisStoreBuilder)>();
    is_shared::<(TokenStore, TokenStore<RedisStore>, NoStore)>();
    is_shared::<(MemoryStore, MemoryStoreBuilder, Backends, Change, NoKey)>();
    is_shared::<(KeyRing, ResumeCounts, ResumeSessionLayer<MemoryStore>, Tried, Additions)>();
    is_shared::<(Gateway, Gateways, HeaderField, PathSegment, SplitSessions, SplitStatus)>();
    is_shared::<(MintIds<MemoryStore>, ConfigError)>();
    is_shared::<(LeastSessions, Random, Rendezvous, AffinityCookie)>();
    is_shared::<(CookieKey, HeaderKey, PathSegmentKey, QueryKey, TaskKey)>();
    is_shared::<(UpstreamBuilder, ByProtocol)>();
    is_shared::<(OpenStream, SecondStream, StreamId, Streams)>();
    is_shared::<(Metrics, MetricsBuilder, Snapshot, Family, Sample, SampleValue, Durations)>();
    is_shared::<(TraceContext, TraceCounts, Ratio)>();
    is_sent::<(Stripped, Hold, Ended, RoundRobin, Evicted, LiveSessions, Place)>();
}

#[test]
fn bodies_are_sent() {
    is_sent::<(GuardBody<Body>, PeekedBody<Body>, ReclaimableBody<Body>, TrailerFilterBody<Body>)>(
    );
    is_sent::<(SessionBody<Body, MemoryStore>, ObservedBody<Body>)>();
}

/// axum asks a layer and its service to be `Clone + Send + Sync + 'static` and the future `Send`.
#[test]
fn layers_and_services_fit_into_a_server() {
    is_shared::<(ValidateSessionLayer<MemoryStore>, ValidateSessionLayer<RedisStore>)>();
    is_shared::<(SanitizeForwardedLayer, StripHopByHopLayer, LimitHopsLayer)>();
    is_shared::<SanitizeForwarded<StripHopByHop<LimitHops<MemoryStore>>>>();
    is_shared::<(GuardOriginLayer, GuardOrigin<MemoryStore>, AllowedHost, AllowedOrigin)>();
    is_shared::<(NamePrincipalLayer, NamePrincipal<MemoryStore>)>();
    is_shared::<(ObserveRequestsLayer, ObserveRequests<MemoryStore>)>();
    is_shared::<(ObserveBackendsLayer, ObserveBackends<MemoryStore>)>();
    is_shared::<PinBackendLayer>();
    is_shared::<(TraceRequestsLayer<NoopTracer>, TraceBackendsLayer<NoopTracer>)>();
    is_shared::<TraceRequests<TraceBackends<MemoryStore, NoopTracer>, NoopTracer>>();
    is_shared::<(TrackStreamsLayer, TrackStreams<MemoryStore>)>();
    is_shared::<(ReverseProxyStack<MemoryStore>, Shutdown, StackGauges)>();
    is_shared::<ConnectionService<MemoryStore>>();
    is_shared::<ValidateSession<Upstream, MemoryStore>>();
    is_shared::<PinBackend<Upstream, NoKey, NoStore>>();

    is_shared::<ResumeSession<Upstream, MemoryStore>>();
    is_shared::<SplitSession<Upstream, PathSegment, MemoryStore>>();
    is_shared::<SplitSessionLayer<PathSegment, MemoryStore>>();

    fn fits<S, R>(_: &S)
    where
        S: Service<Request<Body>, Response = Response<R>, Error = std::convert::Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
        R: http_body::Body<Data = Bytes> + Send,
    {
    }
    let store = MemoryStore::new();
    let backends = Backends::new([]);
    let stack = ReverseProxyStack::mcp(store, backends);
    // Optional layers are not part of the type.
    let variants: [ReverseProxy<SessionProxy<Upstream, MemoryStore>>; 4] = [
        stack.clone(),
        stack.clone().resume(|layer| layer),
        stack.clone().without_streams(),
        stack.without_guards(),
    ]
    .map(|stack| stack.layer(Upstream::builder().build()));
    variants.iter().for_each(fits);
    let boxed: BoxedProxy<Body> = variants[0].clone().boxed();
    fits(&boxed);
}
