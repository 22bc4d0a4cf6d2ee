//! The outermost layers, as configured by the options.

use bartizan::{
    core::{Dialect, mcp},
    forwarded::TrustedPeers,
};
use http::{HeaderName, header};

use crate::{
    cli::Options,
    server::front::{AllowCorsLayer, CatchPanics, Front, RequestIds},
};

/// The layers that the options switch on; `None` if there are none.
pub(crate) fn front(options: &Options) -> Option<Front> {
    let web = &options.web;
    let request_ids = web.request_id.clone().map(|name| {
        let trusted = options.proxies.trust_count.is_none();
        let trusted =
            trusted.then(|| TrustedPeers::networks(options.proxies.trust.iter().copied()));
        RequestIds::new(name, trusted)
    });
    let cors = (!web.allow_origins.is_empty())
        .then(|| AllowCorsLayer::new(web.allow_origins.iter().cloned(), exposed(options)));
    let refuse_as = options.sessions.session_header.is_none().then_some(Dialect::JsonRpc(None));
    let catch_panics = web.catch_panics.then_some(CatchPanics { refuse_as });
    let sensitive = web.sensitive_headers.iter().cloned().collect();
    let front = Front { sensitive, request_ids, cors, catch_panics };
    front.is_on().then_some(front)
}

/// The response fields that a page may read: those of the protocol, and those of our own refusals.
fn exposed(options: &Options) -> Vec<HeaderName> {
    let standard = [
        mcp::SESSION_ID.clone(),
        mcp::PROTOCOL_VERSION.clone(),
        header::WWW_AUTHENTICATE,
        header::RETRY_AFTER,
    ];
    let chosen = [&options.sessions.session_header, &options.web.request_id];
    standard.into_iter().chain(chosen.into_iter().flatten().cloned()).collect()
}
