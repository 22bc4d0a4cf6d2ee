//! A backend has answered a request of a session: the credentials that it shows are the session's own from now on.

use std::sync::Arc;

use http::Response;
use tokio::runtime::Handle;

use super::super::resumer::{Resumer, Store};
use crate::replay::{credentials, inside::Inside, kept::Kept};

/// Notes the credentials of a request that `response` accepts, if they are not those of the request before. The
/// response does not wait for it: if the store fails, the next one notes them.
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
