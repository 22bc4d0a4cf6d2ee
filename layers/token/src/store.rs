//! The store that stores nothing, or only ends.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bartizan_core::{
    Answer, BackendId, Key, Principal, Record, Route, Session, SessionId, SessionStore, StoreError,
    store::{
        CountSessions, Inserted, LiveSessions, Never, NoStore, RecordVersion, Replaced,
        StoreErrorKind, StoredRecord, StoredSession,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use pin_project_lite::pin_project;

use crate::{
    KeyRing,
    content::{self, Content},
};

/// How far the clocks of replicas and of a store of ends may differ.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// Keeps sessions as sealed tokens; see the [crate docs](crate). Clones share the keys.
///
/// ```
/// use bartizan_memory::MemoryStore;
/// use bartizan_token::{KeyRing, TokenStore};
///
/// # fn main() -> Result<(), bartizan_token::ConfigError> {
/// # let secret = [7; 32]; // read it from a file: 32 random bytes, the same for all replicas
/// // The second store only remembers which sessions were ended.
/// let store = TokenStore::new(KeyRing::new(1, &secret)?).remembering_ends(MemoryStore::new());
/// # let _ = store;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct TokenStore<E = NoStore> {
    keys: Arc<KeyRing>,
    live: Arc<LiveSessions>,
    ends: Option<E>,
}

impl TokenStore {
    /// Seals tokens with `keys`. A session cannot be ended before its lifetime is over.
    #[must_use]
    pub fn new(keys: KeyRing) -> Self {
        Self { keys: Arc::new(keys), live: Arc::default(), ends: None }
    }
}

impl<E> TokenStore<E> {
    /// Remembers in `store` which sessions were ended, until their lifetime is over, and asks it at each lookup.
    /// Nothing else is kept there. Replicas must share it.
    pub fn remembering_ends<F: SessionStore>(self, store: F) -> TokenStore<F> {
        TokenStore { keys: self.keys, live: self.live, ends: Some(store) }
    }

    /// The session of the token in `key`, if it was sealed with these keys for this owner and has not expired.
    fn read(&self, key: Key<'_>) -> Option<Session> {
        let token = URL_SAFE_NO_PAD.decode(key.id).ok()?;
        let content = Content::read(&self.keys.open(&token, &content::owner(key))?)?;
        let lives_until_ms = content.born_ms.saturating_add(millis(content.lifetime));
        let (born_ms, now_ms) = (content.born_ms, now_ms());
        (now_ms < lives_until_ms).then(|| {
            let stored = StoredRecord::new(content.into_record(), RecordVersion::FIRST, born_ms);
            self.live.adopt(key, stored.used_ms(now_ms))
        })
    }

    /// Records that the session of the token in `key` has ended; `None` if there is no store of ends, or no such
    /// session.
    fn note_end(&self, key: Key<'_>) -> Option<Answer<Result<Inserted, StoreError>, E::Insert>>
    where
        E: SessionStore,
    {
        let ends = self.ends.as_ref()?;
        let session = self.read(key)?;
        // For as long as the token is valid by any clock. The entry is never used, so its idle time must be as long.
        let age = Duration::from_millis(now_ms().saturating_sub(session.born_ms()));
        let left = session.record().lifetime().saturating_sub(age).saturating_add(CLOCKS_DIFFER);
        Some(ends.insert_if_absent(key, Record::new(left, left)))
    }

    /// The session for a token that a client has.
    fn write(&self, key: Key<'_>, record: &Record) -> Option<Session> {
        let born_ms = now_ms();
        let content = Content {
            born_ms,
            lifetime: record.lifetime(),
            backend: record.backend().cloned(),
            upstream_id: SessionId::from_bytes(key.id).ok()?,
        };
        let token = self.keys.seal(&content.write()?, &content::owner(key))?;
        let token = URL_SAFE_NO_PAD.encode(token);
        (token.len() <= SessionId::MAX_BYTES).then(|| {
            let named = Key::new(key.route, key.principal, token.as_bytes());
            Session::new(named, content.into_record(), RecordVersion::FIRST, born_ms)
        })
    }
}

impl<E: SessionStore> SessionStore for TokenStore<E> {
    type Get = NotEnded<E::Get>;
    type Insert = Never<Result<Inserted, StoreError>>;
    type Replace = Never<Result<Replaced, StoreError>>;
    type Remove = Noted<E::Insert>;
    type RemoveIfUnchanged = NotedEnd<E::Insert>;

