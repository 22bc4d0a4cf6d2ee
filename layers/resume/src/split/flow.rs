//! The way of a request to its gateway.

use std::sync::Arc;

use bartizan_core::{
    Backend, Passage, Reason, Session, SessionId, Work, fields::only_line, mcp, session::Additions,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body::Body;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    gateways::Gateway,
    layer::{OPEN_DEADLINE, RECORD_LIMIT_BYTES},
    name::NameGateway,
    service::Shared,
    table::{Found, Opening, State, Table},
    upstream::{Close, Upstream},
};
use crate::{
    ReplayBody, ResumeBody,
    ask::{Ask, ask_readable},
    flow::{
        self, LOOK_FACTOR, accepted, is_for_lost_server, opens, pass, refuse_with_id, settle,
        show_as,
    },
    handshake,
    kept::{Head, Kept, LAST_EVENT_ID},
    look,
    loss::{self, Verdict},
    shared::Inside,
};

/// The name of the entry that says at which gateway the client opened its session.
const HOME: &str = "gateway";

/// A request that names the gateway `name` arrives.
pub(super) async fn arrived<S, N, B>(
    shared: Arc<Shared<S, N>>,
    mut service: S,
    name: Box<str>,
    kept: Arc<Kept<B>>,
    mut request: Request<ReplayBody<B>>,
) -> Result<Response<ResumeBody<S::Body>>, S::Error>
where
    S: Inside<B>,
    N: NameGateway,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    let Some(gateway) = shared.config.gateways.get(&name) else {
        return Ok(refuse_with_id(&kept, Reason::NoBackend).await);
    };
    let Some(session) = kept.session().cloned() else {
        let is_opening = Passage::of(&request).map(Passage::work) == Some(Work::Opening);
        address(&mut request, &gateway);
        if is_opening {
            ask_readable(request.headers_mut());
        }
        let mut response = service.call(request).await?;
        if !is_opening || !opens(&response) {
            return Ok(pass(response, kept.is_get()));
        }
        Additions::leave(response.extensions_mut(), HOME, name.as_bytes());
        // Whoever stores the session learns where it is from here.
        response.extensions_mut().insert(gateway.backend().clone());
        return flow::record(shared.config.recording(), kept, response).await;
    };
    if request.method() == Method::DELETE {
        return end(shared, service, kept, request, &session).await;
    }
    let known = || seed::<S, N, B>(&shared, &kept.head(), &session, &name, &gateway);
    let mut found = shared.config.sessions.find(&session, &name, known);
    // Where it has to wait, what the instance holds may be what the other waits for.
    let mut ready = matches!(found, Found::Open(_)).then_some(service);
    let mut first = Some(request);
    loop {
        let is_last = first.is_none();
        let upstream = match place(&shared, found, &kept.head(), &session, &gateway).await {
            Ok(upstream) => upstream,
            Err(reason) => return Ok(refuse_with_id(&kept, reason).await),
        };
        let Some(mut request) = first.take().or_else(|| again(&kept)) else {
            return Ok(refuse_with_id(&kept, Reason::SessionMoved).await);
        };
        to_upstream(&mut request, &upstream);
        let mut response = match ready.take() {
            Some(mut service) => service.call(request).await?,
            None => shared.spare.call(request).await?,
        };
        show_as(&mut response, kept.shown_id());
        let verdict = loss::by_head(&response);
        let deadline = Instant::now() + OPEN_DEADLINE;
        let (verdict, answer) = settle(response, verdict, kept.is_get(), deadline).await;
        match verdict {
            Verdict::Unknown if is_for_lost_server(&kept).await => return Ok(accepted()),
            Verdict::Unknown if !is_last => {
                found = shared.config.sessions.replace(&session, &name, &upstream);
            }
            // Neither what a gateway says of its own session nor its loss is a word on the client's.
            Verdict::Unknown => {
                return Ok(refuse_with_id(&kept, Reason::BackendUnreachable).await);
            }
            _ if Reason::of(&answer) == Some(Reason::BackendLost) => {
                return Ok(refuse_with_id(&kept, Reason::BackendUnreachable).await);
            }
            _ => return Ok(answer),
        }
    }
}

/// The request once more, for a session that was opened again: its events are others.
fn again<B: Body<Data = Bytes> + Unpin>(kept: &Arc<Kept<B>>) -> Option<Request<ReplayBody<B>>> {
    let mut request = kept.again()?;
    request.headers_mut().remove(&LAST_EVENT_ID);
    Some(request)
}

