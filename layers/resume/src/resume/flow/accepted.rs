//! Records the credentials of a request that a backend has accepted in a session.

use std::sync::Arc;

use http::Response;
use tokio::runtime::Handle;

use super::super::resumer::{Resumer, Store};
use crate::replay::{credentials, inside::Inside, kept::Kept};

/// Records the credentials of a request that `response` accepts, if they changed since the previous request. The
/// response does not wait for this; if the store fails, the next response tries again.
#[inline]
pub(crate) fn accepted<S, T, B, R>(
    shared: &Arc<Resumer<S, T>>,
    kept: &Kept<B>,
    response: &Response<R>,
) where
    S: Inside<B>,
    T: Store,
    B: Send + 'static,
{
    if !response.status().is_success() {
        return;
    }
    let Some((session, authorization)) = kept.session().zip(kept.authorization()) else { return };
    let Some(record) = credentials::accepted(session, authorization) else { return };
    let Ok(runtime) = Handle::try_current() else { return };
    let (shared, session) = (Arc::clone(shared), session.clone());
    runtime.spawn(async move {
        let _ = shared.replace(&session, record).await;
    });
}
