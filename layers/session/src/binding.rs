//! Binds a session that was opened without a principal to its owner: the lookup, and the response that decides.
//!
//! A session is bound with `replace`, so if several callers race, one wins; the session keeps its key, its streams and
//! its use. A caller that may not bind sessions has no cost from this.

use bartizan_core::{
    Answer, Key, Passage, Principal, Reason, Record, Session, SessionStore, StoreError,
    store::Replaced,
};
use http::{Request, Response};

use crate::{
    body::InUse,
    change::Asked,
    config::Config,
    judge,
    owner::{self, Standing},
};

/// How often to retry if the record changes in the meantime.
const TRIES: usize = 3;

/// A request of a caller with a principal, in a session that was opened without one.
pub(crate) struct Claimed<T: SessionStore> {
    pub(crate) in_use: InUse<T>,
    pub(crate) asked: Asked,
    pub(crate) caller: Principal,
}

/// The session `id` that was `found` with the key of the `caller`. If none was found and the caller may bind sessions,
/// looks for one whose key has no principal.
pub(crate) fn find<B, T: SessionStore>(
    config: &Config<T>,
    request: &Request<B>,
    caller: Option<&Principal>,
    id: &[u8],
    found: Answer<Result<Option<Session>, StoreError>, T::Get>,
) -> Answer<Result<Option<Session>, StoreError>, T::Get> {
    match found {
        Answer::Now(Ok(None)) if caller.is_some() && may_bind(request) => {
            config.store.get(Key::new(&config.route, None, id))
        }
        answer => answer,
    }
}

/// The second half of [`find`], if the first lookup had to wait and found nothing.
pub(crate) fn find_unowned<B, T: SessionStore>(
    config: &Config<T>,
    request: &Request<B>,
) -> Option<Answer<Result<Option<Session>, StoreError>, T::Get>> {
    let id = judge::session_id(request.headers(), &config.header).ok()??;
    may_bind(request).then(|| config.store.get(Key::new(&config.route, None, id)))
}

/// Whether a session that was found with the key of a caller certainly belongs to that caller.
#[inline]
pub(crate) fn is_own(session: &Session, has_principal: bool) -> bool {
    // The whole key matched. Only a caller without a principal can find a session that may still belong to another
    // caller.
    session.record().owner().is_none() && has_principal == session.key().principal.is_some()
}

/// The principal of the caller of `request`, if it has one; the outer `None` if the caller may not
/// use `session`.
pub(crate) fn claim<B>(request: &Request<B>, session: &Session) -> Option<Option<Principal>> {
    let caller = Principal::of(request);
    match owner::standing(session, caller, may_bind(request)) {
        Standing::Own | Standing::ToBind => Some(caller.cloned()),
        Standing::Foreign => None,
    }
}

/// Whether `response` makes the caller the owner of `session`: the backend has accepted its credentials.
pub(crate) fn is_confirmed<R>(response: &Response<R>, session: &Session) -> bool {
    response.status().is_success() && session.record().owner().is_none()
}

/// Makes `caller` the owner of `session`. If the store fails, a later response tries again.
///
/// # Errors
///
/// If the session belongs to another caller by now.
pub(crate) async fn bind<T: SessionStore>(
    config: &Config<T>,
    session: &Session,
    caller: &Principal,
) -> Result<(), Reason> {
    let owner = owner::name(caller, session.id());
    let mut current = session.clone();
    for _ in 0..TRIES {
        let record = current.record().clone().with_field(Record::OWNER, &owner);
        let replaced = config.store.replace(current.key(), current.version(), record);
        let Ok(Replaced::Changed(changed)) = config.wait(replaced).await else { return Ok(()) };
        match changed.record().owner() {
            // The record has changed in another way.
            None => current = changed,
            Some(other) if other == owner => return Ok(()),
            Some(_) => return Err(Reason::UnknownSession),
        }
    }
    Ok(())
}

fn may_bind<B>(request: &Request<B>) -> bool {
    Passage::of(request).is_some_and(Passage::may_bind)
}
