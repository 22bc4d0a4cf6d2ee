//! A session is resumed: opened on another backend, checked, and put into its place.

use std::{sync::Arc, time::Duration};

use bartizan_core::{
    Backend, Reason, Session, SessionId, UpstreamFailure, backend::Tried, fields::only_line, mcp,
    store::Replaced,
};
use bytes::Bytes;
use http::StatusCode;
use http_body::Body;
use tokio::time::{Instant, timeout, timeout_at};

use super::LOOK_FACTOR;
use crate::{
    ask::Ask,
    entry, event,
    flight::{Denial, Outcome},
    handshake::{Found, Handshake},
    kept::Head,
    look,
    shared::{Inside, Shared, Store},
};

/// How long a backend may take to end a session that nobody will use.
const ORPHAN_DEADLINE: Duration = Duration::from_secs(5);

/// How often a record that others change at the same time is written again.
const SWAPS: usize = 4;

/// A session that a backend has opened here. Dropped before it is in its place, it is ended there.
struct Opened<S: Inside<B>, T: Store, B: Body<Data = Bytes> + Unpin + Send + 'static> {
    shared: Arc<Shared<S, T>>,
    ask: Option<Ask>,
    id: SessionId,
    backend: Option<Backend>,
    body: std::marker::PhantomData<fn(B)>,
}

/// Why a backend does not go on with a session.
enum Unfit {
    /// It gave no answer, or none that lasts.
    NoAnswer(Reason),
    /// It gave another answer than the first one.
    Other,
    /// It does not serve this caller: no word on the session, nor on others who use it.
    Denied(Denial),
}

/// Resumes the session that was `seen`, for the request with `head`.
pub(super) async fn resume<S, T, B>(
    shared: &Arc<Shared<S, T>>,
    head: &Head,
    seen: &Session,
    is_unreachable: bool,
) -> Outcome
where
    S: Inside<B>,
    T: Store,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    let current = match shared.current(seen).await {
        Ok(Some(current)) => current,
        Ok(None) => return Outcome::Ended,
        Err(_) => return Outcome::Failed(Reason::StoreUnavailable),
    };
    if entry::is_ending(current.record()) {
        return Outcome::Ended;
    }
    if !is_same_place(&current, seen) {
        return Outcome::Moved(current);
    }
    let config = &shared.config;
    let owner = current.key().principal;
    let Some(handshake) = config.entries.read(current.record(), owner) else {
        return Outcome::Ended;
    };
    let tried = Tried::default();
    if is_unreachable && let Some(backend) = current.record().backend() {
        tried.add(backend);
    }
    let outcome = match open::<S, T, B>(shared, head, &handshake, &tried).await {
        Ok(opened) => put(shared, current.clone(), opened).await,
        Err(Unfit::Denied(denial)) => Outcome::Denied(denial),
        Err(Unfit::Other) => give_up(shared, current.clone()).await,
        Err(Unfit::NoAnswer(reason)) => match shared.current(seen).await {
            // Another replica was luckier meanwhile.
            Ok(Some(other)) if !is_same_place(&other, seen) => Outcome::Moved(other),
            _ => Outcome::Failed(reason),
        },
    };
    if let Outcome::Failed(reason) = outcome {
        config.counts.add_given_up();
        event::given_up(&current, reason);
    }
    outcome
}

/// Opens a session like the recorded one, on one backend after the other.
async fn open<S, T, B>(
    shared: &Arc<Shared<S, T>>,
    head: &Head,
    handshake: &Handshake,
    tried: &Tried,
) -> Result<Opened<S, T, B>, Unfit>
where
    S: Inside<B>,
    T: Store,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    let deadline = Instant::now() + shared.config.timeout;
    let attempts = u32::from(shared.config.attempts.get());
    let mut unfit = None;
    for attempt in 0..attempts {
        // A silent backend must leave time for the next one.
        let share = deadline.saturating_duration_since(Instant::now()) / (attempts - attempt);
        let opening = try_one(shared, head, handshake, tried, Instant::now() + share);
        let failed = match timeout(share, opening).await {
            Ok(Ok(opened)) => return Ok(opened),
            Ok(Err(failed)) => failed,
            Err(_) => Unfit::NoAnswer(Reason::BackendUnreachable),
        };
        match (failed, unfit) {
            // Another one would be shown the same credentials.
            (Unfit::Denied(denial), _) => return Err(Unfit::Denied(denial)),
            // No other is there: what the one before said stands.
            (Unfit::NoAnswer(Reason::NoBackend), Some(before)) => return Err(before),
            (failed, _) => unfit = Some(failed),
        }
    }
    Err(unfit.unwrap_or(Unfit::NoAnswer(Reason::NoBackend)))
}

