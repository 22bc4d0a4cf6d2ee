//! A session that was opened without a principal finds its owner: the look-up, and the answer that decides.
//!
//! A session is bound by `replace`, so that of several callers one wins; it keeps its key, its streams and its
//! use. A caller without leave to bind pays for none of this.

use bartizan_core::{
    Answer, Key, Passage, Principal, Reason, Session, SessionStore, StoreError, store::Replaced,
};
use http::{Request, StatusCode};

use crate::{
    config::Config,
    judge,
    owner::{self, Standing},
};

/// How often a record that something else changes meanwhile is replaced anew.
const TRIES: usize = 3;

/// What a caller with a principal has to do with a session that was opened without one.
pub(crate) struct Claim {
    principal: Principal,
    is_bound: bool,
}

impl Claim {
    /// Whether a response with `status` makes the caller the owner: the backend has accepted its credentials.
    pub(crate) fn is_confirmed_by(&self, status: StatusCode) -> bool {
        !self.is_bound && status.is_success()
    }

    pub(crate) fn into_principal(self) -> Principal {
        self.principal
    }
}

/// Looks for the session `id` of the `caller` of `request`; then, if the caller may bind it, for one without an
/// owner in its key.
#[inline]
pub(crate) fn find<B, T: SessionStore>(
    config: &Config<T>,
    request: &Request<B>,
    caller: Option<&Principal>,
    id: &[u8],
) -> Answer<Result<Option<Session>, StoreError>, T::Get> {
    match config.store.get(Key::new(&config.route, caller, id)) {
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

/// The session that was found, if the caller of `request` may use it.
#[inline]
pub(crate) fn admit<B>(
    request: &Request<B>,
    has_principal: bool,
    session: Session,
) -> Option<(Session, Option<Claim>)> {
    // Found by its whole key. Only a caller without a principal finds one that may be another's all the same.
    if !has_principal || session.key().principal.is_some() {
        let standing = owner::standing(&session, None, false);
        return (standing == Standing::Own).then_some((session, None));
    }
    admit_unowned(request, session)
}

#[cold]
fn admit_unowned<B>(request: &Request<B>, session: Session) -> Option<(Session, Option<Claim>)> {
    let caller = Principal::of(request)?;
    let is_bound = match owner::standing(&session, Some(caller), may_bind(request)) {
        Standing::Own => true,
        Standing::ToBind => false,
        Standing::Foreign => return None,
    };
    let claim = Claim { principal: caller.clone(), is_bound };
    Some((session, Some(claim)))
}

/// Makes the caller that has this `claim` the owner of `session`. If the store cannot be told, a later response does.
///
/// # Errors
///
/// If the session has become another caller's meanwhile.
pub(crate) async fn bind<T: SessionStore>(
    config: &Config<T>,
    session: &Session,
    claim: &Claim,
) -> Result<(), Reason> {
    let owner = owner::name(&claim.principal, session.id());
    let mut current = session.clone();
    for _ in 0..TRIES {
        let record = current.record().clone().with_field(owner::FIELD, &owner);
        let replaced = config.store.replace(current.key(), current.version(), record);
        let Ok(Replaced::Changed(changed)) = config.wait(replaced).await else { return Ok(()) };
        match owner::of(changed.record()) {
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