/// Waits for the place of a session at a gateway, or opens it.
async fn place<S, N, B>(
    shared: &Arc<Shared<S, N>>,
    found: Found,
    head: &Head,
    session: &Session,
    gateway: &Gateway,
) -> Result<Arc<Upstream>, Reason>
where
    S: Inside<B>,
    N: NameGateway,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    let state = match found {
        Found::Open(upstream) => return Ok(used(upstream)),
        Found::Full => return Err(Reason::TooManySessions),
        Found::Ended => return Err(Reason::BackendLost),
        Found::Wait(state) => state,
        Found::Lead(opening, state) => {
            let (shared, head) = (Arc::clone(shared), head.clone());
            let (session, gateway) = (session.clone(), gateway.clone());
            // It goes on without this request, should the client leave.
            tokio::spawn(lead::<S, N, B>(shared, opening, head, session, gateway));
            state
        }
    };
    wait(state).await.map(used)
}

fn used(upstream: Arc<Upstream>) -> Arc<Upstream> {
    upstream.note_use();
    upstream
}

async fn wait(mut state: watch::Receiver<State>) -> Result<Arc<Upstream>, Reason> {
    let outcome = state.wait_for(|state| !matches!(state, State::NotYet));
    match timeout(OPEN_DEADLINE, outcome).await {
        Ok(Ok(state)) => match &*state {
            State::Open(upstream) => Ok(Arc::clone(upstream)),
            State::Failed(reason) => Err(*reason),
            State::NotYet => Err(Reason::BackendUnreachable),
        },
        _ => Err(Reason::BackendUnreachable),
    }
}

async fn lead<S, N, B>(
    shared: Arc<Shared<S, N>>,
    opening: Opening,
    head: Head,
    session: Session,
    gateway: Gateway,
) where
    S: Inside<B>,
    N: NameGateway,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    let opened = timeout(OPEN_DEADLINE, open::<S, N, B>(&shared, &head, &session, &gateway)).await;
    let state = match opened.unwrap_or(None) {
        Some(upstream) => State::Open(upstream),
        None => State::Failed(Reason::BackendUnreachable),
    };
    if let Some(evicted) = opening.finish(state, &shared.config.gateways) {
        shared.config.sessions.close_soon(&[evicted]);
    }
}

/// Opens a session at `gateway` as the client opened its own.
async fn open<S, N, B>(
    shared: &Arc<Shared<S, N>>,
    head: &Head,
    session: &Session,
    gateway: &Gateway,
) -> Option<Arc<Upstream>>
where
    S: Inside<B>,
    N: NameGateway,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    let owner = session.key().principal;
    let handshake = shared.config.entries.read(session.record(), owner)?;
    let backend = gateway.backend();
    let head = with_credentials(head.clone(), gateway);
    let uri = head.uri.clone();
    let ask = Ask::new(&head, &handshake.agreement.version);
    let request = ask.initialize_at(handshake.body.clone(), backend);
    let response = shared.spare.call(request).await.ok()?;
    if Reason::of(&response).is_some() {
        return None;
    }
    let (head, body) = response.into_parts();
    let id = only_line(&head.headers, &mcp::SESSION_ID).ok().flatten()?;
    let id = SessionId::from_bytes(id.as_bytes()).ok()?;
    // From here on there is something to end.
    let confirm = ask.initialized::<B>(&id, Some(backend))?;
    let close = closing::<S, N, B>(shared, ask, &id, backend);
    let upstream = Arc::new(Upstream::new(id, gateway.clone(), uri, false, close));
    let unconfirmed = Unconfirmed { sessions: &shared.config.sessions, upstream: Some(upstream) };
    if head.status != StatusCode::OK {
        return None;
    }
    let deadline = Instant::now() + OPEN_DEADLINE;
    let (found, looked) =
        look::for_agreement(&head.headers, body, RECORD_LIMIT_BYTES * LOOK_FACTOR, deadline).await;
    looked.discard().await;
    match found {
        // Another server has other tools; it must speak the language that was agreed to.
        handshake::Found::Agreement(agreement)
            if agreement.version == handshake.agreement.version => {}
        _ => return None,
    }
    let confirmed = shared.spare.call(confirm).await.ok()?;
    if confirmed.status().is_success() { unconfirmed.keep() } else { None }
}

/// A session whose handshake is not over. Dropped, it is ended at its gateway.
struct Unconfirmed<'a> {
    sessions: &'a Arc<Table>,
    upstream: Option<Arc<Upstream>>,
}

impl Unconfirmed<'_> {
    fn keep(mut self) -> Option<Arc<Upstream>> {
        self.upstream.take()
    }
}

impl Drop for Unconfirmed<'_> {
    fn drop(&mut self) {
        if let Some(upstream) = self.upstream.take() {
            self.sessions.close_soon(&[upstream]);
        }
    }
}

