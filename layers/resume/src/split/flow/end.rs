//! The client ends its session.

use std::sync::Arc;

use bartizan_core::{Reason, Session, body::ReplaceBody};
use http::{Request, Response, StatusCode};
use tokio::time::Instant;

use super::{
    super::{config::OPEN_TIMEOUT, name::NameGateway, splitter::Splitter, table::close_soon},
    address::to_session,
    seed::{HOME, seed},
};
use crate::replay::{
    answer::{refuse, settle, show_as},
    inside::Inside,
    kept::Kept,
    loss::{self, Verdict},
};

/// The client ends its session: at the gateway where it opened it, and at all others meanwhile.
pub(super) async fn end<S, N, B>(
    shared: Arc<Splitter<S, N>>,
    mut service: S,
    kept: Arc<Kept<B>>,
    mut request: Request<B>,
    session: &Session,
) -> Result<Response<S::Body>, S::Error>
where
    S: Inside<B>,
    N: NameGateway,
    B: ReplaceBody + Unpin + Send + 'static,
{
    let sessions = &shared.config.sessions;
    let home = session.record().field(HOME).and_then(|name| str::from_utf8(name).ok());
    if let Some(name) = home
        && let Some(gateway) = shared.config.gateways.get(name)
    {
        let known = sessions.open(session, name);
        let known = known.or_else(|| {
            seed::<S, N, B>(&shared, &kept.head(), session, name, &gateway).map(Arc::new)
        });
        if let Some(known) = known {
            *request.uri_mut() = known.uri.clone();
            to_session(&mut request, &known);
        }
    }
    let end_others = || {
        let its = sessions.take(|other, name| other.key() == session.key() && Some(name) != home);
        close_soon(&its);
    };
    end_others();
    let mut response = service.call(request).await?;
    show_as(&mut response, kept.shown_id());
    let by_head = loss::by_head(&response, || kept.is_at_endpoint());
    let deadline = Instant::now() + OPEN_TIMEOUT;
    let (verdict, mut answer) = settle(response, by_head, false, deadline).await;
    if answer.status() == StatusCode::BAD_REQUEST && verdict == Verdict::Unknown {
        // A 400 would look as if it had not ended.
        answer = refuse(Reason::BackendLost, &kept.head().dialect(None));
    }
    if answer.status().is_success() || verdict == Verdict::Unknown {
        // A call may have opened one meanwhile.
        end_others();
        sessions.take(|other, _| other.key() == session.key());
    }
    Ok(answer)
}