    fn get(&self, key: Key<'_>) -> Answer<Result<Option<Session>, StoreError>, Self::Get> {
        // An id that was not sealed with these keys causes no lookup.
        let Some(session) = self.read(key) else { return Answer::Now(Ok(None)) };
        let Some(ends) = &self.ends else { return Answer::Now(Ok(Some(session))) };
        match ends.get(key) {
            Answer::Now(ended) => Answer::Now(ended.map(|end| unless(end.as_ref(), session))),
            Answer::Later(ended) => Answer::Later(NotEnded { ended, session: Some(session) }),
        }
    }

    fn insert_if_absent(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Result<Inserted, StoreError>, Self::Insert> {
        // Too long for a header field, or the system has no randomness.
        let impossible = || StoreError::new(StoreErrorKind::Unavailable);
        Answer::Now(self.write(key, &record).map(Inserted::Inserted).ok_or_else(impossible))
    }

    /// A token that was handed out cannot be changed, so the session stays as it is.
    fn replace(
        &self,
        key: Key<'_>,
        _: RecordVersion,
        _: Record,
    ) -> Answer<Result<Replaced, StoreError>, Self::Replace> {
        Answer::Now(Ok(self.read(key).map_or(Replaced::Gone, Replaced::Changed)))
    }

    fn remove(&self, key: Key<'_>) -> Answer<Result<(), StoreError>, Self::Remove> {
        let noting = self.note_end(key);
        self.live.end(key);
        match noting {
            None => Answer::Now(Ok(())),
            Some(Answer::Now(outcome)) => Answer::Now(noted(outcome)),
            Some(Answer::Later(noting)) => Answer::Later(Noted { noting }),
        }
    }

    /// A token that was handed out never changes, so this session ends, if ends are remembered.
    fn remove_if_unchanged(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
    ) -> Answer<Result<bool, StoreError>, Self::RemoveIfUnchanged> {
        if seen != RecordVersion::FIRST {
            return Answer::Now(Ok(false));
        }
        let noting = self.note_end(key);
        self.live.end(key);
        match noting {
            None => Answer::Now(Ok(false)),
            Some(Answer::Now(outcome)) => Answer::Now(noted_end(outcome)),
            Some(Answer::Later(noting)) => Answer::Later(NotedEnd { noting }),
        }
    }

    fn touch(&self, _: &Session) {}

    fn has_room(&self, _: &Route, _: Option<&Principal>) -> bool {
        true
    }

    fn answers(&self) -> bool {
        self.ends.as_ref().is_none_or(SessionStore::answers)
    }
}

/// Sessions are not counted: balance with round robin or at random.
impl<E: Send + Sync> CountSessions for TokenStore<E> {
    fn sessions_on(&self, _: &BackendId) -> usize {
        0
    }
}

pin_project! {
    /// Resolves to the session, unless its end was remembered.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct NotEnded<F> {
        #[pin]
        ended: F,
        session: Option<Session>,
    }
}

pin_project! {
    /// Resolves when an end is remembered.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Noted<F> {
        #[pin]
        noting: F,
    }
}

pin_project! {
    /// Resolves to whether the removal ended a session, once its end is remembered.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct NotedEnd<F> {
        #[pin]
        noting: F,
    }
}

impl<F: Future<Output = Result<Option<Session>, StoreError>>> Future for NotEnded<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let end = ready!(this.ended.poll(cx))?;
        Poll::Ready(Ok(this.session.take().and_then(|session| unless(end.as_ref(), session))))
    }
}

impl<F: Future<Output = Result<Inserted, StoreError>>> Future for Noted<F> {
    type Output = Result<(), StoreError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().noting.poll(cx).map(noted)
    }
}

impl<F: Future<Output = Result<Inserted, StoreError>>> Future for NotedEnd<F> {
    type Output = Result<bool, StoreError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().noting.poll(cx).map(noted_end)
    }
}

/// The session, unless it has ended; then its users in this process are notified.
fn unless(end: Option<&Session>, session: Session) -> Option<Session> {
    if end.is_some() {
        session.end();
        return None;
    }
    Some(session)
}

fn noted(outcome: Result<Inserted, StoreError>) -> Result<(), StoreError> {
    match outcome? {
        Inserted::Full => Err(StoreError::new(StoreErrorKind::Unavailable)),
        _ => Ok(()),
    }
}

fn noted_end(outcome: Result<Inserted, StoreError>) -> Result<bool, StoreError> {
    match outcome? {
        Inserted::Inserted(_) => Ok(true),
        Inserted::Full => Err(StoreError::new(StoreErrorKind::Unavailable)),
        // It had already ended.
        _ => Ok(false),
    }
}

/// Tokens outlive processes, so they use wall-clock time; the clocks of replicas should agree to within a minute.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl<E> fmt::Debug for TokenStore<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenStore").field("keys", &self.keys).finish_non_exhaustive()
    }
}
