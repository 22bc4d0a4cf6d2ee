//! Resumes a session: opens one on another backend, checks it, and puts it in place of the lost
//! one.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use bartizan_core::{Reason, Session, backend::Tried, body::ReplaceBody};
use http::header::AUTHORIZATION;
use tokio::time::{Instant, timeout};

use super::{
    super::{
        event,
        outcome::Outcome,
        resumer::{Resumer, Store},
    },
    answers::{Answers, unavailable},
    noted::{Noted, SWAPS, note_end},
    written::{Written, is_same_place},
};
use crate::replay::{
    ask::At,
    credentials, entry,
    handshake::{Agreement, Handshake},
    inside::Inside,
    kept::Head,
    opened::{self, Expected, Opened, Unfit},
    target,
};

/// How long a backend may take to end a session that will not be used.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum number of backends that are asked.
const MOST_ASKED: usize = 32;

/// Resumes the session that was `seen`, for the request with `head`.
pub(super) async fn resume<S, T, B>(
    shared: &Arc<Resumer<S, T>>,
    head: &Head,
    seen: &Session,
    is_unreachable: bool,
) -> Outcome
where
    S: Inside<B>,
    T: Store,
    B: ReplaceBody + Unpin + Send + 'static,
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
    // At the path where the client opened it, not at that of the request that met the loss.
    let head = head.clone().at(target::read(&config.entries, current.record(), owner));
    let tried = Tried::default();
    if is_unreachable && let Some(backend) = current.record().backend() {
        tried.add(backend);
    }
    let outcome = match open::<S, T, B>(shared, &head, &handshake, &tried).await {
        Ok(opened) => put(shared, &head, current.clone(), opened).await,
        Err(Unfit::Denied(denial)) => Outcome::Denied(denial),
        Err(Unfit::Other) => give_up(shared, current.clone()).await,
        Err(Unfit::NoAnswer(reason)) => match shared.current(seen).await {
            // Another replica has succeeded in the meantime.
            Ok(Some(other)) if !is_same_place(&other, seen) => Outcome::Moved(other),
            _ => Outcome::Failed(unavailable(reason)),
        },
    };
    match outcome {
        Outcome::Failed(reason) => {
            config.counts.all().given_up.add_one();
            event::given_up(&current, reason);
        }
        Outcome::Denied(_) => config.counts.all().denied.add_one(),
        Outcome::Moved(_) | Outcome::Ended => {}
    }
    outcome
}

/// Opens a session like the recorded one, on one backend after the other.
async fn open<S, T, B>(
    shared: &Arc<Resumer<S, T>>,
    head: &Head,
    handshake: &Handshake,
    tried: &Tried,
) -> Result<Opened, Unfit>
where
    S: Inside<B>,
    T: Store,
    B: ReplaceBody + Unpin + Send + 'static,
{
    let deadline = Instant::now() + shared.config.timeout;
    let mut answers = Answers::new(shared.config.attempts);
    for _ in 0..MOST_ASKED {
        // A silent backend must not use up the time of the next one.
        let share = deadline.saturating_duration_since(Instant::now()) / answers.left();
        let expected = Expected {
            handshake,
            accepts: Agreement::is_kept_by,
            limit_bytes: shared.config.record_limit_bytes,
            deadline: Instant::now() + share,
            close_timeout: ORPHAN_TIMEOUT,
        };
        let opening = opened::open::<S, B>(&shared.spare, head, At::Untried(tried), expected);
        let handshakes = &shared.config.counts.all().handshakes;
        let failed = match timeout(share, opening).await {
            Ok(Ok(opened)) => return Ok(opened),
            Ok(Err(failed)) => {
                handshakes.failed(&failed);
                failed
            }
            Err(_) => {
                handshakes.timeout.add_one();
                Unfit::NoAnswer(Reason::BackendUnreachable)
            }
        };
        if let ControlFlow::Break(unfit) = answers.add(failed) {
            return Err(unfit);
        }
    }
    Err(answers.end())
}

/// Puts a newly opened session in place of `current`.
async fn put<S, T: Store>(
    shared: &Resumer<S, T>,
    head: &Head,
    mut current: Session,
    opened: Opened,
) -> Outcome {
    for _ in 0..SWAPS {
        let mut record = entry::moved(current.record().clone()).with_upstream_id(opened.id.clone());
        if let Some(authorization) = head.headers.get(AUTHORIZATION)
            && current.key().principal.is_none()
        {
            let digest = credentials::digest(opened.id.as_bytes(), authorization);
            record = record.with_field(credentials::NAME, &digest);
        }
        if let Some(backend) = &opened.backend {
            record = record.with_backend(backend.id().clone());
        }
        let Ok(replaced) = shared.replace(&current, record).await else {
            return Outcome::Failed(Reason::StoreUnavailable);
        };
        match Written::of(replaced, &current) {
            Written::Done(session) => {
                // From now on, the session is ended through its record.
                drop(opened.keep());
                shared.config.counts.all().resumed.add_one();
                shared.config.strangers.forget(&session);
                event::resumed(&session, current.record().backend());
                return Outcome::Moved(session);
            }
            Written::Ending | Written::Gone => return Outcome::Ended,
            // Another replica was first: its session is used, and this one ended.
            Written::Elsewhere(other) => return Outcome::Moved(other),
            Written::Again(other) => current = other,
        }
    }
    Outcome::Failed(Reason::BackendUnreachable)
}

/// Ends the session, which no backend can continue. The record is updated before the client gets an answer: otherwise a
/// replica that succeeds at this moment would lose the session that it opened.
async fn give_up<S, T: Store>(shared: &Resumer<S, T>, current: Session) -> Outcome {
    match note_end(shared, current.clone()).await {
        Noted::Moved(other) => Outcome::Moved(other),
        Noted::Failed => Outcome::Failed(Reason::StoreUnavailable),
        Noted::Ends => {
            // The waiting requests are told that it has ended; if this write fails, the next request tries again.
            if shared.remove(&current).await.is_ok() {
                shared.config.counts.all().not_resumed.add(&current);
            }
            Outcome::Failed(Reason::BackendLost)
        }
    }
}
