//! A session that is being opened: what is kept of its request, and how it is ended if the client
//! does not get it.

use std::{future::poll_fn, sync::Arc, time::Duration};

use bartizan_core::{
    Backend, ClientAddr, Dialect, OpeningHead, Passage, Principal, Reason, SessionStore, Work,
    client::Evidence,
    refusal::RequestId,
    session::{ClientNetwork, Fingerprint},
    store::{Applicant, Place},
};
use http::{Request, Response};
use tokio::time::timeout;

use crate::{
    body::SessionBody,
    bounds::{Incoming, Inside},
    config::{Config, Protocol},
    event,
    peeked_body::PeekedBody,
    refusal::{dialect, refuse, render},
    run_on::HasLeft,
};

/// How long a refusal waits for the backend to end a session that the client does not get.
pub(crate) const END_TIMEOUT: Duration = Duration::from_secs(1);

/// What is kept of a request whose response may open a session.
pub(crate) struct Opening<S, T> {
    // Not polled ready. Used to end a session that the store refuses.
    pub(crate) service: S,
    pub(crate) config: Arc<Config<T>>,
    pub(crate) principal: Option<Principal>,
    pub(crate) client: Option<ClientNetwork>,
    // Counts against the cap until the session is stored or ended, or turns out not to exist.
    _place: Option<Place>,
    head: OpeningHead,
    pub(crate) dialect: Dialect,
    pub(crate) has_left: HasLeft,
}

/// The response if a session is not opened.
pub(crate) type NotOpened<R, T> = Box<Response<SessionBody<R, T>>>;

impl<S: Clone, T: SessionStore> Opening<S, T> {
    /// Prepares `request`, whose response may open a session, for `service`. If it asks for a session that the store
    /// could not keep, it is refused before a backend gets it.
    pub(crate) fn begin<B, R>(
        service: &S,
        config: &Arc<Config<T>>,
        request: &mut Request<B>,
        work: Work,
        id: Option<RequestId>,
    ) -> Result<Box<Self>, NotOpened<R, T>> {
        let principal = Principal::of(request).cloned();
        let client = client_of(config, request);
        let place = match work {
            Work::Opening => match take_place(config, principal.as_ref(), client) {
                Ok(place) => Some(place),
                Err(reason) => return Err(refuse(config, request.headers(), reason.into(), id)),
            },
            _ => None,
        };
        let dialect = dialect(config, request.headers(), id);
        Passage::with(request, |passage| {
            passage.set_work(work);
            passage.set_dialect(dialect.clone());
        });
        Ok(Box::new(Self {
            service: service.clone(),
            config: Arc::clone(config),
            principal,
            client,
            _place: place,
            head: OpeningHead::of(request),
            dialect,
            has_left: HasLeft::default(),
        }))
    }

    /// The path of the request, for the record of the session.
    pub(crate) fn path(&self) -> Arc<String> {
        self.config.paths.share(self.head.path())
    }

    /// Ends the session that `answer` names at the backend that opened it, because the client does not get it; then
    /// refuses the request.
    pub(crate) async fn end<B>(
        self,
        answer: Response<SessionBody<S::Body, T>>,
        reason: Reason,
    ) -> Response<SessionBody<S::Body, T>>
    where
        S: Inside<B>,
        B: Incoming,
    {
        let Self { service, config, head, dialect, .. } = self;
        let id = answer.headers().get(&config.header).cloned();
        event::refused(reason, id.as_ref().map(|id| Fingerprint::of(id.as_bytes())));
        let refusal = render(reason.into(), &dialect);
        if let Some(id) = id
            && config.protocol == Protocol::Mcp
        {
            let backend = answer.extensions().get::<Backend>().cloned();
            let delete = head.delete(config.header.clone(), id, backend, PeekedBody::empty());
            // Dropping it releases what it holds: a connection, or a permit that the DELETE needs.
            drop(answer);
            let _ = timeout(END_TIMEOUT, call::<S, B>(service, delete)).await;
        }
        refusal
    }
}

fn take_place<T: SessionStore>(
    config: &Config<T>,
    principal: Option<&Principal>,
    client: Option<ClientNetwork>,
) -> Result<Place, Reason> {
    if !config.store.answers() {
        return Err(Reason::StoreUnavailable);
    }
    let applicant = Applicant::new(&config.route, principal, client);
    config.store.reserve(applicant).ok_or(Reason::TooManySessions)
}

/// The network of the client, if the store counts by it and it is known. A trusted proxy that does not name a client is
/// not itself a client.
fn client_of<B, T: SessionStore>(
    config: &Config<T>,
    request: &Request<B>,
) -> Option<ClientNetwork> {
    if !config.store.counts_clients() {
        return None;
    }
    let client = ClientAddr::of(request)?;
    let is_proxy = client.evidence() == Evidence::Peer
        && Passage::of(request).and_then(Passage::trusts_peer) == Some(true);
    (!is_proxy).then(|| ClientNetwork::of(client.ip()))
}

/// Calls `service` once it is ready, and drops its response.
pub(crate) async fn call<S: Inside<B>, B>(
    mut service: S,
    request: Request<PeekedBody<B>>,
) -> Result<(), S::Error> {
    poll_fn(|cx| service.poll_ready(cx)).await?;
    let response = service.call(request);
    drop(service);
    response.await.map(drop)
}