/// Opens a session like the recorded one on whatever backend is chosen.
async fn try_one<S, T, B>(
    shared: &Arc<Shared<S, T>>,
    head: &Head,
    handshake: &Handshake,
    tried: &Tried,
    deadline: Instant,
) -> Result<Opened<S, T, B>, Unfit>
where
    S: Inside<B>,
    T: Store,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    let ask = Ask::new(head, &handshake.agreement.version);
    let Ok(response) = shared.call(ask.initialize(handshake.body.clone(), tried)).await else {
        return Err(Unfit::NoAnswer(Reason::BackendUnreachable));
    };
    if let Some(reason) = Reason::of(&response) {
        return Err(Unfit::NoAnswer(unavailable(reason)));
    }
    if UpstreamFailure::of(&response).is_some() {
        return Err(Unfit::NoAnswer(Reason::BackendUnreachable));
    }
    if let Some(denial) = Denial::of(&response) {
        return Err(Unfit::Denied(denial));
    }
    let (head, body) = response.into_parts();
    let id = only_line(&head.headers, &mcp::SESSION_ID).ok().flatten().ok_or(Unfit::Other)?;
    let id = SessionId::from_bytes(id.as_bytes()).map_err(|_| Unfit::Other)?;
    // From here on there is something to end.
    let backend = head.extensions.get::<Backend>().cloned();
    let shared = Arc::clone(shared);
    let body_type = std::marker::PhantomData;
    let opened = Opened { shared, ask: Some(ask), id, backend, body: body_type };
    if head.status != StatusCode::OK {
        return Err(Unfit::Other);
    }
    let limit = opened.shared.config.record_limit_bytes.saturating_mul(LOOK_FACTOR);
    let (found, looked) = look::for_agreement(&head.headers, body, limit, deadline).await;
    looked.discard().await;
    match found {
        Found::Agreement(agreement) if handshake.agreement.is_kept_by(&agreement) => {}
        _ => return Err(Unfit::Other),
    }
    opened.confirm().await?;
    Ok(opened)
}

/// Puts a session that was opened into the place of `current`.
async fn put<S, T, B>(
    shared: &Shared<S, T>,
    mut current: Session,
    opened: Opened<S, T, B>,
) -> Outcome
where
    S: Inside<B>,
    T: Store,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    for _ in 0..SWAPS {
        let mut record = entry::moved(current.record().clone()).with_upstream_id(opened.id.clone());
        if let Some(backend) = &opened.backend {
            record = record.with_backend(backend.id().clone());
        }
        match shared.replace(&current, record).await {
            Ok(Replaced::Replaced(session)) => {
                opened.keep();
                shared.config.counts.add_resumed();
                event::resumed(&session, current.record().backend());
                return Outcome::Moved(session);
            }
            Ok(Replaced::Changed(other)) if entry::is_ending(other.record()) => {
                return Outcome::Ended;
            }
            // Another replica was first: its session is used, and this one ended.
            Ok(Replaced::Changed(other)) if !is_same_place(&other, &current) => {
                return Outcome::Moved(other);
            }
            // Some other entry was changed.
            Ok(Replaced::Changed(other)) => current = other,
            Ok(_) => return Outcome::Ended,
            Err(_) => return Outcome::Failed(Reason::StoreUnavailable),
        }
    }
    Outcome::Failed(Reason::BackendUnreachable)
}

/// Ends the session, which nobody can go on with. Its record says so before anybody is told: otherwise a
/// replica that is luckier just then would lose what it has opened.
async fn give_up<S, T: Store>(shared: &Shared<S, T>, current: Session) -> Outcome {
    match note_end(shared, current.clone()).await {
        Noted::Moved(other) => Outcome::Moved(other),
        Noted::Failed => Outcome::Failed(Reason::StoreUnavailable),
        Noted::Ends => {
            // Whoever waits is told that it has ended, and sees to it once more if this fails.
            let _ = shared.remove(&current).await;
            Outcome::Failed(Reason::BackendLost)
        }
    }
}

/// What became of the intent to end a session.
pub(super) enum Noted {
    /// Nobody can resume it any more.
    Ends,
    /// It has moved before.
    Moved(Session),
    Failed,
}

/// Notes that the session ends, unless it is elsewhere by now.
pub(super) async fn note_end<S, T: Store>(shared: &Shared<S, T>, mut current: Session) -> Noted {
    for _ in 0..SWAPS {
        let record = current.record().clone().with_field(entry::NAME, entry::ENDING);
        match shared.replace(&current, record).await {
            Ok(Replaced::Changed(other)) if entry::is_ending(other.record()) => return Noted::Ends,
            Ok(Replaced::Changed(other)) if !is_same_place(&other, &current) => {
                return Noted::Moved(other);
            }
            // Some other entry was changed.
            Ok(Replaced::Changed(other)) => current = other,
            Ok(_) => return Noted::Ends,
            Err(_) => return Noted::Failed,
        }
    }
    Noted::Ends
}

/// Whether two versions of a session are at one place.
pub(super) fn is_same_place(one: &Session, other: &Session) -> bool {
    let (one, other) = (one.record(), other.record());
    one.backend() == other.backend() && one.upstream_id() == other.upstream_id()
}

/// What a client is told whose session may be resumed later.
fn unavailable(reason: Reason) -> Reason {
    match reason {
        Reason::NoBackend | Reason::StoreUnavailable => reason,
        _ => Reason::BackendUnreachable,
    }
}

impl<S, T, B> Opened<S, T, B>
where
    S: Inside<B>,
    T: Store,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    /// Ends the handshake.
    async fn confirm(&self) -> Result<(), Unfit> {
        let Some(ask) = &self.ask else { return Err(Unfit::Other) };
        let request = ask.initialized::<B>(&self.id, self.backend.as_ref()).ok_or(Unfit::Other)?;
        match self.shared.call(request).await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) if Reason::of(&response).is_none() => Err(Unfit::Other),
            _ => Err(Unfit::NoAnswer(Reason::BackendUnreachable)),
        }
    }

    /// It is in its place.
    fn keep(mut self) {
        self.ask = None;
    }
}

impl<S: Inside<B>, T: Store, B: Body<Data = Bytes> + Unpin + Send + 'static> Drop
    for Opened<S, T, B>
{
    fn drop(&mut self) {
        let Some(ask) = self.ask.take() else { return };
        let Some(request) = ask.delete::<B>(&self.id, self.backend.as_ref()) else { return };
        let shared = Arc::clone(&self.shared);
        let deadline = Instant::now() + ORPHAN_DEADLINE;
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = timeout_at(deadline, shared.call(request)).await;
            });
        }
    }
}
