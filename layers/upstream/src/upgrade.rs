//! Changing the protocol of a connection: WebSockets, over HTTP/1.1 by `Upgrade` ([RFC 9110
//! §7.8](https://www.rfc-editor.org/rfc/rfc9110#section-7.8)), over HTTP/2 by extended `CONNECT`
//! ([RFC 8441](https://www.rfc-editor.org/rfc/rfc8441)).
//!
//! The proxy asks the backend for what the client asked for, if it is on the list of protocols that are
//! relayed. When the backend agrees, both connections become one [tunnel](crate::tunnel), which ends when both
//! sides have, when it is silent for too long, or with its session.

use std::time::Duration;

use bartizan_core::{
    Backend, Passage, Reason, Session,
    backend::Protocol,
    fields::hop_by_hop::{self, Stripped},
    passage::Lease,
    session::Ended,
};
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header::UPGRADE, request::Parts,
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::{config::Config, transport::HeldStream, tunnel};

/// A change of protocol that the client has asked for.
pub(crate) struct Tunnel {
    client: OnUpgrade,
    asked: Asked,
    // Keeps the session in use while the tunnel is open. The tunnel ends with the session at the latest.
    lease: Option<Lease>,
    ended: Option<Ended>,
    idle: Option<Duration>,
}

enum Asked {
    Upgrade(HeaderValue),
    Connect,
}

impl Tunnel {
    /// The change that the client asks for, if it is allowed; adds the request for the backend to
    /// `head`.
    pub(crate) fn open(
        head: &mut Parts,
        stripped: &Stripped,
        backend: &Backend,
        config: &Config,
        passage: &mut Passage,
    ) -> Option<Box<Self>> {
        let asked = if head.method == Method::CONNECT {
            Asked::Connect
        } else {
            let protocol = stripped.upgrade_to(&config.relayed)?;
            if backend.protocol() == Protocol::Http2 {
                return None;
            }
            Asked::Upgrade(protocol)
        };
        let client = head.extensions.remove::<OnUpgrade>()?;
        if let Asked::Upgrade(protocol) = &asked {
            hop_by_hop::upgrade(&mut head.headers, protocol.clone());
        }
        Some(Box::new(Self {
            client,
            asked,
            lease: passage.take_lease(),
            ended: passage.session().map(Session::ended),
            idle: config.tunnel_idle,
        }))
    }

    /// Joins the two connections if `response` agrees to the change.
    pub(crate) fn settle<B>(self, response: &mut Response<B>) -> Result<(), Reason> {
        let agreed = match &self.asked {
            Asked::Connect => response.status().is_success(),
            Asked::Upgrade(_) => response.status() == StatusCode::SWITCHING_PROTOCOLS,
        };
        if !agreed {
            return Ok(());
        }
        if let Asked::Upgrade(protocol) = &self.asked
            && !names(response.headers(), protocol)
        {
            return Err(Reason::InvalidResponse);
        }
        let backend =
            response.extensions_mut().remove::<OnUpgrade>().ok_or(Reason::InvalidResponse)?;
        hop_by_hop::strip_response(response.headers_mut());
        if let Asked::Upgrade(protocol) = self.asked {
            hop_by_hop::upgrade(response.headers_mut(), protocol);
        }
        let stream = response.extensions_mut().remove::<HeldStream>();
        tokio::spawn(async move {
            let standing = stand(self.client, backend, self.idle);
            match self.ended {
                Some(ended) => tunnel::either(standing, ended).await,
                None => standing.await,
            }
            drop((self.lease, stream));
        });
        Ok(())
    }
}

/// Whether `head` is an extended `CONNECT` for a protocol that is relayed to a backend that can have it.
pub(crate) fn is_extended_connect(head: &Parts, backend: &Backend, relayed: &[Box<str>]) -> bool {
    let Some(protocol) = head.extensions.get::<hyper::ext::Protocol>() else { return false };
    head.version == Version::HTTP_2
        && backend.protocol() == Protocol::Http2
        && relayed.iter().any(|name| name.eq_ignore_ascii_case(protocol.as_str()))
}

async fn stand(client: OnUpgrade, backend: OnUpgrade, idle: Option<Duration>) {
    // If a side does not become a tunnel, its connection broke off.
    if let (Ok(client), Ok(backend)) = (client.await, backend.await) {
        tunnel::relay(TokioIo::new(client), TokioIo::new(backend), idle).await;
    }
}

fn names(headers: &HeaderMap, protocol: &HeaderValue) -> bool {
    headers
        .get(UPGRADE)
        .is_some_and(|named| named.as_bytes().eq_ignore_ascii_case(protocol.as_bytes()))
}
