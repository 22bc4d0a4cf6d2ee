//! What is known about a request that a browser sent. Pure.

use std::net::IpAddr;

use bartizan_core::{ClientAddr, PeerAddr, PublicOrigin, Reason, fields::only_line};
use http::{
    HeaderMap, Request, Version,
    header::HOST,
    uri::{Authority as UriAuthority, Scheme},
};

use crate::{
    authority::{Authority, Host},
    config::Config,
    origin::Stated,
};

/// What is known about a request that a browser sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    /// `http` or `https`.
    pub(crate) scheme: &'a str,
    pub(crate) host: Host<'a>,
    /// The port that is stated, or else the default of the scheme.
    pub(crate) port: u16,
    pub(crate) origin: Stated<'a>,
    /// The address at which the connection was accepted.
    pub(crate) local: Option<IpAddr>,
    /// Whether the client is a program on this machine, as far as is known.
    pub(crate) is_client_local: bool,
}

impl<'a> Seen<'a> {
    /// Reads `request`, starting from what outer layers have established.
    ///
    /// # Errors
    ///
    /// If the request does not name one host.
    pub(crate) fn of<B>(config: &Config, request: &'a Request<B>) -> Result<Self, Reason> {
        let authority = request.uri().authority();
        if request.version() == Version::HTTP_2 {
            check_authority(request.headers(), authority)?;
        }
        let peer = PeerAddr::of(request);
        let public = PublicOrigin::of(request);
        let is_over_tls = match public {
            Some(public) => *public.scheme() == Scheme::HTTPS,
            None => config.is_over_tls || peer.is_some_and(PeerAddr::is_over_tls),
        };
        let named = match public {
            Some(public) => public.host().map(|host| host.as_bytes()),
            None => named_host(request.headers(), authority),
        };
        let named = named.and_then(Authority::parse).ok_or(Reason::InvalidHost)?;
        let of_scheme = if is_over_tls { 443 } else { 80 };
        let port = public.map_or_else(|| named.port.unwrap_or(of_scheme), PublicOrigin::port);
        let client = ClientAddr::of(request).map(ClientAddr::ip);
        let client = client.or_else(|| peer.and_then(PeerAddr::ip)).or_else(|| {
            let addr = config.peer_from.and_then(|find| find(request.extensions()));
            addr.map(|addr| addr.ip().to_canonical())
        });
        Ok(Self {
            scheme: if is_over_tls { "https" } else { "http" },
            host: named.host,
            port,
            origin: Stated::read(request.headers()),
            local: peer.and_then(PeerAddr::local_addr).map(|addr| addr.ip()),
            is_client_local: client.is_some_and(|ip| ip.is_loopback()),
        })
    }
}

/// The target's authority, otherwise `Host` if it appears once ([RFC 9112
/// §3.2.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2)).
fn named_host<'a>(headers: &'a HeaderMap, target: Option<&'a UriAuthority>) -> Option<&'a [u8]> {
    match target {
        Some(target) => Some(target.as_str().as_bytes()),
        None => only_line(headers, HOST).ok().flatten().map(|host| host.as_bytes()),
    }
}

/// A `Host` that differs from `:authority` is an attack on a recipient that reads the other one
/// ([RFC 9113 §8.3.1](https://www.rfc-editor.org/rfc/rfc9113#section-8.3.1)).
fn check_authority(headers: &HeaderMap, target: Option<&UriAuthority>) -> Result<(), Reason> {
    let Some(target) = target else { return Ok(()) };
    let mut hosts = headers.get_all(HOST).iter();
    match hosts.all(|host| host.as_bytes().eq_ignore_ascii_case(target.as_str().as_bytes())) {
        true => Ok(()),
        false => Err(Reason::InvalidHost),
    }
}
