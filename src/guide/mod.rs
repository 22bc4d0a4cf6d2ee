//! The guide: how to use the layers, by task, and what they do, by topic.
//!
//! | task | page |
//! |---|---|
//! | the stack in an axum application: state, auth, CORS, timeouts, shutdown | `axum` |
//! | the stack in a tonic server | `tonic` |
//! | layers of tower-http around the stack: which fit, and where | `tower_http` |
//! | one layer alone | `one_layer` |
//! | many replicas of one proxy | `replicas` |
//! | your own refusals | `refusals` |
//! | logs: targets, levels, fields | `logs` |
//! | metrics: names, labels, alerts, where to serve them | `metrics` |
//! | traces: what is recorded, and where it goes | `traces` |
//! | keys and secrets after a restart | `keys` |
//! | your own store | `store` |
//! | what a server around the layers has to do | `your_parts` |
//!
//! | reference | page |
//! |---|---|
//! | responses at a glance | `responses` |
//! | what ends a session, and what does not | [`endings`] |
//! | the limits on sessions, and what a full store does | [`caps`] |
//! | the order of the layers, and why | [`order`] |
//! | what Bartizan guarantees, and how it is checked | [`guarantees`] |
//! | figures | [`figures`] |
//! | known limitations | `limitations` |
//! | design decisions | [`decisions`] |
//!
//! Pages that link to every layer need the feature `full`.

macro_rules! pages {
    ($($(#[$attribute:meta])* $name:ident: $text:expr;)*) => {$(
        #[doc = include_str!($text)]
        $(#[$attribute])*
        pub mod $name {}
    )*};
}

pages! {
    caps: "caps.md";
    decisions: "decisions.md";
    endings: "endings.md";
    figures: "figures.md";
    guarantees: "guarantees.md";
    order: "order.md";
}

#[cfg(feature = "full")]
pages! {
    axum: "axum.md";
    keys: "keys.md";
    limitations: "limitations.md";
    logs: "logs.md";
    metrics: "metrics.md";
    one_layer: "one_layer.md";
    refusals: "refusals.md";
    replicas: "replicas.md";
    responses: "responses.md";
    store: "store.md";
    tonic: "tonic.md";
    tower_http: "tower_http.md";
    traces: "traces.md";
    your_parts: "your_parts.md";
}
