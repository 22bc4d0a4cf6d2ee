//! Stores the pin of a key that a response names or that the client chose.

use bartizan_core::{
    Answer, Backend, BackendId, Dialect, GuardBody, Key, Reason, Record, SessionStore, StoreError,
    store::Inserted,
};
use http::{Response, StatusCode};

use crate::{
    config::Config,
    key::{ExtractKey, is_usable},
    refusal::refuse,
};

/// A key that is being stored.
pub(crate) struct Learned<T: SessionStore> {
    inserted: Answer<Result<Inserted, StoreError>, T::Insert>,
    backend: BackendId,
    is_clients: bool,
}

/// Pins the key that a response names or that the client chose to `backend`; `None` if there is nothing to pin.
#[inline]
pub(crate) fn learn<R, K, T>(
    response: &Response<R>,
    config: &Config<K, T>,
    backend: &BackendId,
    shown: Option<&[u8]>,
    is_clients: bool,
) -> Option<Learned<T>>
where
    K: ExtractKey,
    T: SessionStore,
{
    if !opens(response.status()) {
        return None;
    }
    let learned = config.extract.learn(response.headers()).filter(|key| is_usable(key));
    let (key, is_clients) = match (&learned, shown) {
        // The response names a key again that is already pinned.
        (Some(key), Some(shown)) if !is_clients && **key == *shown && is_pinned(response) => {
            return None;
        }
        // A backend's key, whatever the client sent: no other backend may name the same key.
        (Some(key), _) => (&**key, false),
        (None, Some(shown)) if is_clients => (shown, true),
        _ => return None,
    };
    let record = Record::new(config.idle, config.lifetime).with_backend(backend.clone());
    let inserted = config.store.insert_if_absent(Key::new(&config.route, None, key), record);
    Some(Learned { inserted, backend: backend.clone(), is_clients })
}

impl<T: SessionStore> Learned<T> {
    /// Holds a response back until the store has the key that it names.
    pub(crate) async fn wait<R, K>(
        self,
        config: &Config<K, T>,
        response: Response<R>,
    ) -> Response<GuardBody<R>> {
        let Self { inserted, backend, is_clients } = self;
        match on_insert(config.wait(inserted).await, &backend, is_clients) {
            Ok(()) => response.map(GuardBody::forwarded),
            Err(reason) => refuse(reason, Some(&backend), &Dialect::like(response.headers())),
        }
    }
}

/// Whether the store has the key with `backend`, or else why the response must not be sent.
fn on_insert(
    inserted: Result<Inserted, StoreError>,
    backend: &BackendId,
    is_clients: bool,
) -> Result<(), Reason> {
    match inserted {
        Ok(Inserted::Inserted(_)) => Ok(()),
        // If two first requests with the same key race, the winner decides for all later ones.
        Ok(Inserted::Exists(_)) if is_clients => Ok(()),
        Ok(Inserted::Exists(pin)) if pin.record().backend() == Some(backend) => Ok(()),
        Ok(Inserted::Full) => Err(Reason::TooManySessions),
        Ok(_) => Err(Reason::InvalidResponse),
        Err(_) => Err(Reason::StoreUnavailable),
    }
}

/// Whether a response of this status may name a key: anything but an error.
fn opens(status: StatusCode) -> bool {
    !status.is_client_error() && !status.is_server_error()
}

/// Whether the response is to pinned work; one to new work names its backend.
fn is_pinned<R>(response: &Response<R>) -> bool {
    response.extensions().get::<Backend>().is_none()
}
