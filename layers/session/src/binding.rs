//! A session that was opened without a principal finds its owner: the look-up, and the answer that decides.
//!
//! A session is bound by `replace`, so that of several callers one wins; it keeps its key, its streams and its
//! use. A caller without leave to bind pays for none of this.

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

/// How often a record that something else changes meanwhile is replaced anew.
const TRIES: usize = 3;

/// A request of a caller with a principal, in a session that was opened without one.
pub(crate) struct Claimed<T: SessionStore> {
    pub(crate) in_use: InUse<T>,
    pub(crate) asked: Asked,
    pub(crate) caller: Principal,
}

/// What was `found` by the key of the `caller` of `request` for the session `id`. If that is nothing, and the caller
/// may bind sessions, looks for one without an owner in its key.
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

/// The second half of [`find`], where the first one had to wait and found nothing; none if there is none.
pub(crate) fn find_unowned<B, T: SessionStore>(
    config: &Config<T>,
    request: &Request<B>,
) -> Option<Answer<Result<Option<Session>, StoreError>, T::Get>> {
    let id = judge::session_id(request.headers(), &config.header).ok()??;
    may_bind(request).then(|| config.store.get(Key::new(&config.route, None, id)))
}

/// Whether a session that was found by the key of a caller, who `has_principal`, is the caller's for sure.
#[inline]
pub(crate) fn is_own(session: &Session, has_principal: bool) -> bool {
    // Found by its whole key. Only a caller without a principal finds one that may be another's all the same.
    session.record().owner().is_none() && has_principal == session.key().principal.is_some()
}

/// The caller of `request`, or none without a principal; nothing if it may not use `session`.
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

/// Makes `caller` the owner of `session`. If the store cannot be told, a later response does.
///
/// # Errors
///
/// If the session has become another caller's meanwhile.
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
            // Something else about it has changed.
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