/// How the session `id` is ended at `backend`.
fn closing<S, N, B>(
    shared: &Arc<Shared<S, N>>,
    ask: Ask,
    id: &SessionId,
    backend: &Backend,
) -> Close
where
    S: Inside<B>,
    N: NameGateway,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    // Not the other way round: what is open must not keep the service alive.
    let shared = Arc::downgrade(shared);
    let (id, backend) = (id.clone(), backend.clone());
    Box::new(move || {
        Box::pin(async move {
            let (Some(shared), Some(request)) =
                (shared.upgrade(), ask.delete::<B>(&id, Some(&backend)))
            else {
                return;
            };
            let _ = shared.spare.call(request).await;
        })
    })
}

/// The session that the client opened itself, if it was at `gateway`.
fn seed<S, N, B>(
    shared: &Arc<Shared<S, N>>,
    head: &Head,
    session: &Session,
    name: &str,
    gateway: &Gateway,
) -> Option<Upstream>
where
    S: Inside<B>,
    N: NameGateway,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    let (record, backend) = (session.record(), gateway.backend());
    if !shared.config.gateways.is_current(name, gateway) {
        return None;
    }
    if record.field(HOME) != Some(name.as_bytes()) || record.backend() != Some(backend.id()) {
        return None;
    }
    let id = match record.upstream_id() {
        Some(id) => id.clone(),
        None => SessionId::from_bytes(session.id()).ok()?,
    };
    let handshake = shared.config.entries.read(record, session.key().principal)?;
    let head = with_credentials(head.clone(), gateway);
    let ask = Ask::new(&head, &handshake.agreement.version);
    let close = closing::<S, N, B>(shared, ask, &id, backend);
    Some(Upstream::new(id, gateway.clone(), head.uri, true, close))
}

/// The client ends its session: at the gateway where it opened it, and at all others meanwhile.
async fn end<S, N, B>(
    shared: Arc<Shared<S, N>>,
    mut service: S,
    kept: Arc<Kept<B>>,
    mut request: Request<ReplayBody<B>>,
    session: &Session,
) -> Result<Response<ResumeBody<S::Body>>, S::Error>
where
    S: Inside<B>,
    N: NameGateway,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    let sessions = &shared.config.sessions;
    let home = session.record().field(HOME).and_then(|name| str::from_utf8(name).ok());
    if let Some(name) = home
        && let Some(gateway) = shared.config.gateways.get(name)
    {
        let known = sessions.open(session, name);
        let upstream = known.or_else(|| {
            seed::<S, N, B>(&shared, &kept.head(), session, name, &gateway).map(Arc::new)
        });
        if let Some(upstream) = upstream {
            *request.uri_mut() = upstream.uri.clone();
            to_upstream(&mut request, &upstream);
        }
    }
    let end_others = || {
        let its = sessions.take(|other, name| other.key() == session.key() && Some(name) != home);
        sessions.close_soon(&its);
    };
    end_others();
    let mut response = service.call(request).await?;
    show_as(&mut response, kept.shown_id());
    let by_head = loss::by_head(&response);
    let deadline = Instant::now() + OPEN_DEADLINE;
    let (verdict, mut answer) = settle(response, by_head, false, deadline).await;
    if by_head == Verdict::Look && verdict == Verdict::Unknown {
        // A 400 would look as if it had not ended.
        answer = flow::refuse(Reason::BackendLost, &kept.head().dialect(None));
    }
    if answer.status().is_success() || answer.status() == StatusCode::NOT_FOUND {
        // A call may have opened one meanwhile.
        end_others();
        sessions.take(|other, _| other.key() == session.key());
    }
    Ok(answer)
}

/// Sends a request to `upstream`, by the id that it is known by there, and as it was reached when it was
/// opened: the credentials for another origin are not for this one.
fn to_upstream<B>(request: &mut Request<B>, upstream: &Upstream) {
    if let Ok(id) = HeaderValue::from_str(upstream.id.as_str()) {
        request.headers_mut().insert(&mcp::SESSION_ID, id);
    }
    address(request, &upstream.gateway);
    Passage::with(request, |passage| {
        // It is no longer the client's: what is inside need not know that one.
        passage.clear_session();
        passage.set_work(Work::Pinned);
    });
}

fn address<B>(request: &mut Request<B>, gateway: &Gateway) {
    if let Some(authorization) = gateway.authorization() {
        request.headers_mut().insert(AUTHORIZATION, authorization.clone());
    }
    Passage::with(request, |passage| passage.set_backend(gateway.backend().clone()));
}

fn with_credentials(mut head: Head, gateway: &Gateway) -> Head {
    if let Some(authorization) = gateway.authorization() {
        head.headers.insert(AUTHORIZATION, authorization.clone());
    }
    head
}
