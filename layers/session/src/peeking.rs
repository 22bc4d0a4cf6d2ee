//! A request that waits for its own body, and the decision about it.

use std::{future::poll_fn, sync::Arc};

use bartizan_core::{Reason, SessionStore, Work, mcp::Content, refusal::RequestId};
use http::{Request, Response};

use crate::{
    body::SessionBody,
    bounds::{Incoming, Inside},
    config::{Config, Sessionless},
    judge::{self, BodyVerdict, Purpose},
    opening::{NotOpened, Opening},
    peek::{Peek, PeekError},
    peeked_body::PeekedBody,
    refusal::refuse,
    response::{After, receive},
    run_on::RunOn,
    within::within,
};

/// The result of reading a body: its content, `None` if it is not JSON-RPC, or why it could not be
/// read.
type Looked = Result<Option<Content>, Reason>;

/// Reads the body of a request and continues with it; `service` is ready for it.
pub(crate) async fn peek<S, B, T>(
    mut service: S,
    config: Arc<Config<T>>,
    purpose: Purpose,
    request: Request<B>,
) -> Result<Response<SessionBody<S::Body, T>>, S::Error>
where
    S: Inside<B>,
    B: Incoming,
    T: SessionStore,
{
    let (head, body) = request.into_parts();
    let mut peek = Peek::new(body, config.peek_limit_bytes);
    let looked = look(&mut peek, &config).await;
    let mut request = Request::from_parts(head, peek.into_body());
    match on_peek(&service, &config, purpose, &mut request, looked) {
        Ok(opening) => {
            let future = service.call(request);
            // Dropped here, so that a permit in the instance is not held until the response
            // arrives.
            drop(service);
            let has_left = opening.has_left.clone();
            let abandoned = config.abandoned.clone();
            RunOn::new(receive::<S, B, T>(future, After::Learn { opening }), has_left, abandoned)
                .await
        }
        Err(answer) => Ok(*answer),
    }
}

/// Continues after the body of a request was read.
fn on_peek<S, B, R, T>(
    service: &S,
    config: &Arc<Config<T>>,
    purpose: Purpose,
    request: &mut Request<PeekedBody<B>>,
    looked: Looked,
) -> Result<Box<Opening<S, T>>, NotOpened<R, T>>
where
    S: Clone,
    T: SessionStore,
{
    let verdict = match purpose {
        Purpose::UnknownId if asks_for_session(&looked) => {
            request.headers_mut().remove(&config.header);
            BodyVerdict::Forward(Work::Opening, id_in(&looked))
        }
        Purpose::UnknownId => BodyVerdict::Refuse(Reason::UnknownSession, id_in(&looked)),
        Purpose::Judge => match looked {
            // An `initialize` request is never this large.
            Err(Reason::BodyTooLarge) if config.sessionless == Sessionless::Forward => {
                BodyVerdict::Forward(Work::MayOpen, None)
            }
            Err(reason) => BodyVerdict::Refuse(reason, None),
            Ok(content) => judge::body(request.headers(), content, config.sessionless),
        },
    };
    match verdict {
        BodyVerdict::Forward(work, id) => Opening::begin(service, config, request, work, id),
        BodyVerdict::Refuse(reason, id) => {
            Err(refuse(config, request.headers(), reason.into(), id))
        }
    }
}

async fn look<B: Incoming, T>(peek: &mut Peek<B>, config: &Config<T>) -> Looked {
    // The error of a body need not be `Send`: it is not kept across the wait.
    let read = poll_fn(|cx| peek.poll_end(cx).map_err(|error| why(&error)));
    match within(config.peek_timeout, read).await {
        Ok(Ok(())) => Ok(Content::parse(&peek.content()).ok()),
        Ok(Err(reason)) => Err(reason),
        Err(_) => Err(Reason::BodyTimeout),
    }
}

fn why<E>(error: &PeekError<E>) -> Reason {
    match error {
        PeekError::TooLarge => Reason::BodyTooLarge,
        PeekError::Broken(_) => Reason::BodyBroken,
    }
}

fn asks_for_session(looked: &Looked) -> bool {
    matches!(looked, Ok(Some(Content::Message(message))) if message.is_initialize())
}

fn id_in(looked: &Looked) -> Option<RequestId> {
    match looked {
        Ok(Some(Content::Message(message))) => message.request_id().cloned(),
        _ => None,
    }
}
